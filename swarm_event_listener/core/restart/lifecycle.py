"""One restart, step by step: a state machine without clock or I/O.

    INTENDED --durable--> EVIDENCE --0.1 s--> READY --durable--> STOPPING
       |                     |                  |                 |    | gone
       |   died, replaced, stopped by another, held, listener ends|    v
       +---------------------+------------------+-----------------+   DOWN
       v                                                               | pause
    dropped: nothing happened          operator's start +--------------+
                                                        |              v
    the record is kept <--polled, died, or 60 s-- RECOVERING <------ STARTING

Each function takes a restart and what happened, and returns a `Step`: the restart as it
is now (None when it has ended) and what is to be done. `stopping` and `starting` are
its halves, `resuming` its life after a listener's death.

The intent is durable before anything is signalled, so that the next listener can finish
what a killed one began. Where it cannot be written, the node gets a plain TERM:
supervisord itself brings a node back that exits (``autorestart``), whereas one that was
stopped by RPC would stay down with the listener that stopped it.
"""

from __future__ import annotations

from dataclasses import replace

from swarm_event_listener.core.model.events import (
    Answered,
    Level,
    ProcessState,
    Signal,
    Start,
    Stop,
)
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.restart import starting, stopping
from swarm_event_listener.core.restart.restart import (
    ASK_AGAIN_S,
    BY_OUR_HAND,
    Phase,
    Restart,
    Step,
    StopTimeouts,
    cut_short,
    dropped,
    ended,
    intend,
    say,
)
from swarm_event_listener.core.restart.starting import RECOVERY_S
from swarm_event_listener.core.restart.stopping import EVIDENCE_S


def begin(
    record: Record, *, takes_evidence: bool, is_try: bool = False, now_s: float
) -> Step:
    """Begin a restart: first of all its intent is made durable."""
    is_asked = takes_evidence and record.pid is not None
    restart = Restart(
        record=record,
        phase=Phase.INTENDED if is_asked else Phase.READY,
        since_s=now_s,
        is_try=is_try,
    )
    return Step(restart, (intend(restart),))


def answered(restart: Restart, reply: Answered, *, now_s: float) -> Step:
    """Go on with supervisord's answer to a call of this restart."""
    match reply.action:
        case Start():
            return starting.start_answered(restart, reply, now_s=now_s)
        case Stop(pid=pid) | Signal(pid=pid) if pid != restart.record.pid:
            return Step(restart)  # of a restart before this one
        case Stop():
            return stopping.stop_answered(restart, reply, now_s=now_s)
        case Signal():
            return stopping.signal_answered(restart, reply, now_s=now_s)


def seen(
    restart: Restart,
    state: ProcessState,
    pid: int | None,
    *,
    timeouts: StopTimeouts,
    now_s: float,
) -> Step:
    """Go on with the state that the process is in now."""
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE | Phase.READY:
            return stopping.seen_before_stop(restart, state, pid)
        case Phase.STOPPING:
            return stopping.seen_stopping(
                restart, state, pid, timeouts=timeouts, now_s=now_s
            )
        case Phase.DOWN | Phase.STARTING:
            return starting.seen_down(restart, state, pid, now_s=now_s)
        case Phase.RECOVERING:
            return starting.seen_recovering(restart, state, pid)


def recovered(restart: Restart, *, pid: int, now_s: float) -> Step:
    """End a restart whose new process works."""
    if restart.phase is not Phase.RECOVERING:
        return Step(restart)
    return ended(replace(restart.record, new_pid=pid, recovered_at_s=now_s))


def elapsed(restart: Restart, *, timeouts: StopTimeouts, now_s: float) -> Step:
    """Go on with what is due by now."""
    due_at_s = wake_at_s(restart, timeouts=timeouts)
    if due_at_s is None or now_s < due_at_s:
        return Step(restart)
    match restart.phase:
        case Phase.EVIDENCE:
            return stopping.ready(restart, now_s=now_s)
        case Phase.STOPPING:
            return stopping.stop_overdue(restart, now_s=now_s)
        case Phase.DOWN:
            return starting.start(restart, now_s=now_s)
        case Phase.STARTING:
            return starting.start_overdue(restart, now_s=now_s)
        case _:
            return ended(restart.record)


def wake_at_s(restart: Restart, *, timeouts: StopTimeouts) -> float | None:
    """Return when `elapsed` has something to do; None while only events matter."""
    match restart.phase:
        case Phase.INTENDED | Phase.READY:
            return None
        case Phase.EVIDENCE:
            return restart.since_s + EVIDENCE_S
        case Phase.STOPPING:
            return stopping.stop_due_at_s(restart, timeouts)
        case Phase.DOWN:
            return restart.since_s + restart.record.pause_s
        case Phase.STARTING:
            return (restart.asked_at_s or restart.since_s) + ASK_AGAIN_S
        case Phase.RECOVERING:
            return restart.since_s + RECOVERY_S


def abort_for_shutdown(restart: Restart, *, now_s: float) -> Step:
    """Cut a restart short because the listener ends: nothing new is stopped.

    What is not stopped yet is left alone; what is down is started at once; what is
    still stopping is started when it is gone, if the listener lives to see it.
    """
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE | Phase.READY:
            return dropped(restart, "the listener ends")
        case Phase.STOPPING:
            record = replace(restart.record, pause_s=0.0)
            return Step(replace(restart, record=record))
        case Phase.DOWN:
            return starting.start(restart, now_s=now_s)
        case _:
            return Step(restart)


def held(restart: Restart, *, is_held: bool) -> Step:
    """Carry out an operator's hold or release of the node.

    What is not stopped yet is left alone; what is stopped, or about to be, stays down:
    supervisord refuses the operator's own stop then, so a hold takes its place.
    """
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE | Phase.READY if is_held:
            return dropped(restart, "an operator holds it")
        case Phase.STOPPING:
            return Step(replace(restart, starts_again=not is_held))
        case Phase.DOWN | Phase.STARTING if is_held:
            return ended(restart.record)
        case _:
            return Step(restart)


def abandon(restart: Restart) -> Step:
    """End a restart that the listener does not live to finish.

    A process that has had a mere TERM is still there: the next listener judges it
    anew, and a record of ours would be the first of two.
    """
    if restart.phase is Phase.STOPPING and not restart.durable:
        return dropped(restart, "the listener ends, TERM was sent")
    step = removed(restart)
    is_down = restart.phase in {Phase.STOPPING, Phase.DOWN}
    if not (is_down and restart.durable and restart.starts_again):
        return step
    left = say(restart, Level.ERROR, "node_left_down", do="supervisorctl start")
    return Step(None, (*step.actions, left))


def removed(restart: Restart) -> Step:
    """End a restart whose node is no more: its group was removed or has shrunk."""
    if restart.phase in {Phase.STARTING, Phase.RECOVERING}:
        return ended(restart.record)
    return cut_short(restart, "the node was removed, or the listener ends")


def is_unsettled(restart: Restart) -> bool:
    """Whether a listener that ends now would leave its node down.

    Or in a stop without an intent, of which the next listener knows nothing.
    """
    match restart.phase:
        case Phase.STOPPING:
            return restart.starts_again
        case Phase.DOWN | Phase.STARTING:
            return True
        case _:
            return False


def holds_place(restart: Restart, *, now_s: float) -> bool:
    """Whether a node is down by our hand, so that others must wait.

    A node that fails again and again is down by its own hand: its back-off does not
    keep the others from being healed for longer than `RECOVERY_S`.
    """
    if restart.record.cause not in BY_OUR_HAND:
        return False
    match restart.phase:
        case Phase.STOPPING:
            return not restart.is_unkillable
        case Phase.DOWN:
            stopped_at_s = restart.record.stopped_at_s or restart.since_s
            return now_s - stopped_at_s < RECOVERY_S  # also when its starts fail
        case Phase.STARTING | Phase.RECOVERING:
            return now_s - (restart.record.started_at_s or now_s) < RECOVERY_S
        case _:
            return True
