"""What goes wrong, in which order: drawn from a seed, so that it can be drawn again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: The name of what.
        pause_s: How long after the one before.
        node: The victim; the next one that will do where this one will not.
        lasts_s: How long it lasts, if it passes.
        chance: From 0 to 1: decides whatever else its kind leaves open.
    """

    kind: str
    pause_s: float
    node: int
    lasts_s: float
    chance: float

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, always the same."""
        return choices[int(self.chance * len(choices))]


def draw(
    seed: int,
    weights: Mapping[str, int],
    *,
    nodes: int,
    pause_s: Range,
    lasts_s: Range,
) -> Iterator[Fault]:
    """Return the faults of a seed, without an end: the same for the same arguments."""
    chance = random.Random(seed)
    while True:
        (kind,) = chance.choices(list(weights), weights=list(weights.values()))
        yield Fault(
            kind=kind,
            pause_s=round(chance.uniform(*pause_s), 2),
            node=chance.randrange(nodes),
            lasts_s=round(chance.uniform(*lasts_s), 1),
            chance=chance.random(),
        )
