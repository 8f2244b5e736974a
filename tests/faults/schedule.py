"""What goes wrong, in which order: drawn from a seed, so that it can be drawn again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.faults import state_disk


class Kind(StrEnum):
    """All that may go wrong. The name of a node's fault begins with its victim."""

    NODE_KILLED = "node killed"
    NODE_EXITS = "node exits 1"
    NODE_TERMED = "node gets TERM from a stranger"
    NODE_FROZEN = "node frozen for good"
    NODE_FROZEN_SHORTLY = "node frozen shortly"
    NODE_SILENT = "node silent"
    NODE_RAVES = "node reports nonsense"
    NODE_HANGS = "node has a batch that never ends"
    NODE_HANGS_DEAF = "node has a batch that never ends and ignores TERM"
    NODE_STOPS_POLLING = "node polls no more"
    NODE_HANGS_LISTENER_DIES = "node hangs, and the listener dies while restarting it"
    LISTENER_KILLED = "listener killed"
    LISTENER_TERMED = "listener gets TERM"
    LISTENER_FROZEN = "listener frozen"
    SUPERVISORD_FROZEN = "supervisord frozen"
    SUPERVISORD_KILLED = "supervisord killed, another started"
    RELOADED = "reload"
    OPERATOR_STOPS = "operator stops a node"
    OPERATOR_STARTS = "operator starts what he stopped"
    OPERATOR_RESTARTS = "operator restarts a node"
    OPERATOR_ROLLS = "operator has all nodes restarted one by one"
    OPERATOR_HOLDS = "operator holds a node"
    OPERATOR_RELEASES = "operator releases what he held"
    JOURNAL_DAMAGED = "journal damaged, listener killed"
    DISK_FULL = "disk of the journal full"
    DISK_READ_ONLY = "disk of the journal read-only"


# How often each is drawn. What takes supervisord down takes seconds, and hides what was
# under way: rarely.
WEIGHTS: Final = {
    Kind.NODE_KILLED: 10,
    Kind.NODE_EXITS: 6,
    Kind.NODE_TERMED: 6,
    Kind.NODE_FROZEN: 8,
    Kind.NODE_FROZEN_SHORTLY: 6,
    Kind.NODE_SILENT: 6,
    Kind.NODE_RAVES: 4,
    Kind.NODE_HANGS: 12,
    Kind.NODE_HANGS_DEAF: 8,
    Kind.NODE_STOPS_POLLING: 8,
    Kind.NODE_HANGS_LISTENER_DIES: 18,
    Kind.LISTENER_KILLED: 8,
    Kind.LISTENER_TERMED: 6,
    Kind.LISTENER_FROZEN: 4,
    Kind.SUPERVISORD_FROZEN: 2,
    Kind.SUPERVISORD_KILLED: 2,
    Kind.RELOADED: 1,
    Kind.OPERATOR_STOPS: 6,
    Kind.OPERATOR_STARTS: 6,
    Kind.OPERATOR_RESTARTS: 4,
    Kind.OPERATOR_ROLLS: 4,
    Kind.OPERATOR_HOLDS: 6,
    Kind.OPERATOR_RELEASES: 5,
    Kind.JOURNAL_DAMAGED: 5,
    Kind.DISK_FULL: 3,
    Kind.DISK_READ_ONLY: 3,
}

# The listener's last call for a node, and whether supervisord still gets it.
STEPS: Final = tuple(
    (method, is_made)
    for method in ("signalProcess", "stopProcess", "startProcess", "getProcessInfo")
    for is_made in (False, True)
)
PAUSE_S: Final = (0.0, 0.7)
FROZEN_S: Final = (0.5, 4.0)
DAMAGES: Final = tuple(state_disk.DAMAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: What.
        pause_s: How long after the one before.
        node: The victim; the next one that runs where this one does not.
        lasts_s: How long a freeze lasts, or trouble with the disk.
        step: For a listener that dies: at which call, and whether that is made.
        damage: What happens to a journal.
    """

    kind: Kind
    pause_s: float
    node: int
    lasts_s: float
    step: tuple[str, bool]
    damage: str

    def __str__(self) -> str:
        drawn = self.node, self.lasts_s, self.step, self.damage
        return f"{self.kind} {drawn}"


def draw(seed: int, *, count: int, nodes: int) -> list[Fault]:
    """Give the faults of a seed: the same for the same arguments."""
    chance = random.Random(seed)
    kinds = chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=count)
    return [
        Fault(
            kind=kind,
            pause_s=round(chance.uniform(*PAUSE_S), 2),
            node=chance.randrange(nodes),
            lasts_s=round(chance.uniform(*FROZEN_S), 1),
            step=chance.choice(STEPS),
            damage=chance.choice(DAMAGES),
        )
        for kind in kinds
    ]
