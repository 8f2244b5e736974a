"""The record of a restart: one for each, in the journal, the log and the history."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from swarm_event_listener.core.model.rules import LONE, Status


class Cause(StrEnum):
    """Why the listener took a node's stop or start into its hands."""

    RULE = "rule"  # a report, its absence or the memory broke a rule
    EXITED = "exited"  # the node died too often: its next start is put off
    FATAL = "fatal"  # supervisord gave the node up
    ROLL = "roll"  # an operator asked for a rolling restart


# Why a node was restarted, for people: the rule that it broke, the cause otherwise.
MEANINGS: Final[Mapping[int | str, str]] = {
    Status.SILENT: "it did not report",
    Status.POLLING: "it polled too rarely",
    Status.CONSUMING: "a batch took too long",
    Status.MEMORY: "it took too much memory",
    Status.UNSTEADY: "its group was frozen",
    Cause.EXITED: "it died too often",
    Cause.FATAL: "supervisord had given it up",
    Cause.ROLL: "an operator rolls the group",
}


def headline(record: Mapping[str, Any]) -> str:
    """Return why a node was restarted, in few words, of a record as it is shown."""
    status, cause = record.get("status"), str(record.get("cause"))
    reason = str(record.get("reason"))
    if status == Status.UNSTEADY and LONE in reason:
        return f"status {status}: it alone had no broker"
    if status is not None:
        return f"status {status}: {MEANINGS.get(status, 'a rule was broken')}"
    if ": tried again every" in reason:
        return "it could not work, and was tried again"
    return MEANINGS.get(cause, cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What happened to one node, and why.

    Moments are CLOCK_MONOTONIC seconds, so that durations are right whatever the wall
    clock does; `as_json` gives them as wall-clock texts for people.

    Attributes:
        node: ``group:process``.
        pid: The process that was stopped; None when there was none.
        cause: What kind of reason it was.
        status: The status code; None when no rule was broken.
        reason: All that was wrong, with figures.
        in_flight: The node's ``topic/partition@offset`` in flight, oldest first.
        suspect: The message that was the oldest in flight at each of many failures.
        rss_mb: The last memory reading, in MB (2^20 bytes); None without one.
        pause_s: How long the node is kept down: the gap, or more under back-off.
        detected_at_s: When the rule was found broken.
        stop_sent_at_s: When the stop was asked for.
        stopped_at_s: When the process was gone.
        killed: Whether supervisord had to KILL it.
        started_at_s: When the start was asked for.
        recovered_at_s: When the new process polled; None when it never did.
        new_pid: The new process.
        dry_run: Nothing was done: it would have been.
    """

    node: str
    pid: int | None
    cause: Cause
    status: int | None
    reason: str
    detected_at_s: float
    in_flight: tuple[str, ...] = ()
    suspect: str | None = None
    rss_mb: int | None = None
    pause_s: float = 0.0
    stop_sent_at_s: float | None = None
    stopped_at_s: float | None = None
    killed: bool = False
    started_at_s: float | None = None
    recovered_at_s: float | None = None
    new_pid: int | None = None
    dry_run: bool = False

    def as_json(self, wall: Callable[[float], str]) -> dict[str, Any]:
        """Give the record as it is shown to people and programs.

        Args:
            wall: Gives the ISO 8601 text of a monotonic moment.
        """

        def at(moment_s: float | None) -> str | None:
            return None if moment_s is None else wall(moment_s)

        return {
            "node": self.node,
            "pid": self.pid,
            "cause": self.cause.value,
            "status": self.status,
            "reason": self.reason,
            "in_flight": list(self.in_flight),
            "suspect": self.suspect,
            "rss_mb": self.rss_mb,
            "detected_at": at(self.detected_at_s),
            "stopped_at": at(self.stopped_at_s),
            "killed": self.killed,
            "started_at": at(self.started_at_s),
            "recovered_at": at(self.recovered_at_s),
            "new_pid": self.new_pid,
            "dry_run": self.dry_run,
            "seconds": self.seconds(),
        }

    def seconds(self) -> dict[str, float]:
        """Give how long each step took; steps that did not end are absent."""
        steps = {
            "detected_to_stop": (self.detected_at_s, self.stop_sent_at_s),
            "stop": (self.stop_sent_at_s, self.stopped_at_s),
            "down": (self.stopped_at_s, self.started_at_s),
            "recovery": (self.started_at_s, self.recovered_at_s),
            "total": (self.detected_at_s, self.recovered_at_s),
        }
        return {
            step: round(end - start, 3)
            for step, (start, end) in steps.items()
            if start is not None and end is not None
        }

    @classmethod
    def from_intent(cls, data: Mapping[str, Any]) -> Record:
        """Read back what ``dataclasses.asdict`` gave, through JSON.

        Raises:
            KeyError: The cause is missing.
            TypeError: A field is missing or unknown.
            ValueError: A value is of another kind.
        """
        fields = dict(data)
        fields["cause"] = Cause(fields["cause"])
        fields["in_flight"] = texts(fields.get("in_flight", ()))
        for name, kinds in _KINDS.items():
            if name in fields and not isinstance(fields[name], kinds):
                raise ValueError(f"{name} is {fields[name]!r:.80}")
        for name in fields.keys() & _MOMENTS:
            if fields[name] is not None:
                fields[name] = moment_s(fields[name])
        return cls(**fields)


_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "node": (str,),
    "pid": (int, type(None)),
    "status": (int, type(None)),
    "reason": (str,),
    "suspect": (str, type(None)),
    "rss_mb": (int, type(None)),
    "killed": (bool,),
    "new_pid": (int, type(None)),
    "dry_run": (bool,),
}
_MOMENTS: Final = frozenset(
    {
        "detected_at_s",
        "stop_sent_at_s",
        "stopped_at_s",
        "started_at_s",
        "recovered_at_s",
        "pause_s",
    }
)


def moment_s(value: object) -> float:
    """Read a moment or a duration.

    Raises:
        ValueError: It is no finite number.
    """
    try:
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise ValueError(f"expected seconds, got {value!r:.80}")


def texts(value: object) -> tuple[str, ...]:
    """Read a list of texts.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list, got {value!r:.80}")
    if not all(isinstance(text, str) for text in value):
        raise ValueError(f"expected texts, got {value!r:.80}")
    return tuple(value)
