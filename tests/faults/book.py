"""The book of what was done to a swarm, and of what that explains and excuses.

Pure; all moments are seconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any, Final, NamedTuple

from swarm_worker.shared.scale import node_id_of
from tests.process.lives import Life

Span = tuple[float, float]  # from and to
SEEN_WITHIN_S: Final = 1.0  # of a process, after its start; and until it looks
SlotSpan = tuple[str, float, float | None]  # slot, from and to; None: until the end


class Process(NamedTuple):
    """A process of a slot."""

    slot: str
    pid: int

    def __str__(self) -> str:
        return f"{self.slot} pid {self.pid}"


@dataclass(kw_only=True)
class Book:
    """What was done to whom.

    Attributes:
        timeline: What was done when, for people.
        done: How often each kind of fault came about.
        explained: Processes that are ill, and the statuses with which a restart of
            one is right.
        excused: Those whose stop needs no record: an operator's, or supervisord's own.
        stopped_at_s: Slots that an operator has down now, and since when.
        held_at_s: Slots that he holds now, and since when the listener says so.
        rolls: How often he asked for a rolling restart.
        kept: Records of journals that were damaged.
        listener_ends: How often the listener was ended.
        ended: Those that were told to end, or to go on no more.
        told_to_end_at_s: Pids of those that may end in order, and since when.
        killed_at_s: Of those that got no chance to, and since when.
        naps: When a pid was stopped, to be continued.
        outages: When the broker was away.
        upheavals: When supervisord ended, until another one answered.
        turned_away: Until when each process of a slot, or of all (""), ended at once
            that was started from some moment on.
        anews: When the topic was deleted, until it was there again.
        scaled: From when on how many nodes were to run, oldest first.
    """

    timeline: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    explained: dict[Process, set[int]] = field(default_factory=dict)
    excused: set[Process] = field(default_factory=set)
    stopped_at_s: dict[str, float] = field(default_factory=dict)
    held_at_s: dict[str, float] = field(default_factory=dict)
    rolls: int = 0
    kept: list[Mapping[str, Any]] = field(default_factory=list)
    listener_ends: int = 0
    ended: set[Process] = field(default_factory=set)
    told_to_end_at_s: dict[int, float] = field(default_factory=dict)
    killed_at_s: dict[int, float] = field(default_factory=dict)
    naps: dict[int, list[Span]] = field(default_factory=dict)
    outages: list[Span] = field(default_factory=list)
    upheavals: list[Span] = field(default_factory=list)
    turned_away: dict[tuple[str, float], float] = field(default_factory=dict)
    anews: list[Span] = field(default_factory=list)
    scaled: list[tuple[float, int]] = field(default_factory=list)
    _downs: list[SlotSpan] = field(default_factory=list)
    _holds: list[SlotSpan] = field(default_factory=list)

    # --- how processes end ------------------------------------------------------------

    def explain(self, process: Process, statuses: Iterable[int]) -> None:
        """A process is ill from now on."""
        self.explained.setdefault(process, set()).update(statuses)

    def is_told_to_end(self, process: Process, *, at_s: float) -> None:
        """A process is asked to end in order."""
        self.ended.add(process)
        self.told_to_end_at_s.setdefault(process.pid, at_s)

    def is_killed(self, process: Process, *, at_s: float) -> None:
        """A process ends at once, or does nothing from now on."""
        self.ended.add(process)
        self.killed_at_s.setdefault(process.pid, at_s)

    @property
    def refused(self) -> set[str]:
        """Slots whose processes were ever given what cannot work."""
        return {slot for slot, _ in self.turned_away if slot}

    def was_turned_away(self, life: Life, *, by_name: bool = False) -> bool:
        """Whether a process had to end at once.

        Args:
            life: The process.
            by_name: Whether its slot alone was meant, and not all.
        """
        meant = {life.slot} if by_name else {life.slot, ""}
        return any(
            slot in meant
            and from_s - SEEN_WITHIN_S <= life.seen_at_s <= to_s + SEEN_WITHIN_S
            for (slot, from_s), to_s in self.turned_away.items()
        )

    def close(self, lives: Mapping[str, Sequence[Life]], *, now_s: float) -> None:
        """Book as killed when it went who may have had no chance to end in order.

        That is who was ill, who ended with supervisord, and who was told to end while
        the broker was away, since nobody can commit then. One that was never seen did
        nothing.
        """
        gone_at_s: dict[int, float] = {}
        cut_short = {process.pid for process in self.explained}
        for slot, found in lives.items():
            for life in found:
                at_s = gone_at_s[life.pid] = life.gone_at_s or now_s
                if any(from_s <= at_s <= to_s for from_s, to_s in self.upheavals):
                    self.excused.add(Process(slot, life.pid))
                    cut_short.add(life.pid)
        for pid, told_at_s in self.told_to_end_at_s.items():
            ended_s = gone_at_s.get(pid, inf)
            if any(
                from_s < ended_s and to_s > told_at_s for from_s, to_s in self.outages
            ):
                cut_short.add(pid)
        for pid in cut_short:
            self.killed_at_s.setdefault(pid, gone_at_s.get(pid, inf))

    def hindered(self, pid: int) -> list[Span]:
        """Return when a process could not commit, in order and without overlaps."""
        merged: list[Span] = []
        for begin_s, end_s in sorted([*self.naps.get(pid, []), *self.outages]):
            if merged and begin_s <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end_s, merged[-1][1])
            else:
                merged.append((begin_s, end_s))
        return merged

    # --- what an operator wants -------------------------------------------------------

    def is_wanted(self, slot: str) -> bool:
        """Whether a slot is to run, by the last order."""
        return not self.scaled or _id_of(slot) < self.scaled[-1][1]

    def was_spare(self, slot: str, life: Life | None = None) -> bool:
        """Whether a slot was not to run at a moment of a process's life, or at any."""
        born_s = life.seen_at_s - SEEN_WITHIN_S if life else -inf
        gone_s = life.gone_at_s if life and life.gone_at_s else inf
        return any(
            from_s <= gone_s and to_s >= born_s
            for (from_s, nodes), (to_s, _) in pairwise([*self.scaled, (inf, 0)])
            if _id_of(slot) >= nodes
        )

    @property
    def downs(self) -> list[SlotSpan]:
        """When an operator had slots down, until now."""
        return [*self._downs, *_open(self.stopped_at_s)]

    @property
    def holds(self) -> list[SlotSpan]:
        """When an operator held slots, until now."""
        return [*self._holds, *_open(self.held_at_s)]

    def is_up(self, slot: str, *, from_s: float) -> None:
        """An operator has started what he had stopped."""
        self._downs.append((slot, self.stopped_at_s.pop(slot), from_s))

    def is_released(self, slot: str, *, from_s: float) -> None:
        """An operator gave a slot back, from before the listener heard of it."""
        self._holds.append((slot, self.held_at_s.pop(slot), from_s))

    def excuse_all(self, processes: Iterable[Process], *, now_s: float) -> None:
        """supervisord ends them all, and starts them whoever had stopped them."""
        self.excused |= set(processes)
        for slot in list(self.stopped_at_s):
            self.is_up(slot, from_s=now_s)


def _id_of(slot: str) -> int:
    node = node_id_of(slot)
    assert node is not None, slot
    return node


def _open(since_s: Mapping[str, float]) -> list[SlotSpan]:
    return [(slot, from_s, None) for slot, from_s in since_s.items()]
