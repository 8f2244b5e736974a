"""A dead letter as plain data: where its message came from, and as it was there. Pure.

What `swarm_worker.kafka.dead_letters` adds to a message is taken off again here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Value = bytes | str | None
Headers = Sequence[tuple[str, Value]] | Mapping[str, Value]

ADDED: Final = frozenset(
    {
        "swarm.origin.topic",
        "swarm.origin.partition",
        "swarm.origin.offset",
        "swarm.origin.timestamp",
        "swarm.error.type",
        "swarm.error.text",
        "swarm.attempts",
    }
)
REPLAYS: Final = "swarm.replays"  # how often a message came back from a dead letter

_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was given up.

    Attributes:
        topic: Its origin, with partition and offset.
        error: The type of the last exception; empty where that is not told.
        text: That exception's text.
        replays: How often it had come back from a dead letter before.
        headers: As they were in the origin, but for the count of replays.
    """

    topic: str
    partition: int
    offset: int
    error: str
    text: str
    replays: int
    headers: tuple[tuple[str, Value], ...]

    @property
    def origin(self) -> str:
        """Where it came from: ``topic/partition@offset``."""
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def returned_headers(self) -> list[tuple[str, Value]]:
        """The headers with which it goes back."""
        return [*self.headers, (REPLAYS, str(self.replays + 1).encode())]


def read(headers: Headers | None) -> DeadLetter | None:
    """Return the dead letter that a message with these headers is; None if it is none.

    The last header of a name counts: a message that was a dead letter before, and was
    consumed from there, brings the older ones with it, and they are its own.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    told = {name: _text(value) for name, value in pairs if name in ADDED}
    topic = told.get("swarm.origin.topic")
    partition = _number(told.get("swarm.origin.partition"))
    offset = _number(told.get("swarm.origin.offset"))
    if not topic or partition is None or offset is None:
        return None
    own = _without_added(pairs)
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        error=told.get("swarm.error.type") or "",
        text=told.get("swarm.error.text") or "",
        replays=_replays(own),
        headers=tuple(pair for pair in own if pair[0] != REPLAYS),
    )


def _without_added(pairs: Sequence[tuple[str, Value]]) -> list[tuple[str, Value]]:
    """Return the headers that stood before ours, which are the last of their names."""
    own, dropped = [], set()
    for name, value in reversed(pairs):
        if name in ADDED and name not in dropped:
            dropped.add(name)
        else:
            own.append((name, value))
    return own[::-1]


def _replays(headers: Sequence[tuple[str, Value]]) -> int:
    counts = [_number(_text(value)) for name, value in headers if name == REPLAYS]
    return (counts[-1] or 0) if counts else 0


def _text(value: Value) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.fullmatch(text) else None
