"""A witness of what handlers have started: it ends with its node, whatever ends that.

The app tells of each child (`tests.faults.ledger_app`); whether it lives is seen in
``/proc``. What judges is pure.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from tests.process.lives import Life, started
from tests.repeating import repeating

OWN_SESSION: Final = "own_session"  # is nobody's business
EVERY_S: Final = 0.2
# At its deadline a node KILLs them before it ends; then it has to be seen.
BEFORE_ITS_NODE_S: Final = 0.3
# After an end in order the rest of the group has a second; the machine is busy.
WITH_ITS_NODE_S: Final = 4.0
# What is left by a node that was killed is ended by the next one as that boots.
WITH_THE_NEXT_S: Final = 15.0


@dataclass(slots=True, kw_only=True)
class Child:
    """A process that a handler has started.

    Attributes:
        node_pid: Of whose handler.
        kind: What it is.
        pid: Its own.
        started_ticks: Since when, as the kernel counts.
        alive_at_s: When it was last seen alive, CLOCK_MONOTONIC.
        gone_at_s: When it was seen to be gone; None before.
    """

    node_pid: int
    kind: str
    pid: int
    started_ticks: int
    alive_at_s: float = 0.0
    gone_at_s: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} pid {self.pid} of pid {self.node_pid}"

    def look(self) -> None:
        """See whether it lives."""
        if self.gone_at_s is None:
            now_s = time.monotonic()  # before: it was not gone earlier
            if started(self.pid) == self.started_ticks:
                self.alive_at_s = now_s
            else:
                self.gone_at_s = now_s

    def kill(self) -> None:
        """End it, if it is there."""
        self.look()
        if self.gone_at_s is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


@dataclass(kw_only=True)
class Offspring:
    """All children that nodes have told of.

    Attributes:
        path: Where they do: ``NODE_PID KIND PID STARTED_TICKS`` a line.
        children: Those read so far.
    """

    path: Path
    children: list[Child] = field(default_factory=list)

    def look(self) -> None:
        """Read what is new, and see who lives."""
        with suppress(FileNotFoundError):
            lines = self.path.read_text("ascii").split("\n")[:-1]
            self.children += map(_child, lines[len(self.children) :])
        for child in self.children:
            child.look()

    def of(self, node_pid: int) -> list[Child]:
        """Return the children of one node."""
        return [child for child in list(self.children) if child.node_pid == node_pid]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look all the while; leaves none behind."""
        try:
            with repeating(self.look, every_s=EVERY_S, name="offspring"):
                yield
        finally:
            self.look()
            for child in self.children:
                child.kill()


def _child(line: str) -> Child:
    node_pid, kind, pid, started_ticks = line.split()
    return Child(
        node_pid=int(node_pid),
        kind=kind,
        pid=int(pid),
        started_ticks=int(started_ticks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How nodes have ended, by pid.

    Attributes:
        abrupt: Those that had no chance to end anything.
        at_deadline: Those that have ended all there was before they went.
        is_over: Whether all nodes work in peace: what is to end has ended.
    """

    abrupt: set[int]
    at_deadline: set[int]
    is_over: bool

    def due_s(self, life: Life, later: Sequence[Life]) -> float:
        """Return by when the children of a node that is gone have to be, too."""
        gone_at_s = life.gone_at_s or inf
        if life.pid in self.abrupt:
            # Of the next ones the first that was not itself cut short, or frozen.
            able = (each for each in later if each.pid not in self.abrupt)
            due = (each.seen_at_s + WITH_THE_NEXT_S for each in able)
            return next(due, inf)
        if life.pid in self.at_deadline:
            return gone_at_s + BEFORE_ITS_NODE_S
        return gone_at_s + WITH_ITS_NODE_S


def wrongs(
    children: Iterable[Child], lives: Mapping[str, list[Life]], ends: Ends
) -> Iterator[str]:
    """Name what outlived its node, and what was ended that is nobody's business.

    Args:
        children: Of all nodes.
        lives: All processes of each slot.
        ends: How these have ended.
    """
    pairs = {
        life.pid: (life, found[number + 1 :])
        for found in lives.values()
        for number, life in enumerate(found)
        if life.gone_at_s is not None
    }
    for child in children:
        if child.kind == OWN_SESSION:
            if child.gone_at_s is not None:
                yield f"a child with a session of its own was ended: {child}"
        elif child.node_pid in pairs:
            life, later = pairs[child.node_pid]
            is_left = ends.is_over and child.gone_at_s is None and later
            if is_left or child.alive_at_s > ends.due_s(life, later):
                late_s = child.alive_at_s - (life.gone_at_s or 0.0)
                yield f"it outlived its node by {late_s:.1f} s: {child}"
