"""One restart, step by step: a state machine without clock or I/O.

    INTENDED --durable--> EVIDENCE --0.1 s--> STOPPING --gone--> DOWN -pause-> STARTING
       |                     |                   |                |                |
       |  died, other pid    |   stood down      |  operator's    |        running |
       +---------------------+-------------------+  start         +--------+-------+
       |                                                                   |
       v                                                                   v
    dropped: nothing happened            polled, died, or 60 s <---- RECOVERING
                                         the record is kept

Each function takes a restart and what happened, and gives a `Step`: the restart as it
is now (None when it has ended) and what is to be done.

The intent is durable before anything is signalled, so that the next listener can finish
what a killed one began. Where it cannot be written, the node gets a plain TERM:
supervisord itself brings a node back that exits (``autorestart``), whereas one that was
stopped by RPC would stay down with the listener that stopped it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from swarm_event_listener.events import (
    Action,
    Answer,
    Answered,
    FaultCode,
    Forget,
    Intend,
    Level,
    ProcessInfo,
    ProcessState,
    Publish,
    Remember,
    Say,
    Signal,
    Start,
    Stop,
    Survey,
)
from swarm_event_listener.record import Cause, Record

EVIDENCE_S: Final = 0.1  # for the stacks to reach the node's log before it is stopped
ASK_AGAIN_S: Final = 2.0  # after a call without an answer, or without an effect
RECOVERY_S: Final = 60.0  # then the next node is no longer kept waiting
START_ERROR_S: Final = 1.0  # supervisord tells starts in whole seconds
UNKILLABLE_S: Final = 60.0  # beyond stopwaitsecs: not even KILL ends the process


class Phase(StrEnum):
    """Where a restart stands."""

    INTENDED = "intended"
    EVIDENCE = "evidence"
    STOPPING = "stopping"
    DOWN = "down"
    STARTING = "starting"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a stopping process of a group is waited for.

    Attributes:
        stop_wait_s: The program's ``stopwaitsecs``: then supervisord KILLs.
        shutdown_timeout_s: Between TERM and KILL where supervisord does not escalate.
    """

    stop_wait_s: float = 60.0
    shutdown_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A restart under way.

    Attributes:
        record: What will be kept of it.
        phase: Where it stands.
        since_s: When that phase began.
        takes_evidence: Whether the node is asked for its stacks first.
        durable: Whether the intent is in the journal.
        accepted: Whether supervisord took our stop.
        asked_at_s: When a call was made whose effect is still to be seen.
        starts_again: An operator may have it otherwise: a held node stays down.
        given_up: The process outlived KILL; its place is free for the next node.
    """

    record: Record
    phase: Phase
    since_s: float
    takes_evidence: bool = False
    durable: bool = True
    accepted: bool = False
    asked_at_s: float | None = None
    starts_again: bool = True
    given_up: bool = False

    @property
    def name(self) -> str:
        """The node."""
        return self.record.node

    def as_intent(self) -> dict[str, Any]:
        """Give the restart as plain data for the journal."""
        return {
            "phase": self.phase.value,
            "since_s": self.since_s,
            "record": dataclasses.asdict(self.record),
        }

    @classmethod
    def from_intent(cls, data: Mapping[str, Any]) -> Restart:
        """Read back what `as_intent` gave.

        Raises:
            KeyError: A field is missing.
            TypeError: A field is unknown.
            ValueError: A value is of another kind.
        """
        return cls(
            record=Record.from_intent(data["record"]),
            phase=Phase(data["phase"]),
            since_s=float(data["since_s"]),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What a restart came to: None when it has ended."""

    restart: Restart | None
    actions: tuple[Action, ...] = ()


def begin(record: Record, *, takes_evidence: bool, now_s: float) -> Step:
    """Begin a restart: first of all its intent is made durable."""
    restart = Restart(
        record=record,
        phase=Phase.INTENDED,
        since_s=now_s,
        takes_evidence=takes_evidence and record.pid is not None,
    )
    return Step(restart, (_intend(restart),))


def journaled(restart: Restart, *, ok: bool, now_s: float) -> Step:
    """Go on once it is known whether the intent is durable."""
    if restart.phase is not Phase.INTENDED:
        return Step(restart)
    pid = restart.record.pid
    if pid is None:  # there is nothing to stop, so there is nothing to lose
        return _down(restart, now_s=now_s)
    if not ok:
        return _without_journal(restart, pid, now_s=now_s)
    if restart.takes_evidence:
        asked = replace(restart, phase=Phase.EVIDENCE, since_s=now_s)
        return Step(asked, (Signal(name=restart.name, pid=pid, signal="TTIN"),))
    return _stop(restart, now_s=now_s)


def answered(restart: Restart, said: Answered, *, now_s: float) -> Step:
    """Go on with supervisord's answer to a call of this restart."""
    match said.action:
        case Stop():
            return _stop_answered(restart, said, now_s=now_s)
        case Start():
            return _start_answered(restart, said, now_s=now_s)
        case Signal():
            return _signal_answered(restart, said)


def seen(
    restart: Restart,
    state: ProcessState,
    pid: int | None,
    *,
    patience: Patience,
    now_s: float,
) -> Step:
    """Go on with the state that the process is in now."""
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE:
            return _seen_before_stop(restart, state, pid)
        case Phase.STOPPING:
            return _seen_stopping(restart, state, pid, patience=patience, now_s=now_s)
        case Phase.DOWN | Phase.STARTING:
            return _seen_down(restart, state, pid, now_s=now_s)
        case Phase.RECOVERING:
            return _seen_recovering(restart, state, pid)


def recovered(restart: Restart, *, pid: int, now_s: float) -> Step:
    """End a restart whose new process works."""
    if restart.phase is not Phase.RECOVERING:
        return Step(restart)
    return _ended(replace(restart.record, new_pid=pid, recovered_at_s=now_s))


def elapsed(restart: Restart, *, patience: Patience, now_s: float) -> Step:
    """Go on with what is due by now."""
    due_at_s = wake_at_s(restart, patience=patience)
    if due_at_s is None or now_s < due_at_s:
        return Step(restart)
    match restart.phase:
        case Phase.EVIDENCE:
            return _stop(restart, now_s=now_s)
        case Phase.STOPPING:
            return _stop_overdue(restart, now_s=now_s)
        case Phase.DOWN:
            return _start(restart, now_s=now_s)
        case Phase.STARTING:
            # supervisord answers True to a start and does nothing while the process
            # is still STOPPING: look, and ask again.
            again = _start(restart, now_s=now_s)
            return Step(again.restart, (Survey(), *again.actions))
        case _:
            return _ended(restart.record)


def wake_at_s(restart: Restart, *, patience: Patience) -> float | None:
    """Give when `elapsed` has something to do; None while only events matter."""
    match restart.phase:
        case Phase.INTENDED:
            return None
        case Phase.EVIDENCE:
            return restart.since_s + EVIDENCE_S
        case Phase.STOPPING:
            return _stop_due_at_s(restart, patience)
        case Phase.DOWN:
            return restart.since_s + restart.record.pause_s
        case Phase.STARTING:
            return (restart.asked_at_s or restart.since_s) + ASK_AGAIN_S
        case Phase.RECOVERING:
            return restart.since_s + RECOVERY_S


def hurry(restart: Restart, *, now_s: float) -> Step:
    """Cut a restart short because the listener ends: nothing new is stopped.

    What is not stopped yet is left alone; what is down is started at once; what is
    still stopping is started when it is gone, if the listener lives to see it.
    """
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE:
            return _dropped(restart, "the listener ends")
        case Phase.STOPPING if restart.durable:
            record = replace(restart.record, pause_s=0.0)
            return Step(replace(restart, record=record))
        case Phase.DOWN:
            return _start(restart, now_s=now_s)
        case _:
            return Step(restart)


def resume(
    intent: Restart, found: ProcessInfo, *, patience: Patience, now_s: float
) -> Step:
    """Finish what a killed listener began, from what supervisord says now.

    A process that still is the one to stop was not stopped yet. One that is STOPPING or
    STOPPED was stopped by us, unless it is a successor, which nobody but an operator
    had a reason to stop. An operator's stop in the same tenth of a second as our own
    looks alike: supervisord keeps no word of who asked.
    """
    state, pid = found.state, found.pid
    if _is_stopped_successor(intent, found, now_s=now_s):
        if intent.phase is Phase.DOWN:
            return _ended(intent.record)
        return _dropped(intent, "a successor was stopped, not by us")
    same_process = pid is not None and pid == intent.record.pid
    if state in _UP and same_process:
        return _stop(intent, now_s=now_s)
    stop_sent_at_s = intent.record.stop_sent_at_s or now_s
    record = replace(intent.record, stop_sent_at_s=stop_sent_at_s)
    if state is ProcessState.STOPPED and intent.phase is not Phase.DOWN:
        return _down(replace(intent, record=record), now_s=now_s)
    if intent.phase is Phase.DOWN or state is ProcessState.STOPPING:
        phase = intent.phase if intent.phase is Phase.DOWN else Phase.STOPPING
        again = replace(intent, record=record, phase=phase, accepted=True)
        return seen(again, state, pid, patience=patience, now_s=now_s)
    return _dropped(intent, f"the process is {state} as {pid or 'no process'}")


def _is_stopped_successor(intent: Restart, found: ProcessInfo, *, now_s: float) -> bool:
    """Tell whether who is down now is not the one that the intent is about.

    Without a pid the age of the last start tells it. A rule is not broken by a process
    so young that a second of error would matter.
    """
    if found.state is ProcessState.STOPPING:
        return found.pid not in {None, intent.record.pid}
    if found.state is not ProcessState.STOPPED or found.started_ago_s is None:
        return False
    intended_ago_s = now_s - intent.record.detected_at_s
    return found.started_ago_s + START_ERROR_S < intended_ago_s


def held(restart: Restart, *, is_held: bool) -> Step:
    """Obey an operator who takes the node out of our hands, or gives it back.

    What is not stopped yet is left alone; what is stopped, or about to be, stays down:
    supervisord refuses the operator's own stop then, so this is the word for it.
    """
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE if is_held:
            return _dropped(restart, "an operator holds it")
        case Phase.STOPPING:
            return Step(replace(restart, starts_again=not is_held))
        case Phase.DOWN if is_held:
            return _ended(restart.record)
        case _:
            return Step(restart)


def give_up(restart: Restart) -> Step:
    """End a restart that the listener does not live to finish."""
    if restart.phase in {Phase.STARTING, Phase.RECOVERING}:
        return _ended(restart.record)
    step = _dropped(restart, "the listener ends")
    if restart.phase not in {Phase.STOPPING, Phase.DOWN} or not restart.durable:
        return step
    left = _say(restart, Level.ERROR, "node_left_down", do="supervisorctl start")
    return Step(None, (*step.actions, left))


def removed(restart: Restart) -> Step:
    """End a restart whose node is no more: its group was removed or has shrunk."""
    if restart.phase in {Phase.STARTING, Phase.RECOVERING}:
        return _ended(restart.record)
    return _dropped(restart, "the node was removed")


def holds_place(restart: Restart, *, now_s: float) -> bool:
    """Tell whether a node is down by our hand, so that others must wait.

    A node that fails again and again is down by its own hand: its back-off does not
    keep the others from being healed for longer than `RECOVERY_S`.
    """
    if restart.record.cause not in _BY_OUR_HAND:
        return False
    match restart.phase:
        case Phase.STOPPING:
            return not restart.given_up
        case Phase.DOWN:
            return now_s - restart.since_s < RECOVERY_S
        case Phase.STARTING | Phase.RECOVERING:
            return now_s - (restart.record.started_at_s or now_s) < RECOVERY_S
        case _:
            return True


_BY_OUR_HAND: Final = frozenset({Cause.RULE, Cause.ROLL})
_UP: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})


def _intend(restart: Restart) -> Intend:
    return Intend(name=restart.name, intent=restart.as_intent())


def _say(restart: Restart, level: Level, event: str, **fields: object) -> Say:
    about = {"node": restart.name, "pid": restart.record.pid}
    return Say(level=level, event=event, fields={**about, **fields})


def _publish(restart: Restart, event: str) -> Publish:
    record = restart.record
    payload = {
        "node": record.node,
        "pid": record.pid,
        "status": record.status,
        "reason": record.reason,
    }
    return Publish(type=f"swarm.node.{event}", payload=payload)


def _dropped(restart: Restart, why: str) -> Step:
    """Nothing was stopped: no restart took place, so no record is kept."""
    said = _say(restart, Level.INFO, "restart_dropped", why=why)
    return Step(None, (Forget(name=restart.name), said))


def _ended(record: Record) -> Step:
    told = _told(record)
    if record.recovered_at_s is None:
        return Step(None, (Remember(name=record.node, record=record), told))
    payload = {"node": record.node, "pid": record.new_pid, "status": record.status}
    published = Publish(type="swarm.node.recovered", payload=payload)
    return Step(None, (Remember(name=record.node, record=record), told, published))


def _told(record: Record) -> Say:
    """Give the one line from which a restart can be understood."""
    has_recovered = record.recovered_at_s is not None
    return Say(
        level=Level.INFO if has_recovered else Level.WARNING,
        event="node_restarted" if has_recovered else "node_not_recovered",
        fields={
            "node": record.node,
            "pid": record.pid,
            "new_pid": record.new_pid,
            "cause": record.cause.value,
            "status": record.status,
            "reason": record.reason,
            "in_flight": ",".join(record.in_flight),
            "suspect": record.suspect,
            "rss_mb": record.rss_mb,
            "killed": record.killed,
            **{f"{step}_s": took_s for step, took_s in record.seconds().items()},
        },
    )


def _without_journal(restart: Restart, pid: int, *, now_s: float) -> Step:
    if restart.record.cause not in _BY_OUR_HAND:
        return _dropped(restart, "its intent cannot be written")
    record = replace(restart.record, stop_sent_at_s=now_s)
    again = replace(
        restart, record=record, phase=Phase.STOPPING, since_s=now_s, durable=False
    )
    return Step(
        again,
        (
            _say(restart, Level.ERROR, "intent_not_durable", signal="TERM"),
            Signal(name=restart.name, pid=pid, signal="TERM"),
            _publish(restart, "stopping"),
        ),
    )


def _stop(restart: Restart, *, now_s: float) -> Step:
    pid = restart.record.pid
    if pid is None:
        return _down(restart, now_s=now_s)
    sent_at_s = restart.record.stop_sent_at_s or now_s
    again = replace(
        restart,
        record=replace(restart.record, stop_sent_at_s=sent_at_s),
        phase=Phase.STOPPING,
        since_s=restart.since_s if restart.phase is Phase.STOPPING else now_s,
        asked_at_s=now_s,
    )
    return Step(again, (Stop(name=restart.name, pid=pid),))


def _stop_answered(restart: Restart, said: Answered, *, now_s: float) -> Step:
    if restart.phase is not Phase.STOPPING:
        return Step(restart)
    if said.answer is Answer.DONE:
        again = replace(restart, accepted=True, asked_at_s=None)
        return Step(again, (_publish(restart, "stopping"),))
    if said.answer is Answer.UNREACHABLE:
        # It may have been carried out: asking again tells, since a process that is
        # stopping already answers NOT_RUNNING.
        return Step(replace(restart, asked_at_s=now_s, accepted=True))
    if said.answer is Answer.FAULT and said.fault == FaultCode.NOT_RUNNING:
        if restart.accepted:
            return Step(replace(restart, asked_at_s=None), (Survey(),))
        return _dropped(restart, "somebody else stopped it")
    return _dropped(restart, f"stop: {said.answer} {said.fault or ''}".rstrip())


def _start(restart: Restart, *, now_s: float) -> Step:
    started_at_s = restart.record.started_at_s or now_s
    again = replace(
        restart,
        record=replace(restart.record, started_at_s=started_at_s),
        phase=Phase.STARTING,
        since_s=restart.since_s if restart.phase is Phase.STARTING else now_s,
        asked_at_s=now_s,
    )
    return Step(again, (Start(name=restart.name),))


_GONE_FOR_GOOD: Final = frozenset({FaultCode.BAD_NAME, FaultCode.SHUTDOWN_STATE})


def _start_answered(restart: Restart, said: Answered, *, now_s: float) -> Step:
    if restart.phase is not Phase.STARTING:
        return Step(restart)  # the process was seen before the answer came
    if said.answer is Answer.DONE:
        return Step(restart, (_publish(restart, "started"),))
    if said.answer is not Answer.FAULT or said.fault == FaultCode.ALREADY_STARTED:
        return Step(restart, (Survey(),))
    if said.fault in _GONE_FOR_GOOD:
        return _dropped(restart, f"start: fault {said.fault}")
    # No such file, no fork, ...: an operator must act, and until then it is tried
    # again at a bounded rate.
    pause_s = max(restart.record.pause_s, RECOVERY_S)
    record = replace(restart.record, pause_s=pause_s, started_at_s=None)
    down = replace(restart, record=record, phase=Phase.DOWN, since_s=now_s)
    said_so = _say(
        restart, Level.ERROR, "start_failed", fault=said.fault, next_try_s=pause_s
    )
    return Step(down, (said_so,))


def _signal_answered(restart: Restart, said: Answered) -> Step:
    if said.answer is Answer.OTHER_PID and restart.phase is Phase.EVIDENCE:
        return _dropped(restart, "the process was replaced")
    return Step(restart)


def _seen_before_stop(restart: Restart, state: ProcessState, pid: int | None) -> Step:
    to_stop = restart.record.pid
    if to_stop is None and state not in _UP:
        return Step(restart)
    if state in _UP and pid in {to_stop, None} and to_stop is not None:
        return Step(restart)
    return _dropped(restart, f"the process is {state} as {pid or 'no process'}")


def _seen_stopping(
    restart: Restart,
    state: ProcessState,
    pid: int | None,
    *,
    patience: Patience,
    now_s: float,
) -> Step:
    record = restart.record
    match state:
        case ProcessState.STOPPING:
            return Step(replace(restart, accepted=True))
        case ProcessState.STOPPED | ProcessState.FATAL | ProcessState.UNKNOWN:
            waited_s = now_s - (record.stop_sent_at_s or now_s)
            killed = record.killed or waited_s >= patience.stop_wait_s
            gone = replace(restart, record=replace(record, killed=killed))
            return _down(gone, now_s=now_s)
        case ProcessState.EXITED if restart.durable:
            # It died before the stop reached it: supervisord brings it back.
            return _dropped(restart, "the process exited by itself")
        case ProcessState.EXITED | ProcessState.BACKOFF:
            stopped_at_s = record.stopped_at_s or now_s
            return Step(
                replace(restart, record=replace(record, stopped_at_s=stopped_at_s))
            )
        case _ if pid == record.pid or (pid is None and not record.stopped_at_s):
            return Step(restart)  # not gone yet
        case _:
            return _recovering(restart, pid, now_s=now_s)


def _down(restart: Restart, *, now_s: float) -> Step:
    record = replace(restart.record, stopped_at_s=restart.record.stopped_at_s or now_s)
    if not restart.starts_again:
        return _ended(record)
    down = replace(
        restart, record=record, phase=Phase.DOWN, since_s=now_s, asked_at_s=None
    )
    return Step(down, (_intend(down),))


def _seen_down(
    restart: Restart, state: ProcessState, pid: int | None, *, now_s: float
) -> Step:
    """Whoever started it, us or an operator: it is up, and that ends the pause."""
    if state in _UP:
        return _recovering(restart, pid, now_s=now_s)
    if restart.phase is Phase.STARTING and state is ProcessState.FATAL:
        return _ended(restart.record)
    return Step(restart)


def _recovering(restart: Restart, pid: int | None, *, now_s: float) -> Step:
    record = replace(
        restart.record,
        new_pid=pid,
        stopped_at_s=restart.record.stopped_at_s or now_s,
        started_at_s=restart.record.started_at_s or now_s,
    )
    again = replace(restart, record=record, phase=Phase.RECOVERING, since_s=now_s)
    return Step(again)


def _seen_recovering(restart: Restart, state: ProcessState, pid: int | None) -> Step:
    new_pid = restart.record.new_pid
    if state not in _UP or (pid and new_pid and pid != new_pid):
        return _ended(restart.record)
    record = replace(restart.record, new_pid=pid or new_pid)
    return Step(replace(restart, record=record))


def _stop_due_at_s(restart: Restart, patience: Patience) -> float | None:
    if restart.asked_at_s is not None:
        return restart.asked_at_s + ASK_AGAIN_S
    if not restart.durable:
        if restart.record.killed:
            return None
        return restart.since_s + patience.shutdown_timeout_s
    if restart.given_up:
        return None
    return restart.since_s + patience.stop_wait_s + UNKILLABLE_S


def _stop_overdue(restart: Restart, *, now_s: float) -> Step:
    pid = restart.record.pid
    if restart.asked_at_s is not None:
        return _stop(restart, now_s=now_s)
    if not restart.durable and pid is not None:
        killed = replace(restart, record=replace(restart.record, killed=True))
        return Step(killed, (Signal(name=restart.name, pid=pid, signal="KILL"),))
    said = _say(
        restart,
        Level.ERROR,
        "node_unkillable",
        stopping_for_s=round(now_s - restart.since_s, 1),
    )
    return Step(replace(restart, given_up=True), (said,))
