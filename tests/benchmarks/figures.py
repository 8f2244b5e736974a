"""What a benchmark gives: figures, each with its goal, and curves (pure data)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from statistics import median
from typing import Any, Final

LEAST_PAIRS: Final = 5  # fewer values are not called a measurement


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure is to keep: ``>= bound`` or ``<= bound``."""

    sign: str
    bound: float

    def __post_init__(self) -> None:
        """Know both signs, and no other.

        Raises:
            ValueError: Another sign.
        """
        if self.sign not in (">=", "<="):
            raise ValueError(f"expected >= or <=, got {self.sign!r}")

    def __str__(self) -> str:
        """As people write it."""
        return f"{'≥' if self.sign == '>=' else '≤'} {number(self.bound)}"

    def kept_by(self, value: float) -> bool:
        """Whether a value keeps it; the bound itself does."""
        return value >= self.bound if self.sign == ">=" else value <= self.bound


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two that are compared measured, one value a pair."""

    name: str
    unit: str
    values: Sequence[float]

    @property
    def middle(self) -> float:
        """The median of its values."""
        return median(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: what was measured, how often, and what was hoped for.

    Attributes:
        key: Number of the goal it belongs to and a letter, such as ``1a``.
        what: The question in a few words.
        unit: Of ``values``: ``x`` for ratios.
        values: One a pair (or, with ``stated="p95"``, one an event).
        goal: None where a figure is only told.
        stated: Which statistic of the values counts: ``median`` or ``p95``.
        sides: What was measured on each side, ours first; empty if there is one.
        note: What a reader has to know to read it right.
    """

    key: str
    what: str
    unit: str
    values: Sequence[float]
    goal: Goal | None = None
    stated: str = "median"
    sides: Sequence[Side] = ()
    note: str = ""

    @property
    def value(self) -> float:
        """The one number that is held against the goal."""
        return (
            percentile(self.values, 95) if self.stated == "p95" else median(self.values)
        )

    @property
    def kept(self) -> bool | None:
        """Whether the goal is kept; None without one."""
        return None if self.goal is None else self.goal.kept_by(self.value)

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for the file."""
        told = asdict(self)
        return told | {
            "goal": None if self.goal is None else str(self.goal),
            "value": self.value,
            "range": [min(self.values), max(self.values)],
            "kept": self.kept,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How something grows: for each series, points (x, y)."""

    key: str
    what: str
    x: str
    unit: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for the file."""
        return asdict(self)


@dataclass(slots=True)
class Pairs:
    """Values of two sides that were measured in turn; the sides of one figure or more.

    ``ours[i]`` and ``theirs[i]`` were measured one right after the other.
    """

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def add(self, ours: float, theirs: float) -> None:
        """Keep one more pair."""
        self.ours.append(ours)
        self.theirs.append(theirs)

    @property
    def ratios(self) -> list[float]:
        """Ours by theirs, pair by pair."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def differences(self) -> list[float]:
        """Ours less theirs, pair by pair."""
        return [a - b for a, b in zip(self.ours, self.theirs, strict=True)]

    def sides(self, ours: str, theirs: str, *, unit: str) -> tuple[Side, Side]:
        """Name both sides, for a figure."""
        return Side(ours, unit, tuple(self.ours)), Side(
            theirs, unit, tuple(self.theirs)
        )


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that ``percent`` of all do not exceed (nearest rank).

    Raises:
        ValueError: No values.
    """
    if not values:
        raise ValueError("a percentile needs at least one value")
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def number(value: float) -> str:
    """Write a number with three digits that matter, and no exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.5f}"
