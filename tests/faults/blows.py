"""What hits a swarm on Kafka, and in which order: drawn from a seed, without end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """All that may happen."""

    TERM = "node gets TERM"
    RESTART = "operator restarts a node"
    KILL = "node gets KILL"
    NAP = "node stopped and continued"
    FREEZE = "node stopped for good"
    LISTENER = "listener killed"
    BROKER = "broker killed and started"


ENDS_A_NODE: Final = {Kind.TERM, Kind.RESTART, Kind.KILL, Kind.FREEZE}

# How often each is drawn. One in two ends is a KILL, of which there is most to fear.
WEIGHTS: Final = {
    Kind.TERM: 20,
    Kind.RESTART: 10,
    Kind.KILL: 35,
    Kind.NAP: 10,
    Kind.FREEZE: 3,
    Kind.LISTENER: 6,
    Kind.BROKER: 2,
}
PAUSE_S: Final = (0.1, 1.5)
NAP_S: Final = (0.2, 2.5)  # shorter than node_report_timeout and any session


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """One thing that happens.

    Attributes:
        kind: What.
        pause_s: How long after the one before.
        node: The victim; the next one that works where this one does not.
        lasts_s: How long a nap lasts.
    """

    kind: Kind
    pause_s: float
    node: int
    lasts_s: float


def draw(seed: int, *, nodes: int) -> Iterator[Blow]:
    """Give the blows of a seed, without an end."""
    chance = random.Random(seed)
    while True:
        (kind,) = chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))
        yield Blow(
            kind=kind,
            pause_s=round(chance.uniform(*PAUSE_S), 2),
            node=chance.randrange(nodes),
            lasts_s=round(chance.uniform(*NAP_S), 1),
        )
