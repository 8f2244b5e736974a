"""The deaths of nodes: how each came about, and how its node came back.

supervisord brings such a node back, or leaves it down; how its process ended is asked
of supervisord's log (`ReadExit`). A record is kept once that is known, or cannot be,
and the node works again, is down for good, or has had a minute. One that died too often
is kept down by a restart of ours, and its death is part of that restart's record.

Each function returns the node as it is then, and what is to be done.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.death import Death
from swarm_event_listener.core.model.events import (
    UP,
    Action,
    ExitRead,
    ProcessState,
    ReadExit,
    Remember,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.node import Node, suspect_of
from swarm_event_listener.core.restart.restart import Phase
from swarm_event_listener.core.restart.starting import RECOVERY_S
from swarm_worker.shared.report import Report

READ_WITHIN_S: Final = 2.0  # supervisord's log
SURVEYED_WITHIN_S: Final = 10.0  # the exit code of a node that is left down

DEAD: Final = frozenset({ProcessState.EXITED, ProcessState.BACKOFF})
_DOWN: Final = frozenset(
    {ProcessState.STOPPED, ProcessState.FATAL, ProcessState.UNKNOWN}
)

Done = tuple[Node, tuple[Action, ...]]


def has_died(node: Node, state: ProcessState) -> bool:
    """Whether a node that comes into a state has died by itself.

    One that could not work and is tried again has died when it first did.
    """
    if state not in DEAD or node.state is state:
        return False
    restart = node.restart
    if restart is None:
        return True
    if restart.phase is Phase.STOPPING:
        return restart.durable  # a stop ends as STOPPED, our TERM as EXITED
    return not restart.is_try and restart.phase is not Phase.DOWN


def was_replaced(node: Node, state: ProcessState, pid: int | None) -> bool:
    """Whether a node has another process, and nobody has told of its former one's end.

    Events were lost: it may have died, or been restarted by an operator.
    """
    is_other = pid is not None and node.pid is not None and pid != node.pid
    return is_other and node.restart is None and node.state in UP and state in UP


def record_of(node: Node, pid: int | None, *, is_seen: bool, now_s: float) -> Record:
    """Return the record of a death as it begins.

    Args:
        node: As it was before.
        pid: The process.
        is_seen: supervisord said that it ended.
        now_s: Now.
    """
    return Record(
        node=node.name,
        pid=pid,
        cause=Cause.DIED,
        status=None,
        reason="",
        in_flight=node.report.in_flight if node.report else (),
        rss_mb=node.memory_mb,
        detected_at_s=now_s,
        stopped_at_s=now_s,
        death=Death(pid=pid, is_seen=is_seen),
    )


def begun(node: Node, record: Record, backoff: BackoffPolicy) -> Done:
    """Begin the record of a death; that of the death before is kept."""
    node, kept = closed(node, backoff)
    return replace(node, died=record), (*kept, asked(record))


def asked(record: Record) -> ReadExit:
    """Return the question how the node of a record died."""
    is_seen = record.death is not None and record.death.is_seen
    at_s = record.detected_at_s if is_seen else None
    return ReadExit(name=record.node, pid=record.pid, at_s=at_s)


def told(node: Node, event: ExitRead, backoff: BackoffPolicy) -> Done:
    """Take in how a process ended.

    Where supervisord's log says nothing of a node that is left down, its list of
    processes may still tell the exit code.
    """
    record, death = _open(node)
    if record is None or death is None or death.is_told or death.pid != event.pid:
        return node, ()
    if event.exit_code is None and event.signal is None:
        return (node, ()) if node.left_down else _as_told(node, backoff)
    known = replace(
        death,
        exit_code=event.exit_code,
        signal=event.signal,
        out_of_memory=event.out_of_memory,
    )
    return _known(node, record, known, backoff)


def followed(node: Node, *, now_s: float) -> Node:
    """Return the node with its next process on record."""
    record = node.died
    if record is None or node.state not in UP:
        return node
    started_at_s = record.started_at_s or now_s
    return _with(node, replace(record, started_at_s=started_at_s, new_pid=node.pid))


def heard(
    node: Node, report: Report, backoff: BackoffPolicy, *, is_first: bool, now_s: float
) -> Node:
    """Return the node with what its next process has found, and that it works."""
    record = node.died
    if record is None or record.started_at_s is None or record.recovered_at_s:
        return node
    is_late = now_s - record.started_at_s >= RECOVERY_S  # nobody listened meanwhile
    if is_first and report.died_in_flight:
        suspect = suspect_of(node.failures, backoff)
        record = replace(record, in_flight=report.died_in_flight, suspect=suspect)
    if node.has_recovered and not is_late:
        record = replace(record, new_pid=node.pid, recovered_at_s=now_s)
    return _with(node, record)


def elapsed(node: Node, backoff: BackoffPolicy, *, now_s: float) -> Done:
    """Give up what nobody tells, and keep the record of what has come to an end."""
    record, death = _open(node)
    if record is None or death is None:
        return node, ()
    within_s = SURVEYED_WITHIN_S if node.left_down else READ_WITHIN_S
    if not death.is_told and now_s - record.detected_at_s < within_s:
        return node, ()
    if _is_over(node, record, now_s=now_s):
        return closed(node, backoff)
    return _as_told(node, backoff)


def closed(node: Node, backoff: BackoffPolicy) -> Done:
    """Keep the record of a death, if there is one, as far as it has come."""
    node, said = _as_told(node, backoff)
    if node.died is None:
        return node, said
    kept = Remember(name=node.name, record=node.died)
    return replace(node, died=None), (*said, kept)


def _is_over(node: Node, record: Record, *, now_s: float) -> bool:
    if node.restart is not None:
        return False  # whose record tells of it, if it is not dropped
    if record.recovered_at_s is not None or node.state in _DOWN:
        return True
    if node.state is ProcessState.EXITED and node.left_down is not None:
        return True
    return now_s - (record.started_at_s or record.detected_at_s) >= RECOVERY_S


def _open(node: Node) -> tuple[Record | None, Death | None]:
    """Return the record of a death that has not come to an end, and the death."""
    return node.died, node.died.death if node.died else None


def _as_told(node: Node, backoff: BackoffPolicy) -> Done:
    """Wait no longer for how it died.

    An operator may have restarted what nobody has seen end: that is no death.
    """
    record, death = _open(node)
    if record is None or death is None or death.is_told:
        return node, ()
    if not death.is_seen:
        return replace(node, died=None), ()
    return _known(node, record, death, backoff)


def _known(node: Node, record: Record, death: Death, backoff: BackoffPolicy) -> Done:
    """Keep, count and log a death of which all is known that can be."""
    death = replace(death, is_told=True)
    suspect = suspect_of(node.failures, backoff)
    record = replace(record, death=death, suspect=suspect)
    count = node.deaths.get(death.cause, 0) + 1
    deaths = {**node.deaths, death.cause: count}
    return replace(node, died=record, deaths=deaths), (lines.died(record),)


def _with(node: Node, record: Record) -> Node:
    return node if record == node.died else replace(node, died=record)
