"""A metric and its samples, as they are before anybody writes them down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
        labels: Of each sample; no two are the same. One list serves all families of
            the nodes: 400 nodes have 14 000 samples.
        values: One for each of the labels; None where there is nothing to tell.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    labels: Sequence[Labels] = ((),)
    values: Sequence[Value | None]

    @property
    def samples(self) -> Iterator[tuple[Labels, Value]]:
        """Labels and value of each sample that there is."""
        for labels, value in zip(self.labels, self.values, strict=True):
            if value is not None:
                yield labels, value
