"""The second half of a restart: the pause, the start, and whether it works again."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from swarm_event_listener.core.model.events import (
    UP,
    Answer,
    Answered,
    FaultCode,
    Level,
    ProcessState,
    Start,
    Survey,
)
from swarm_event_listener.core.restart.restart import (
    Phase,
    Restart,
    Step,
    cut_short,
    dropped,
    ended,
    intend,
    published,
    say,
)

RECOVERY_S: Final = 60.0  # then the next node is no longer kept waiting

_GONE_FOR_GOOD: Final = frozenset({FaultCode.BAD_NAME, FaultCode.SHUTDOWN_STATE})


def down(restart: Restart, *, now_s: float) -> Step:
    """The process is gone: its pause begins."""
    record = replace(restart.record, stopped_at_s=restart.record.stopped_at_s or now_s)
    if not restart.starts_again:
        return ended(record)
    gone = replace(
        restart, record=record, phase=Phase.DOWN, since_s=now_s, asked_at_s=None
    )
    return Step(gone, (intend(gone),))


def start(restart: Restart, *, now_s: float) -> Step:
    """Ask for the start, also once more."""
    started_at_s = restart.record.started_at_s or now_s
    again = replace(
        restart,
        record=replace(restart.record, started_at_s=started_at_s),
        phase=Phase.STARTING,
        since_s=restart.since_s if restart.phase is Phase.STARTING else now_s,
        asked_at_s=now_s,
    )
    return Step(again, (Start(name=restart.name),))


def start_overdue(restart: Restart, *, now_s: float) -> Step:
    """Look, and ask again.

    supervisord answers True to a start and does nothing while the process is still
    STOPPING; and an answer that was lost says nothing.
    """
    again = start(restart, now_s=now_s)
    return Step(again.restart, (Survey(), *again.actions))


def start_answered(restart: Restart, reply: Answered, *, now_s: float) -> Step:
    """Go on with supervisord's answer to a start."""
    if restart.phase is not Phase.STARTING:
        return Step(restart)  # the process was seen before the answer came
    if reply.answer is Answer.DONE:
        return Step(restart, (published(restart.record, "started"),))
    if reply.answer is not Answer.FAULT or reply.fault == FaultCode.ALREADY_STARTED:
        return Step(restart, (Survey(),))
    if reply.fault in _GONE_FOR_GOOD:
        return cut_short(restart, f"start: fault {reply.fault}")
    # No such file, no fork, ...: an operator must act, and until then it is tried
    # again at a bounded rate.
    pause_s = max(restart.record.pause_s, RECOVERY_S)
    record = replace(restart.record, pause_s=pause_s, started_at_s=None)
    later = replace(restart, record=record, phase=Phase.DOWN, since_s=now_s)
    said_so = say(
        restart, Level.ERROR, "start_failed", fault=reply.fault, next_try_s=pause_s
    )
    return Step(later, (said_so,))


def seen_down(
    restart: Restart, state: ProcessState, pid: int | None, *, now_s: float
) -> Step:
    """Whoever started it, us or an operator: it is up, and that ends the pause."""
    if state in UP:
        return recovering(restart, pid, now_s=now_s)
    return Step(restart)


def recovering(restart: Restart, pid: int | None, *, now_s: float) -> Step:
    """The new process is there; it has yet to poll."""
    record = replace(
        restart.record,
        new_pid=pid,
        stopped_at_s=restart.record.stopped_at_s or now_s,
        started_at_s=restart.record.started_at_s or now_s,
    )
    again = replace(restart, record=record, phase=Phase.RECOVERING, since_s=now_s)
    return Step(again)


def seen_recovering(restart: Restart, state: ProcessState, pid: int | None) -> Step:
    """Learn the new process's id; its end ends the restart without a recovery."""
    new_pid = restart.record.new_pid
    if restart.is_try and state not in UP:
        return dropped(restart, "it exited again")
    if state not in UP or (pid and new_pid and pid != new_pid):
        return ended(restart.record)
    record = replace(restart.record, new_pid=pid or new_pid)
    return Step(replace(restart, record=record))
