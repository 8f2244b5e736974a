"""A metric and its samples, as they are before anybody writes them down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Labels = tuple[tuple[str, str], ...]
Value = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric: its name, meaning, and the samples by their labels.

    Attributes:
        name: With its unit; a counter's ends with ``_total``.
        kind: What it may do: a counter only rises.
        help: One line with the unit.
        samples: Labels and value. No two have the same labels.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: Sequence[tuple[Labels, Value]] = field(default=())
