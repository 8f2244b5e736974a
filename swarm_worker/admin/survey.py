"""What a dead-letter topic holds, counted; as text and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from swarm_worker.admin.dead_letter import DeadLetter
from swarm_worker.admin.selection import Fate

TEXT_MAX: Final = 100  # characters of an error


@dataclass(slots=True, kw_only=True)
class Kind:
    """The dead letters of one origin with one type of error.

    Attributes:
        fates: How many there are, by what becomes of them.
        replays: How many had come back before.
        first_ms, last_ms: When the first and the last were written; None if unknown.
        last: That one, and its place in the dead-letter topic.
    """

    fates: Counter[Fate] = field(default_factory=Counter)
    replays: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    last: tuple[DeadLetter, str] | None = None

    def add(self, letter: DeadLetter, fate: Fate, place: str, at_ms: int) -> None:
        """Count one; its time is below 0 where it has none."""
        self.fates[fate] += 1
        self.replays += letter.replays > 0
        if at_ms >= 0:
            self.first_ms = min(
                at_ms, at_ms if self.first_ms is None else self.first_ms
            )
        if self.last is None or at_ms >= (self.last_ms or 0):
            self.last = letter, place
            self.last_ms = at_ms if at_ms >= 0 else None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.fates.total()


@dataclass(slots=True)
class Survey:
    """All that was read of a topic.

    Attributes:
        kinds: By origin and type of error.
        foreign: Messages that are no dead letters.
    """

    kinds: dict[tuple[str, str], Kind] = field(default_factory=dict)
    foreign: int = 0

    def add(
        self, letter: DeadLetter | None, fate: Fate, place: str, at_ms: int
    ) -> None:
        """Count one message."""
        if letter is None:
            self.foreign += 1
        else:
            kind = self.kinds.setdefault((letter.topic, letter.error), Kind())
            kind.add(letter, fate, place, at_ms)

    def of(self, fate: Fate) -> int:
        """Return how many have this fate."""
        if fate is Fate.FOREIGN:
            return self.foreign
        return sum(kind.fates[fate] for kind in self.kinds.values())

    @property
    def count(self) -> int:
        """How many dead letters there are."""
        return sum(kind.count for kind in self.kinds.values())

    @property
    def origins(self) -> dict[str, int]:
        """How many there are of each origin."""
        counts: Counter[str] = Counter()
        for (origin, _), kind in self.kinds.items():
            counts[origin] += kind.count
        return dict(sorted(counts.items()))

    def as_json(self) -> list[dict[str, Any]]:
        """Return the kinds as data, the most frequent first."""
        return [
            {
                "origin": origin,
                "error": error,
                "count": kind.count,
                "first": _iso(kind.first_ms),
                "last": _iso(kind.last_ms),
                "replayed": kind.fates[Fate.DONE],
                "waiting": kind.fates[Fate.REPLAY],
                "stay": kind.fates[Fate.ATTEMPTS],
                "failed_again": kind.replays,
                "last_at": kind.last[1] if kind.last else None,
                "last_origin": kind.last[0].origin if kind.last else None,
                "last_text": kind.last[0].text if kind.last else None,
            }
            for (origin, error), kind in self._sorted()
        ]

    def table(self) -> Iterator[str]:
        """Yield the lines of a table, and below each kind its times and its last."""
        rows = [
            {
                "ORIGIN": plain(origin),
                "ERROR": plain(error) or "-",
                "COUNT": str(kind.count),
                "WAITING": str(kind.fates[Fate.REPLAY]),
                "REPLAYED": str(kind.fates[Fate.DONE]),
                "STAY": str(kind.fates[Fate.ATTEMPTS]),
            }
            for (origin, error), kind in self._sorted()
        ]
        lines = columns(rows)
        yield from lines[:1]
        for line, (_, kind) in zip(lines[1:], self._sorted(), strict=True):
            yield line
            yield f"  from {_iso(kind.first_ms) or '?'} to {_iso(kind.last_ms) or '?'}"
            if kind.last:
                letter, place = kind.last
                text = plain(letter.text[:TEXT_MAX]) or "(no text)"
                yield f"  last: {place}, of {plain(letter.origin)}: {text}"

    def _sorted(self) -> list[tuple[tuple[str, str], Kind]]:
        return sorted(self.kinds.items(), key=lambda item: (-item[1].count, item[0]))


def columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return lines of columns, the titles first; numbers are aligned on the right."""
    titles = [{title: title for title in row} for row in rows[:1]]
    widths = {
        title: max(len(row[title]) for row in [*titles, *rows])
        for title in (rows[0] if rows else ())
    }
    return [
        "  ".join(
            cell.rjust(widths[title])
            if all(each[title].isdecimal() for each in rows)
            else cell.ljust(widths[title])
            for title, cell in row.items()
        ).rstrip()
        for row in [*titles, *rows]
    ]


def plain(text: str) -> str:
    """Return a text that somebody else wrote, without what would steer a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _iso(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    try:
        at = datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
