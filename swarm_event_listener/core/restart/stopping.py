"""The first half of a restart: the intent, the evidence, and the stop.

The intent is written twice: before anything is signalled, and before the stop is asked
for. So the next listener knows of a node that is down whether we can have stopped it.
"""

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
    Signal,
    Stop,
    Survey,
)
from swarm_event_listener.core.restart.restart import (
    ASK_AGAIN_S,
    BY_OUR_HAND,
    Phase,
    Restart,
    Step,
    StopTimeouts,
    dropped,
    intend,
    published,
    replaced,
    say,
)
from swarm_event_listener.core.restart.starting import down, recovering

EVIDENCE_S: Final = 0.1  # for the stacks to reach the node's log before it is stopped
UNKILLABLE_S: Final = 60.0  # beyond stopwaitsecs: not even KILL ends the process


def journaled(restart: Restart, *, ok: bool, now_s: float) -> Step:
    """Go on once it is known whether the intent is durable."""
    if restart.phase not in {Phase.INTENDED, Phase.READY}:
        return Step(restart)
    pid = restart.record.pid
    if pid is None:  # there is nothing to stop, so there is nothing to lose
        return down(restart, now_s=now_s)
    if not ok:
        return _without_journal(restart, pid, now_s=now_s)
    if restart.phase is Phase.READY:
        return _stop(restart, pid, now_s=now_s)
    asked = replace(restart, phase=Phase.EVIDENCE, since_s=now_s)
    return Step(asked, (Signal(name=restart.name, pid=pid, signal="TTIN"),))


def ready(restart: Restart, *, now_s: float) -> Step:
    """Record in the journal that the stop comes next."""
    armed = replace(restart, phase=Phase.READY, since_s=now_s)
    return Step(armed, (intend(armed),))


def _without_journal(restart: Restart, pid: int, *, now_s: float) -> Step:
    if restart.record.cause not in BY_OUR_HAND:
        return dropped(restart, "its intent cannot be written")
    record = replace(restart.record, stop_sent_at_s=now_s)
    again = replace(
        restart, record=record, phase=Phase.STOPPING, since_s=now_s, durable=False
    )
    return Step(
        again,
        (
            say(restart, Level.ERROR, "intent_not_durable", signal="TERM"),
            Signal(name=restart.name, pid=pid, signal="TERM"),
            published(restart.record, "stopping"),
        ),
    )


def _stop(restart: Restart, pid: int, *, now_s: float) -> Step:
    """Ask for the stop, also once more."""
    sent_at_s = restart.record.stop_sent_at_s or now_s
    again = replace(
        restart,
        record=replace(restart.record, stop_sent_at_s=sent_at_s),
        phase=Phase.STOPPING,
        since_s=restart.since_s if restart.phase is Phase.STOPPING else now_s,
        asked_at_s=now_s,
    )
    return Step(again, (Stop(name=restart.name, pid=pid),))


def stop_answered(restart: Restart, reply: Answered, *, now_s: float) -> Step:
    """Go on with supervisord's answer to a stop."""
    if restart.phase is not Phase.STOPPING:
        return Step(restart)
    if reply.answer is Answer.DONE:
        again = replace(restart, accepted=True, asked_at_s=None)
        return Step(again, (published(restart.record, "stopping"),))
    if reply.answer is Answer.UNREACHABLE:
        # It may have been carried out: asking again tells, since a process that is
        # stopping already answers NOT_RUNNING, and one that is gone has no pid.
        return Step(replace(restart, asked_at_s=now_s, accepted=True))
    if _has_gone(reply):
        if restart.accepted:
            return Step(replace(restart, asked_at_s=None), (Survey(),))
        return dropped(restart, "somebody else stopped it")
    return dropped(restart, f"stop: {reply.answer} {reply.fault or ''}".rstrip())


def _has_gone(reply: Answered) -> bool:
    """Whether the process to stop is stopping, or is no more."""
    not_running = reply.answer is Answer.FAULT and reply.fault == FaultCode.NOT_RUNNING
    return not_running or reply.answer is Answer.OTHER_PID


def signal_answered(restart: Restart, reply: Answered, *, now_s: float) -> Step:
    """Go on with supervisord's answer to a signal: TTIN, or TERM and KILL."""
    if restart.phase is Phase.EVIDENCE and reply.answer is Answer.OTHER_PID:
        return dropped(restart, "the process was replaced")
    if restart.phase is not Phase.STOPPING or restart.durable:
        return Step(restart)
    if reply.answer is Answer.UNREACHABLE:
        return Step(replace(restart, asked_at_s=now_s, accepted=True))
    if reply.answer is Answer.DONE:
        return Step(replace(restart, asked_at_s=None, accepted=True))
    if not restart.accepted:
        return dropped(restart, "the process was replaced")
    return Step(replace(restart, asked_at_s=None), (Survey(),))


def seen_before_stop(restart: Restart, state: ProcessState, pid: int | None) -> Step:
    """Stand down when the process is no longer the one to stop."""
    to_stop = restart.record.pid
    if to_stop is None and state not in UP:
        return Step(restart)
    if state in UP and pid in {to_stop, None} and to_stop is not None:
        return Step(restart)
    return replaced(restart, state, pid)


def seen_stopping(
    restart: Restart,
    state: ProcessState,
    pid: int | None,
    *,
    timeouts: StopTimeouts,
    now_s: float,
) -> Step:
    """Follow the process until it is gone."""
    record = restart.record
    match state:
        case ProcessState.STOPPING:
            return Step(replace(restart, accepted=True))
        case ProcessState.STOPPED | ProcessState.FATAL | ProcessState.UNKNOWN:
            waited_s = now_s - (record.stop_sent_at_s or now_s)
            killed = record.killed or waited_s >= timeouts.stop_wait_s
            gone = replace(restart, record=replace(record, killed=killed))
            return down(gone, now_s=now_s)
        case ProcessState.EXITED if restart.durable:
            # It died before the stop reached it: supervisord brings it back.
            return dropped(restart, "the process exited by itself")
        case ProcessState.EXITED | ProcessState.BACKOFF:
            # After our TERM: supervisord brings it back, or it is started after the
            # pause all the same.
            return down(restart, now_s=now_s)
        case _ if pid == record.pid or (pid is None and not record.stopped_at_s):
            return Step(restart)  # not gone yet
        case _:
            return recovering(restart, pid, now_s=now_s)


def stop_due_at_s(restart: Restart, timeouts: StopTimeouts) -> float | None:
    """Return when a stop takes too long; None when nothing more can be done."""
    if restart.asked_at_s is not None:
        return restart.asked_at_s + ASK_AGAIN_S
    if restart.is_unkillable:
        return None
    if restart.durable:
        return restart.since_s + timeouts.stop_wait_s + UNKILLABLE_S
    unkillable_s = UNKILLABLE_S if restart.record.killed else 0.0
    return restart.since_s + timeouts.shutdown_timeout_s + unkillable_s


def stop_overdue(restart: Restart, *, now_s: float) -> Step:
    """Ask again; KILL where supervisord does not; at last, no longer count on it."""
    pid, is_unanswered = restart.record.pid, restart.asked_at_s is not None
    if pid is not None and restart.durable and is_unanswered:
        return _stop(restart, pid, now_s=now_s)
    may_signal = is_unanswered or not restart.record.killed
    if pid is not None and not restart.durable and may_signal:
        return _signal(restart, pid, is_again=is_unanswered)
    said = say(
        restart,
        Level.ERROR,
        "node_unkillable",
        stopping_for_s=round(now_s - restart.since_s, 1),
    )
    return Step(replace(restart, is_unkillable=True), (said,))


def _signal(restart: Restart, pid: int, *, is_again: bool) -> Step:
    """Send TERM once more where it was not answered, otherwise KILL."""
    killed = restart.record.killed or not is_again
    signalled = replace(
        restart, record=replace(restart.record, killed=killed), asked_at_s=None
    )
    signal = "KILL" if killed else "TERM"
    return Step(signalled, (Signal(name=restart.name, pid=pid, signal=signal),))
