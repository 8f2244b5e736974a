"""The swarm as Prometheus' metrics: what there is to see, under which name.

Units are base units and end the name; the only labels are the group and the node.
`NODE_METRICS` is the list that alerts and dashboard go by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from swarm_event_listener.core.health import WELL, Health, Word
from swarm_event_listener.core.model.death import DEATHS, DeathCause
from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics.family import Family, Labels, Value
from swarm_event_listener.outlets.metrics.totals import REASONS, RULES, Totals
from swarm_event_listener.outlets.status import Counters
from swarm_worker.shared.report import Report

PREFIX: Final = "kafka_swarm_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One node at one moment.

    Attributes:
        node: What the core knows.
        labels: Of all its samples.
        health: How it is.
        limit_bytes: Its memory limit; None without one.
        totals: The sums of all nodes.
        now_s: The moment.
    """

    node: Node
    labels: Labels
    health: Health
    limit_bytes: int | None
    totals: Totals
    now_s: float

    @property
    def report(self) -> Report | None:
        """The report of its process; None without one: a former one's is past."""
        return None if self.node.pid is None else self.node.report


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of each node; None where there is nothing to tell."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    read: Callable[[Look], Value | None]


def _seconds(name: str, *, idle: float | None = None) -> Callable[[Look], Value | None]:
    """Read an age of the report; ``idle`` stands for one that the node has not."""

    def read(look: Look) -> Value | None:
        if look.report is None:
            return None
        age_ms: int | None = getattr(look.report, name)
        return idle if age_ms is None else age_ms / 1000

    return read


def _of_report(name: str) -> Callable[[Look], Value | None]:
    def read(look: Look) -> Value | None:
        value: int | None = getattr(look.report, name, None)
        return value

    return read


def _total(name: str) -> Callable[[Look], Value | None]:
    return lambda look: look.totals.of(look.node.name).get(name, 0)


def _report_age_s(look: Look) -> Value | None:
    at_s = look.node.reported_at_s
    if at_s is None or look.node.pid is None:
        return None
    return round(look.now_s - at_s, 3)


def _failing_s(look: Look) -> Value | None:
    if look.report is None:
        return None
    return max((each.for_ms / 1000 for each in look.report.failing), default=0.0)


def _restarts(look: Look, kind: str) -> int:
    return look.totals.restarts[look.node.name, kind]


def _deaths(look: Look, kind: DeathCause) -> int:
    return look.node.deaths.get(kind, 0)


def _dry_runs(look: Look, kind: str) -> int:
    return look.totals.dry_runs[look.node.name, kind]


def _by_kind(
    what: str,
    text: str,
    kinds: Mapping[str, str] | Mapping[DeathCause, str],
    read: Callable[..., Value | None],
) -> Iterator[Metric]:
    """Yield a counter for each kind of something, with what it means."""
    for kind, meaning in kinds.items():
        yield Metric(
            f"node_{kind}_{what}_total",
            "counter",
            f"{text}: {meaning}.",
            partial(read, kind=kind),
        )


NODE_METRICS: Final = (
    Metric(
        "node_running",
        "gauge",
        "1 while supervisord has the node RUNNING, else 0.",
        lambda look: int(look.node.state is ProcessState.RUNNING),
    ),
    Metric(
        "node_healthy",
        "gauge",
        "1 while the node runs, polls and breaks no rule, or is a spare, else 0.",
        lambda look: int(look.health.word in WELL),
    ),
    Metric(
        "node_backing_off",
        "gauge",
        "1 while the node is down because it failed again and again, else 0.",
        lambda look: int(look.health.word is Word.BACKING_OFF),
    ),
    Metric(
        "node_failing",
        "gauge",
        "1 while the node is well but for a message that fails again, else 0.",
        lambda look: int(look.health.word is Word.FAILING),
    ),
    Metric(
        "node_held",
        "gauge",
        "1 while an operator holds the node out of the rules, else 0.",
        lambda look: int(look.node.is_held),
    ),
    Metric(
        "node_stopped",
        "gauge",
        "1 while the node is down on purpose (stop, retire, spare, never started), "
        "else 0.",
        lambda look: int(look.health.word in {Word.STOPPED, Word.SPARE}),
    ),
    Metric(
        "node_spare",
        "gauge",
        "1 while the node is down since its group is to run fewer nodes, else 0.",
        lambda look: int(look.health.word is Word.SPARE),
    ),
    Metric(
        "node_report_age_seconds",
        "gauge",
        "Seconds since the node's last report (status -1).",
        _report_age_s,
    ),
    Metric(
        "node_poll_age_seconds",
        "gauge",
        "Seconds since the oldest last poll, as last reported (status 1).",
        _seconds("poll_age_ms"),
    ),
    Metric(
        "node_consume_age_seconds",
        "gauge",
        "Seconds that the oldest batch is in flight, 0 when idle (status 2).",
        _seconds("consume_age_ms", idle=0.0),
    ),
    Metric(
        "node_stalled_seconds",
        "gauge",
        "Seconds that a partition with data has not moved, 0 if none (status 2).",
        _seconds("stalled_ms", idle=0.0),
    ),
    Metric(
        "node_unsteady_seconds",
        "gauge",
        "Seconds that a group is frozen in a rebalance, 0 if none (status 4).",
        _seconds("unsteady_ms", idle=0.0),
    ),
    Metric(
        "node_no_broker_seconds",
        "gauge",
        "Seconds that a client of the node is without a broker, 0 if none (status 4).",
        _seconds("no_broker_ms", idle=0.0),
    ),
    Metric(
        "node_failing_partitions",
        "gauge",
        "Partitions that wait for a message whose handler fails.",
        _of_report("failing_count"),
    ),
    Metric(
        "node_failing_seconds",
        "gauge",
        "Seconds that the oldest message that fails has done so, 0 if none.",
        _failing_s,
    ),
    Metric(
        "node_memory_bytes",
        "gauge",
        "Memory of the node's process in bytes, by memory_metric (status 3).",
        lambda look: None if look.node.pid is None else look.node.memory_bytes,
    ),
    Metric(
        "node_memory_limit_bytes",
        "gauge",
        "The node's memory_limit in bytes; absent without one.",
        lambda look: look.limit_bytes,
    ),
    Metric(
        "node_assigned_partitions",
        "gauge",
        "Partitions that the node holds.",
        _of_report("assigned"),
    ),
    Metric(
        "node_lag_messages",
        "gauge",
        "Messages between the node's offsets and the ends of its partitions.",
        _of_report("lag"),
    ),
    Metric(
        "node_lag_age_seconds",
        "gauge",
        "Seconds since the oldest end was told that the node's lag counts to.",
        _seconds("lag_age_ms"),
    ),
    Metric(
        "node_lso_behind_seconds",
        "gauge",
        "Seconds, over 60, that a last stable offset has stood behind its end, else 0.",
        _seconds("lso_behind_ms", idle=0.0),
    ),
    Metric(
        "node_throttled_seconds",
        "gauge",
        "Seconds that Kafka last held an answer back for a quota, 0 if not of late.",
        _seconds("throttled_ms", idle=0.0),
    ),
    Metric(
        "node_connected_brokers",
        "gauge",
        "Brokers that the node has a live connection to.",
        _of_report("brokers_up"),
    ),
    Metric(
        "node_messages_total",
        "counter",
        "Messages that the node's processes handled.",
        _total("messages"),
    ),
    Metric(
        "node_batches_total",
        "counter",
        "Batches that the node's processes handled.",
        _total("batches"),
    ),
    Metric(
        "node_errors_total",
        "counter",
        "Handler calls that failed in the node's processes.",
        _total("errors"),
    ),
    Metric(
        "node_retries_total",
        "counter",
        "Handler calls that were repeated after a failure.",
        _total("retries"),
    ),
    Metric(
        "node_dead_letters_total",
        "counter",
        "Messages that were given to a dead-letter topic.",
        _total("dead_letters"),
    ),
    Metric(
        "node_restarts_total",
        "counter",
        "Restarts of the node by the listener.",
        lambda look: sum(_restarts(look, reason) for reason in REASONS),
    ),
    *_by_kind(
        "restarts",
        "Restarts of the node by the listener for this reason",
        REASONS,
        _restarts,
    ),
    Metric(
        "node_deaths_total",
        "counter",
        "Times that the node's process ended without being stopped.",
        lambda look: sum(look.node.deaths.values()),
    ),
    *_by_kind(
        "deaths",
        "Times that the node's process ended without being stopped",
        DEATHS,
        _deaths,
    ),
    *_by_kind(
        "dry_runs", "Restarts that dry_run left out, for this reason", RULES, _dry_runs
    ),
)


def families(
    swarm: Swarm, counters: Counters, totals: Totals, *, now_s: float, is_well: bool
) -> Iterator[Family]:
    """Return all metrics.

    Args:
        swarm: The core.
        counters: The listener's own.
        totals: What the nodes counted, over all their lives.
        now_s: Now.
        is_well: Whether the listener sees events and controls nodes.
    """
    looks = [
        _look(swarm, node, totals, now_s=now_s)
        for _, node in sorted(swarm.nodes.items())
    ]
    labels = [look.labels for look in looks]
    for metric in NODE_METRICS:
        yield Family(
            name=PREFIX + metric.name,
            kind=metric.kind,
            help=metric.help,
            labels=labels,
            values=[metric.read(look) for look in looks],
        )
    yield from _listener(counters, is_well=is_well)


def _look(swarm: Swarm, node: Node, totals: Totals, *, now_s: float) -> Look:
    policy = swarm.policies[node.group]
    group, _, name = node.name.partition(":")
    return Look(
        node=node,
        labels=(("group", group), ("node", name)),
        health=swarm.health(node, now_s=now_s),
        limit_bytes=policy.limits.memory_limit_bytes,
        totals=totals,
        now_s=now_s,
    )


def _listener(counters: Counters, *, is_well: bool) -> Iterator[Family]:
    for counted in dataclasses.fields(counters):
        yield Family(
            name=f"{PREFIX}listener_{counted.name}_total",
            kind="counter",
            help=counted.metadata["meaning"],
            values=[getattr(counters, counted.name)],
        )
    yield Family(
        name=f"{PREFIX}listener_healthy",
        kind="gauge",
        help="1 while the listener hears events and supervisord answers it, else 0.",
        values=[int(is_well)],
    )
