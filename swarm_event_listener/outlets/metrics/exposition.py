"""Prometheus' text format, written by its own library: the extra ``[metrics]``.

Importing it takes 2.3 MB of private memory, so only a listener with ``metrics`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from swarm_event_listener.outlets.metrics.family import Family


def exposition(families: Iterable[Family]) -> Sequence[bytes]:
    """Return the text of a scrape. A family without samples is left out.

    It comes in a piece for each family: 400 nodes have 1 MB, and what the process takes
    for one such piece it does not give back.
    """
    return [generate_latest(_Collected(family)) for family in families]


@dataclass(frozen=True, slots=True)
class _Collected(Collector):
    family: Family

    def collect(self) -> Iterator[Metric]:
        """Return the family as the library has it."""
        family = self.family
        # A counter's name is without its _total there, and with it in the text.
        metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
        for labels, value in family.samples:
            metric.add_sample(family.name, dict(labels), value)
        if metric.samples:
            yield metric
