"""The book of what was done to a swarm, and of what that excuses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.faults.verdict import Process, Span


@dataclass
class Book:
    """What the faults explain and excuse; see `tests.faults.verdict.Evidence`.

    Attributes:
        stopped_at_s: Slots that an operator has down now, and since when.
        held_at_s: Slots that he holds now, and since when the listener says so.
        kept: Records of journals that were damaged.
    """

    explained: dict[Process, set[int]] = field(default_factory=dict)
    excused: set[Process] = field(default_factory=set)
    stopped_at_s: dict[str, float] = field(default_factory=dict)
    held_at_s: dict[str, float] = field(default_factory=dict)
    kept: list[Mapping[str, Any]] = field(default_factory=list)
    listener_ends: int = 0
    rolls: int = 0
    _downs: list[Span] = field(default_factory=list)
    _holds: list[Span] = field(default_factory=list)

    @property
    def downs(self) -> list[Span]:
        """When an operator had slots down, until now."""
        return [*self._downs, *_open(self.stopped_at_s)]

    @property
    def holds(self) -> list[Span]:
        """When an operator held slots, until now."""
        return [*self._holds, *_open(self.held_at_s)]

    def explain(self, process: Process, statuses: set[int]) -> None:
        """A process is ill from now on: a restart with one of these is right."""
        self.explained.setdefault(process, set()).update(statuses)

    def is_up(self, slot: str, *, from_s: float) -> None:
        """An operator has started what he had stopped."""
        self._downs.append((slot, self.stopped_at_s.pop(slot), from_s))

    def is_released(self, slot: str, *, from_s: float) -> None:
        """An operator gave a slot back, from before the listener heard of it."""
        self._holds.append((slot, self.held_at_s.pop(slot), from_s))

    def excuse_all(self, processes: Iterable[Process]) -> None:
        """supervisord ends them all, and starts them whoever had stopped them."""
        self.excused |= set(processes)
        now_s = time.monotonic()
        for slot in list(self.stopped_at_s):
            self.is_up(slot, from_s=now_s)


def _open(since_s: Mapping[str, float]) -> list[Span]:
    return [(slot, from_s, None) for slot, from_s in since_s.items()]
