"""The record of a restart: one for each, in the journal, the log and the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from swarm_event_listener.core.model.death import Death
from swarm_event_listener.core.model.rules import LONE, Status


class Cause(StrEnum):
    """Why a node was stopped or started, or that it died."""

    RULE = "rule"  # a report, its absence or the memory broke a rule
    EXITED = "exited"  # the node died too often: its next start is put off
    FATAL = "fatal"  # supervisord gave the node up
    ROLL = "roll"  # an operator asked for a rolling restart
    DIED = "died"  # by itself: supervisord brings it back, or leaves it down


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
    Cause.DIED: "its process died",
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
        pid: The process that was stopped, or died; None when there was none.
        new_pid: The new process.
        cause: What kind of reason it was.
        status: The status code; None when no rule was broken.
        reason: All that was wrong, with figures, but how it died (see `said`).
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
        dry_run: Nothing was done: it would have been.
        death: How the node died, where that is why.
    """

    node: str
    pid: int | None
    new_pid: int | None = None
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
    dry_run: bool = False
    death: Death | None = None

    @property
    def said(self) -> str:
        """All that was wrong, with how it died as far as that is known."""
        death = str(self.death) if self.death and self.death.is_told else ""
        return "; ".join(filter(None, (self.reason, death)))

    def as_json(self, wall: Callable[[float], str]) -> dict[str, Any]:
        """Return the record as it is shown to people and programs.

        Args:
            wall: Gives the ISO 8601 text of a monotonic moment.
        """
        shown = {}
        for name in _FIELDS:
            value = getattr(self, name)
            if name in _MOMENTS:
                shown[name.removesuffix("_s")] = None if value is None else wall(value)
            else:
                shown[name] = value
        death = self.death and self.death.as_json()
        return {**shown, "reason": self.said, "death": death, "seconds": self.seconds()}

    def facts(self, *but: str) -> dict[str, Any]:
        """Return what other listeners are told of it: all but the moments."""
        facts = {name: getattr(self, name) for name in _FACTS if name not in but}
        return {**facts, "reason": self.said}

    def line(self, *but: str) -> dict[str, Any]:
        """Return the same as the figures of a line in the log."""
        return {**self.facts(*but), "in_flight": ",".join(self.in_flight)}

    def seconds(self) -> dict[str, float]:
        """Return how long each step took; steps that did not end are absent."""
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


# In the order in which lines of the log have them.
_FIELDS: Final = tuple(field.name for field in fields(Record))
_MOMENTS: Final = frozenset(name for name in _FIELDS if name.endswith("_at_s"))
_FACTS: Final = tuple(
    name for name in _FIELDS if name not in {*_MOMENTS, "dry_run", "death"}
)
