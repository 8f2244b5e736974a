"""What the next listener makes of a restart that a killed one began."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from swarm_event_listener.core.model.events import UP, ProcessInfo, ProcessState
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.restart.restart import (
    Phase,
    Restart,
    Step,
    StopTimeouts,
    ended,
    replaced,
)
from swarm_event_listener.core.restart.starting import down, seen_down
from swarm_event_listener.core.restart.stopping import ready, seen_stopping

START_ERROR_S: Final = 1.0  # supervisord tells starts in whole seconds

_SINCE_STARTED: Final = frozenset({ProcessState.EXITED, ProcessState.BACKOFF})


def resume(
    intent: Restart, found: ProcessInfo, *, timeouts: StopTimeouts, now_s: float
) -> Step:
    """Finish what a killed listener began, from what supervisord says now.

    A process that still is the one to stop was not stopped yet. One that is STOPPING or
    STOPPED was stopped by us if the stop was next (`Phase.READY`), and by an operator
    before that. In the millisecond in which we may or may not have asked for the stop
    both look alike: supervisord keeps no word of who asked.
    """
    if intent.phase is Phase.DOWN:
        return _resume_down(intent, found, now_s=now_s)
    state, pid = found.state, found.pid
    if state in UP and pid is not None and pid == intent.record.pid:
        return ready(intent, now_s=now_s)
    if intent.phase is not Phase.READY or _is_successor(intent, found, now_s=now_s):
        return replaced(intent, state, pid)
    sent_at_s = intent.record.stop_sent_at_s or now_s
    record = replace(intent.record, stop_sent_at_s=sent_at_s)
    stopped = replace(intent, record=record, phase=Phase.STOPPING, accepted=True)
    match state:
        case ProcessState.STOPPING:
            return seen_stopping(stopped, state, pid, timeouts=timeouts, now_s=now_s)
        case ProcessState.STOPPED:
            return down(stopped, now_s=now_s)
        case _:
            return replaced(intent, state, pid)


def _resume_down(intent: Restart, found: ProcessInfo, *, now_s: float) -> Step:
    """Go on with the pause, unless the node was started since."""
    has_ended = found.state in _SINCE_STARTED
    if has_ended or _is_successor(intent, found, now_s=now_s):
        return ended(intent.record)
    if found.state in UP:
        intent = replace(intent, record=_started(intent, found, now_s=now_s))
    return seen_down(intent, found.state, found.pid, now_s=now_s)


def _started(intent: Restart, found: ProcessInfo, *, now_s: float) -> Record:
    """Return the record with the start that supervisord tells of.

    Not with this moment: a new process keeps the others waiting for one minute, however
    many listeners die in it. supervisord's clock may have been set: the start is
    neither before the stop nor ahead.
    """
    ago_s = max(0.0, found.started_ago_s or 0.0)
    return replace(intent.record, started_at_s=max(intent.since_s, now_s - ago_s))


def _is_successor(intent: Restart, found: ProcessInfo, *, now_s: float) -> bool:
    """Whether who is down now is not the one that the intent is about.

    Without a pid the age of the last start tells it. A rule is not broken by a process
    so young that a second of error would matter.
    """
    if found.state is ProcessState.STOPPING:
        return found.pid not in {None, intent.record.pid}
    if found.state is not ProcessState.STOPPED or found.started_ago_s is None:
        return False
    intended_ago_s = now_s - intent.record.detected_at_s
    return found.started_ago_s + START_ERROR_S < intended_ago_s
