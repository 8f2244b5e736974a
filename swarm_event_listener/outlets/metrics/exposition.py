"""Prometheus' text format, written by its own library: the extra ``[metrics]``.

Importing it takes 8 MB, so only a listener with ``metrics`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from swarm_event_listener.outlets.metrics.family import Family


def exposition(families: Iterable[Family]) -> bytes:
    """Give the text of a scrape. A family without samples is left out."""
    return generate_latest(_Families(families))


@dataclass(frozen=True, slots=True)
class _Families(Collector):
    families: Iterable[Family]

    def collect(self) -> Iterator[Metric]:
        """Give each family as the library has it."""
        for family in self.families:
            if family.samples:
                yield _metric(family)


def _metric(family: Family) -> Metric:
    # A counter's name is without its _total there, and with it in the text.
    name = family.name.removesuffix("_total")
    metric = Metric(name, family.help, family.kind)
    for labels, value in family.samples:
        metric.add_sample(family.name, dict(labels), value)
    return metric
