"""Which dead letters a replay takes, where they go, and whether that was done. Pure.

The progress of a replay is a consumer group, whose name tells topic and filter. So
each filter has its own, and from their names alone it is known what each one has taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, urlencode

from swarm_worker.admin.dead_letter import DeadLetter
from swarm_worker.shared.admin_arguments import REPLAYS_MAX

PREFIX: Final = "swarm-dlq."


class Fate(StrEnum):
    """What a replay does with a message of the topic; the values are words of --json.

    Attributes:
        REPLAY: It goes back.
        FILTER: The filter leaves it out.
        DONE: A replay with another filter has sent it back.
        ATTEMPTS: It has come back so often that it stays.
        FOREIGN: It is no dead letter of a swarm.
    """

    REPLAY = "replay"
    FILTER = "filter"
    DONE = "replayed_before"
    ATTEMPTS = "attempts"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a replay takes.

    Attributes:
        to: Those of this origin only; ``ORIGIN=TOPIC`` sends them to another topic.
        error: Those of this type only, with or without its module.
        partition: Those of this partition of their origin only.
        attempts: Not those that have come back so often.
    """

    to: str = ""
    error: str = ""
    partition: int | None = None
    attempts: int = REPLAYS_MAX

    def fate(self, letter: DeadLetter) -> Fate:
        """Return what becomes of a dead letter, whatever was done before."""
        if not self._matches(letter):
            return Fate.FILTER
        return Fate.REPLAY if letter.replays < self.attempts else Fate.ATTEMPTS

    def target(self, letter: DeadLetter) -> str:
        """Return the topic to which a dead letter goes."""
        return self.to.partition("=")[2] or letter.topic

    def group(self, topic: str) -> str:
        """Return the consumer group that keeps the progress."""
        told = {
            "attempts": "" if self.attempts == REPLAYS_MAX else str(self.attempts),
            "error": self.error,
            "from-partition": "" if self.partition is None else str(self.partition),
            "to": self.to,
        }
        query = urlencode({key: value for key, value in told.items() if value})
        return f"{PREFIX}{topic}{'?' if query else ''}{query}"

    @property
    def origin(self) -> str:
        """The only origin whose dead letters are taken; empty for any."""
        return self.to.partition("=")[0]

    def _matches(self, letter: DeadLetter) -> bool:
        return (
            self.origin in ("", letter.topic)
            and self.partition in (None, letter.partition)
            and (
                self.error in ("", letter.error)
                or letter.error.endswith(f".{self.error}")
            )
        )


def filter_of(group: str, topic: str) -> Filter | None:
    """Return the filter whose progress a group keeps; None if it is no such group."""
    name, _, query = group.partition("?")
    if name != f"{PREFIX}{topic}":
        return None
    told = dict(parse_qsl(query))
    try:
        partition = told.get("from-partition")
        found = Filter(
            to=told.get("to", ""),
            error=told.get("error", ""),
            partition=None if partition is None else int(partition),
            attempts=int(told.get("attempts", REPLAYS_MAX)),
        )
    except ValueError:
        return None
    return found if found.group(topic) == group else None


class Progress:
    """How far each replay of a topic has come."""

    def __init__(self, committed: Mapping[Filter, Mapping[int, int]]) -> None:
        """Take the offset up to which each has come, by filter and partition."""
        self._committed = committed

    def is_replayed(self, letter: DeadLetter, partition: int, offset: int) -> bool:
        """Whether one of them has sent this dead letter back."""
        return any(
            offsets.get(partition, 0) > offset and each.fate(letter) is Fate.REPLAY
            for each, offsets in self._committed.items()
        )

    def fate(
        self, letter: DeadLetter | None, partition: int, offset: int, *, of: Filter
    ) -> Fate:
        """Return what becomes of a message at a place of the topic.

        Args:
            letter: What it is; None for no dead letter.
            partition: Where it stands.
            offset: The same.
            of: The filter.
        """
        if letter is None:
            return Fate.FOREIGN
        fate = of.fate(letter)
        if fate is Fate.FILTER or not self.is_replayed(letter, partition, offset):
            return fate
        return Fate.DONE
