"""How the node is doing: ages, counters, what stands still. The report's source.

Written to by poll and handler threads, read by the reporter. It has no clock: who
writes or reads passes the time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from swarm_worker.reporting.clock import age_ms
from swarm_worker.shared.report import (
    LIST_ITEMS_MAX,
    MAX_POLL_INTERVAL_MS,
    Failing,
    GroupReach,
    Report,
    State,
    mark_of,
)

if TYPE_CHECKING:
    from swarm_worker.app.batch import Batch
    from swarm_worker.reporting.partition_lag import PartitionLag
    from swarm_worker.reporting.trace import Trace


@dataclass(slots=True)
class ConsumerProgress:
    """One consumer's part; its poll thread alone writes, by plain assignment.

    Attributes:
        polled_at_s: When it last called poll; None before the first time.
        awaits_id: Its instance id is still held by another; it waits.
        not_joined: Why its group has not let it in; empty when it has.
        assigned: Partitions held.
        unsteady_since_s: Since when its group is not steady and gives no assignment.
        stalled_since_s: ``topic/partition`` that stands still, by since when.
        blocked: ``topic/partition`` that stands still for a reason that no restart
            cures, such as an offset that is out of range. Shown, not judged.
        partitions: How far behind each partition is.
        brokers_up: Brokers with a live connection; None when unknown.
        group: The Kafka group.
        no_broker_since_s: Since when there is no broker; None while there is.
        no_broker_why: Why, as far as known.
        heard_at_s: When a broker last said something; None when unknown.
        throttled_ms: For how long one held an answer back for a quota, the last time;
            None where that is not of late.
    """

    polled_at_s: float | None = None
    awaits_id: bool = False
    not_joined: str = ""
    assigned: int = 0
    unsteady_since_s: float | None = None
    stalled_since_s: Mapping[str, float] = field(default_factory=dict)
    blocked: tuple[str, ...] = ()
    partitions: tuple[PartitionLag, ...] = ()
    brokers_up: int | None = None
    group: str = ""
    no_broker_since_s: float | None = None
    no_broker_why: str = ""
    heard_at_s: float | None = None
    throttled_ms: int | None = None

    @property
    def lag(self) -> int | None:
        """Messages behind the ends of the partitions; None when nothing is known."""
        return _sum(each.lag for each in self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingMessage:
    """A message whose handler fails; its partition waits for it.

    Attributes:
        at: ``topic/partition@offset``.
        error: Why it failed last, as it is logged.
        attempts: How often it has failed.
        since_s: When it failed first.
    """

    at: str
    error: str
    attempts: int
    since_s: float


class CrashRecorder(Protocol):
    """Records each batch; neither blocks nor raises."""

    def began(self, key: int, trace: Trace, *, now_s: float) -> None:
        """A batch is in flight; no other has its key as long as it is."""

    def ended(self, key: int) -> None:
        """It is no longer."""


class Progress:
    """What the node has done and is doing. Thread-safe.

    Attributes:
        crash_recorder: Records each batch, for the process that follows this one.
        least_nodes: How many nodes the app needs; 0 before its routes are known.
        is_spare: The node ends since its group is to run without it.
    """

    def __init__(
        self,
        *,
        node: int = 0,
        pid: int = 0,
        max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS,
    ) -> None:
        """Start with nothing done.

        Args:
            node: Whose progress it is.
            pid: Its process.
            max_poll_interval_ms: The largest in force among the node's consumers.
        """
        self._node = node
        self._pid = pid
        self._max_poll_interval_ms = max_poll_interval_ms
        self.crash_recorder: CrashRecorder | None = None
        self.least_nodes = 0
        self.is_spare = False
        self._lock = threading.Lock()
        self._consumers: list[ConsumerProgress] = []
        # By the identity of the batch: it is in flight once, and lives that long.
        self._in_flight: dict[int, tuple[float, Batch]] = {}
        self._failing: list[Callable[[], Iterable[FailingMessage]]] = []
        self._messages = 0
        self._batches = 0
        self._errors = 0
        self._retries = 0
        self._dead_letters = 0

    def add_consumer(self, group: str = "") -> ConsumerProgress:
        """Return the part that one more consumer writes to."""
        consumer = ConsumerProgress(group=group)
        with self._lock:
            self._consumers.append(consumer)
        return consumer

    def add_failing(self, ask: Callable[[], Iterable[FailingMessage]]) -> None:
        """Ask here, too, which messages fail, each time a report is made.

        Asked, not told: so what has recovered, was revoked or given up, in whatever
        way, is gone from the next report.
        """
        with self._lock:
            self._failing.append(ask)

    def began(
        self,
        batch: Batch,
        *,
        trace: Trace | None = None,
        retry: bool = False,
        now_s: float,
    ) -> None:
        """A handler got a batch; the crash recorder gets its trace, if any."""
        with self._lock:
            self._in_flight[id(batch)] = (now_s, batch)
            self._retries += retry
        if self.crash_recorder and trace:  # not under the lock: it writes to a file
            self.crash_recorder.began(id(batch), trace, now_s=now_s)

    def ended(self, batch: Batch, *, done_count: int, failed: bool) -> None:
        """The handler returned or raised, with so many of its messages done."""
        with self._lock:
            self._in_flight.pop(id(batch), None)
            self._messages += done_count
            self._batches += not failed
            self._errors += failed
        if self.crash_recorder is not None:
            self.crash_recorder.ended(id(batch))

    def forget_begun_after(self, moment_s: float) -> None:
        """Have the crash recorder forget young batches: none of them hangs yet."""
        with self._lock:
            in_flight = self._in_flight.items()
            young = [key for key, (began_s, _) in in_flight if began_s > moment_s]
        if self.crash_recorder is not None:
            for key in young:
                self.crash_recorder.ended(key)

    def dead_lettered(self) -> None:
        """A message was given up, and its copy acknowledged."""
        with self._lock:
            self._dead_letters += 1

    def partitions(self) -> dict[str, tuple[PartitionLag, ...]]:
        """Return how far behind each partition is, by Kafka group."""
        with self._lock:
            return {each.group: each.partitions for each in self._consumers}

    def has_joined(self) -> bool:
        """Whether every consumer has polled, and none waits for its instance id."""
        with self._lock:
            consumers = list(self._consumers)
        return bool(consumers) and all(map(_has_joined, consumers))

    def report(
        self, state: State, *, died_in_flight: tuple[str, ...] = (), now_s: float
    ) -> Report:
        """Return the report as of ``now_s``; its other arguments stand in it."""
        with self._lock:
            consumers = list(self._consumers)
            asked = list(self._failing)
            in_flight = sorted(self._in_flight.values(), key=lambda entry: entry[0])
            counters: dict[str, Any] = {
                "messages": self._messages,
                "batches": self._batches,
                "errors": self._errors,
                "retries": self._retries,
                "dead_letters": self._dead_letters,
            }
        stalled = _oldest_first(consumers)
        failing = sorted(
            (each for ask in asked for each in ask()), key=lambda each: each.since_s
        )
        partitions = [each for consumer in consumers for each in consumer.partitions]
        blocked = [name for consumer in consumers for name in consumer.blocked]
        return Report(
            node=self._node,
            pid=self._pid,
            state=state,
            died_in_flight=died_in_flight,
            max_poll_interval_ms=self._max_poll_interval_ms,
            awaits_id=any(consumer.awaits_id for consumer in consumers),
            not_joined=next((c.not_joined for c in consumers if c.not_joined), ""),
            poll_age_ms=age_ms((c.polled_at_s for c in consumers), now_s=now_s),
            consume_age_ms=age_ms((began_s for began_s, _ in in_flight), now_s=now_s),
            in_flight=tuple(batch.position for _, batch in in_flight[:LIST_ITEMS_MAX]),
            unsteady_ms=age_ms((c.unsteady_since_s for c in consumers), now_s=now_s),
            stalled_ms=age_ms((since_s for since_s, _ in stalled), now_s=now_s),
            stalled=tuple([*(name for _, name in stalled), *blocked][:LIST_ITEMS_MAX]),
            assigned=sum(consumer.assigned for consumer in consumers),
            lag=_sum(consumer.lag for consumer in consumers),
            lag_age_ms=age_ms((each.end_at_s for each in partitions), now_s=now_s),
            lso_behind_ms=age_ms(
                (each.lso_behind_since_s for each in partitions), now_s=now_s
            ),
            throttled_ms=_largest(consumer.throttled_ms for consumer in consumers),
            brokers_up=_largest(consumer.brokers_up for consumer in consumers),
            failing=tuple(_failing(each, now_s) for each in failing[:LIST_ITEMS_MAX]),
            failing_count=len(failing),
            least_nodes=self.least_nodes,
            spare=self.is_spare,
            **_brokers(consumers, now_s),
            **counters,
        )


def _failing(message: FailingMessage, now_s: float) -> Failing:
    return Failing(
        at=message.at,
        error=message.error,
        attempts=message.attempts,
        for_ms=age_ms([message.since_s], now_s=now_s) or 0,
    )


def _brokers(consumers: Iterable[ConsumerProgress], now_s: float) -> dict[str, Any]:
    """Return the fields about brokers; the group without one for the longest first."""
    found = sorted(consumers, key=lambda each: each.no_broker_since_s or inf)
    since_s = found[0].no_broker_since_s if found else None
    why = f": {found[0].no_broker_why}" if found and found[0].no_broker_why else ""
    return {
        "no_broker_ms": age_ms([since_s], now_s=now_s),
        "no_broker": "" if since_s is None else f"group {found[0].group}{why}",
        "kafka_groups": tuple(str(_reach(each, now_s)) for each in found),
    }


def _reach(consumer: ConsumerProgress, now_s: float) -> GroupReach:
    without_ms = age_ms([consumer.no_broker_since_s], now_s=now_s)
    heard_ms = age_ms([consumer.heard_at_s], now_s=now_s)
    return GroupReach(
        mark=mark_of(consumer.group),
        heard_ms=heard_ms if without_ms is None else None,
        without_ms=without_ms,
    )


def _has_joined(consumer: ConsumerProgress) -> bool:
    return consumer.polled_at_s is not None and not consumer.awaits_id


def _oldest_first(consumers: Iterable[ConsumerProgress]) -> list[tuple[float, str]]:
    return sorted(
        (since_s, name)
        for consumer in consumers
        for name, since_s in consumer.stalled_since_s.items()
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _largest(counts: Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)
