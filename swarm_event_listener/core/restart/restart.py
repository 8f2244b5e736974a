"""A restart under way as plain data, and what all its steps share."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from swarm_event_listener.core.model.events import (
    Action,
    Forget,
    Intend,
    Level,
    ProcessState,
    Publish,
    Remember,
    Say,
)
from swarm_event_listener.core.model.record import Cause, Record

ASK_AGAIN_S: Final = 2.0  # after a call without an answer, or without an effect
BY_OUR_HAND: Final = frozenset({Cause.RULE, Cause.ROLL})


class Phase(StrEnum):
    """Where a restart stands."""

    INTENDED = "intended"  # nothing was done yet
    EVIDENCE = "evidence"
    READY = "ready"  # the journal is told that the stop comes next
    STOPPING = "stopping"
    DOWN = "down"
    STARTING = "starting"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTimeouts:
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
        durable: Whether the intent is in the journal.
        accepted: Whether supervisord took our stop.
        asked_at_s: When a call was made whose effect is still to be seen.
        starts_again: An operator may have it otherwise: a held node stays down.
        is_unkillable: The process outlived KILL; its place is free for the next node.
        is_try: It may well exit as before, again and again: that is kept out of the
            history, where it would take the place of what happened once.
    """

    record: Record
    phase: Phase
    since_s: float
    durable: bool = True
    accepted: bool = False
    asked_at_s: float | None = None
    starts_again: bool = True
    is_unkillable: bool = False
    is_try: bool = False

    @property
    def name(self) -> str:
        """The node."""
        return self.record.node

    def as_intent(self) -> dict[str, Any]:
        """Return the restart as plain data for the journal.

        What does not stand there has its default for the listener that reads it back.
        A death is noted elsewhere until the restart ends: version 6cee99e drops an
        intent that has a field in its record which it does not know.
        """
        record = dataclasses.asdict(self.record)
        del record["death"]
        return {"phase": self.phase.value, "since_s": self.since_s, "record": record}


@dataclass(frozen=True, slots=True)
class Step:
    """What a restart came to: None when it has ended."""

    restart: Restart | None
    actions: tuple[Action, ...] = ()


def intend(restart: Restart) -> Intend:
    """Return what makes the restart durable as it is now."""
    return Intend(name=restart.name, intent=restart.as_intent())


def say(restart: Restart, level: Level, event: str, **fields: object) -> Say:
    """Return a line about a restart."""
    about = {"node": restart.name, "pid": restart.record.pid}
    return Say(level=level, event=event, fields={**about, **fields})


def published(record: Record, event: str) -> Publish:
    """Return the event for other listeners, with what the record has by now."""
    return Publish(type=f"swarm.node.{event}", payload=record.facts())


def dropped(restart: Restart, why: str) -> Step:
    """Nothing was stopped: no restart took place, so no record is kept."""
    said = say(restart, Level.INFO, "restart_dropped", why=why)
    return Step(None, (Forget(name=restart.name), said))


def replaced(restart: Restart, state: ProcessState, pid: int | None) -> Step:
    """Drop a restart whose process is not the one to stop any more."""
    return dropped(restart, f"the process is {state} as {pid or 'no process'}")


def ended(record: Record) -> Step:
    """End a restart: its one record is kept, logged and published."""
    summary = _summary(record)
    if record.recovered_at_s is None:
        return Step(None, (Remember(name=record.node, record=record), summary))
    recovered = published(record, "recovered")
    return Step(None, (Remember(name=record.node, record=record), summary, recovered))


def cut_short(restart: Restart, why: str) -> Step:
    """End a restart before its start: what we stopped is on record all the same."""
    is_stopped = restart.accepted or restart.record.stopped_at_s is not None
    if is_stopped and restart.record.pid is not None:
        return ended(restart.record)
    return dropped(restart, why)


def _summary(record: Record) -> Say:
    """Return the one line from which a restart can be understood."""
    has_recovered = record.recovered_at_s is not None
    return Say(
        level=Level.INFO if has_recovered else Level.WARNING,
        event="node_restarted" if has_recovered else "node_not_recovered",
        fields={
            **record.line("pause_s"),
            **{f"{step}_s": took_s for step, took_s in record.seconds().items()},
        },
    )
