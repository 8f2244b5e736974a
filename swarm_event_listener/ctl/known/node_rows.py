"""One row for each node: what supervisord, the listener and its records say of it.

`status`, `top`, `why` and ``--json`` all draw from these rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarm_event_listener.core.health import WELL, Health, Word, health_by_state
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain
from swarm_event_listener.ctl.sources.supervisord import Process
from swarm_event_listener.story.node_status import (
    age_at_look_ms,
    age_now_ms,
    failures,
    next_try,
    notes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One node, as an operator sees it. None is unknown or not there.

    Attributes:
        node: ``group:process``.
        health: One of `health.Word`.
        why: What is wrong; empty where the health says all.
        held: Whether an operator took it out of the rules.
        poll_age_ms, consume_age_ms: As reported; of a node that has not reported for
            half of ``node_report_timeout`` as they are now, if nothing has happened
            since.
        partitions: Those held; None also for a loop of the user's own.
        lag_age_ms: How old the oldest end is by now that the lag counts to.
        lso_behind_ms: For how long, over a minute, the last stable offset of one of its
            partitions has stood behind the end, as reported.
        throttled_ms: For how long Kafka held an answer back for a quota, if it has of
            late.
        restarts: Restarts and deaths on record, without those of rolls.
        last_status: The status of the last one; None where no rule was its cause.
        last_cause: Its cause: rule, exited, fatal or died.
        failing: Messages that fail, as reported: those that have for the longest.
        failing_count: Partitions that wait for such a message.
    """

    node: str
    state: str
    health: str
    why: str
    held: bool
    pid: int | None
    uptime_s: float | None
    poll_age_ms: int | None = None
    consume_age_ms: int | None = None
    in_flight: tuple[str, ...] = ()
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    partitions: int | None = None
    lag: int | None = None
    lag_age_ms: int | None = None
    lso_behind_ms: int | None = None
    throttled_ms: int | None = None
    messages_per_s: float | None = None
    restarts: int | None = None
    last_status: int | None = None
    last_cause: str | None = None
    failing: tuple[Plain, ...] = ()
    failing_count: int | None = None

    @property
    def is_well(self) -> bool:
        """Whether it is as it should be: at work, or not needed."""
        return self.health in WELL

    @property
    def failures(self) -> list[str]:
        """A line for each message that fails, beside those that ``why`` has."""
        lines = failures(self.failing, self.failing_count or 0)
        return [line for line in lines if line not in self.why]

    @property
    def notes(self) -> list[str]:
        """A line for each thing that keeps it from messages, and is no failure."""
        return notes(self.lag_age_ms, self.lso_behind_ms, self.throttled_ms)

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return dataclasses.asdict(self)


def rows(
    processes: Iterable[Process],
    status: ListenerStatus | None,
    history: Sequence[Plain] | None,
) -> tuple[Row, ...]:
    """Return a row for each process, sorted by name.

    Status and history are None where they are not known.
    """
    nodes = None if status is None or status.is_stale else status.nodes
    return tuple(
        _row(process, nodes, history)
        for process in sorted(processes, key=lambda process: process.name)
    )


def _row(
    process: Process,
    nodes: Mapping[str, Plain] | None,
    history: Sequence[Plain] | None,
) -> Row:
    node = None if nodes is None else nodes.get(process.name)
    health, why = _health(process, node, is_heard=nodes is not None)
    about = _of_this_process(process, node)
    report: Plain = about.get("report") or {}
    records = _restarts_of(process, history)
    return Row(
        node=process.name,
        state=process.state.value,
        health=health,
        why=why,
        held=bool(node and node.get("held")),
        pid=process.pid,
        uptime_s=process.uptime_s,
        poll_age_ms=age_now_ms(about, report.get("poll_age_ms")),
        consume_age_ms=age_now_ms(about, report.get("consume_age_ms")),
        in_flight=tuple(report.get("in_flight", ())),
        memory_bytes=about.get("memory_bytes"),
        memory_limit_bytes=about.get("memory_limit_bytes"),
        partitions=partitions_of(report),
        lag=report.get("lag"),
        lag_age_ms=age_at_look_ms(about, report.get("lag_age_ms")),
        lso_behind_ms=report.get("lso_behind_ms"),
        throttled_ms=report.get("throttled_ms"),
        messages_per_s=about.get("messages_per_s"),
        restarts=None if records is None else len(records),
        last_status=records[-1].get("status") if records else None,
        last_cause=records[-1].get("cause") if records else None,
        failing=tuple(report.get("failing", ())),
        failing_count=report.get("failing_count"),
    )


def _of_this_process(process: Process, node: Plain | None) -> Plain:
    """Return what the listener says of a node, if that is about this process."""
    if node is None or process.pid is None or node.get("pid") != process.pid:
        return {}
    return node


def _restarts_of(
    process: Process, history: Sequence[Plain] | None
) -> list[Plain] | None:
    if history is None:
        return None
    mine = [record for record in history if record.get("node") == process.name]
    return [r for r in mine if not r.get("dry_run") and r.get("cause") != Cause.ROLL]


def partitions_of(report: Plain) -> int | None:
    """Return how many it has; a loop of the user's own reports nothing of Kafka."""
    assigned: int | None = report.get("assigned")
    return assigned if assigned or report.get("brokers_up") is not None else None


def _health(process: Process, node: Plain | None, *, is_heard: bool) -> tuple[str, str]:
    """Return word and reason; supervisord is the first to know of a change."""
    if node is None and not process.exited_as_spare:
        return Word.UNKNOWN.value, "the listener does not tell of it" * is_heard
    if node is None or (has_changed(process, node) and not node.get("restart")):
        health = _by_process(process)
        return health.word.value, health.why
    why = "; ".join(text for text in (node.get("why"), next_try(node)) if text)
    return str(node.get("health", Word.UNKNOWN)), why


def _by_process(process: Process) -> Health:
    if process.exited_as_spare:
        return Health(Word.SPARE)
    return health_by_state(process.state)


def is_spare(process: Process, status: ListenerStatus | None) -> bool:
    """Whether a node is down because its group is to run fewer."""
    heard = status is not None and not status.is_stale
    node = status.nodes.get(process.name) if status is not None and heard else None
    return _health(process, node, is_heard=heard)[0] == Word.SPARE


def has_changed(process: Process, node: Plain) -> bool:
    """Whether supervisord has another state or process than the listener wrote."""
    return (node.get("state"), node.get("pid")) != (process.state, process.pid)


def is_well(shown: Sequence[Row]) -> bool:
    """Whether all nodes are as they should be; without nodes nothing is well."""
    return bool(shown) and all(row.is_well for row in shown)


def is_at_work(shown: Sequence[Row]) -> bool:
    """Whether all nodes are well but for messages that fail."""
    return all(row.is_well or row.health == Word.FAILING for row in shown)


def is_unknown(shown: Sequence[Row]) -> bool:
    """Whether the health of some node is unknown, or there is no node."""
    return not shown or any(row.health == Word.UNKNOWN for row in shown)
