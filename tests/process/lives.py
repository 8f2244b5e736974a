"""A witness of processes: samples /proc and tells who was whose slot, and when.

It asks neither supervisord nor the listener. A process belongs to a slot by the
environment that supervisord gave it, and is named by its pid and its start.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.05
FORK_TO_EXEC_S: Final = 10.0  # a newborn has its parent's environment until then


@dataclass(slots=True)
class Life:
    """One process of a slot; moments are CLOCK_MONOTONIC of the samples."""

    slot: str
    pid: int
    started_ticks: int
    seen_at_s: float
    gone_at_s: float | None = None

    def __str__(self) -> str:
        gone = "" if self.gone_at_s is None else f"{self.gone_at_s:.2f}"
        return f"{self.slot} pid {self.pid} [{self.seen_at_s:.2f}, {gone}]"


class Lives:
    """All processes of one supervisord's slots, and which were there at once.

    Attributes:
        overlaps: Pairs of live processes of one slot.
    """

    def __init__(self, url: str) -> None:
        self._mark = f"SUPERVISOR_SERVER_URL={url}".encode()
        self._known: dict[tuple[int, int], Life | None] = {}
        self._first_seen_s: dict[tuple[int, int], float] = {}
        self.overlaps: list[tuple[Life, Life]] = []

    def all(self, slot: str) -> list[Life]:
        """Return all processes that a slot ever had, oldest first."""
        lives = [life for life in list(self._known.values()) if life]
        return sorted(
            (life for life in lives if life.slot == slot), key=lambda x: x.seen_at_s
        )

    def alive(self, slot: str) -> list[Life]:
        """Return the processes that a slot had in the last sample."""
        return [life for life in self.all(slot) if life.gone_at_s is None]

    def sample(self) -> None:
        """Look at all processes of the machine."""
        present = dict(_processes())
        now_s = time.monotonic()  # a busy machine's look may last: nobody came later
        for key, life in list(self._known.items()):
            if key not in present:
                if life and life.gone_at_s is None:
                    life.gone_at_s = now_s
                elif life is None:
                    del self._known[key]
        for pid, started_ticks in present:
            self._take(pid, started_ticks, now_s)
        self._find_overlaps()

    def _take(self, pid: int, started_ticks: int, now_s: float) -> None:
        key = pid, started_ticks
        if key in self._known:
            return
        slot = self._slot(pid)
        first_s = self._first_seen_s.setdefault(key, now_s)
        if slot is not None:
            self._known[key] = Life(slot, pid, started_ticks, now_s)
        elif now_s - first_s > FORK_TO_EXEC_S:
            self._known[key] = None  # none of ours

    def _slot(self, pid: int) -> str | None:
        try:
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return None
        if self._mark not in environ or not _leads(pid):
            return None
        pairs = dict(entry.partition(b"=")[::2] for entry in environ)
        group = pairs.get(b"SUPERVISOR_GROUP_NAME", b"?").decode()
        return f"{group}:{pairs.get(b'SUPERVISOR_PROCESS_NAME', b'?').decode()}"

    def _find_overlaps(self) -> None:
        by_slot: dict[str, list[Life]] = {}
        for life in self._known.values():
            if life and life.gone_at_s is None:
                by_slot.setdefault(life.slot, []).append(life)
        for lives in by_slot.values():
            # One may have ended, and the other begun, while this sample was taken.
            there = [life for life in lives if started(life.pid) == life.started_ticks]
            if len(there) > 1:
                self.overlaps.append((there[0], there[1]))


def _leads(pid: int) -> bool:
    """Whether a process leads its group, as supervisord has it: no child of a node."""
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


def _processes() -> Iterator[tuple[tuple[int, int], None]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            started_ticks = started(int(entry.name))
            if started_ticks is not None:
                yield (int(entry.name), started_ticks), None


def started(pid: int) -> int | None:
    """Return a process's start; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


@contextmanager
def sampled(url: str) -> Iterator[Lives]:
    """Sample all the while; the last sample is taken at the end."""
    lives = Lives(url)
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(EVERY_S):
            lives.sample()

    thread = threading.Thread(target=run, name="lives", daemon=True)
    thread.start()
    try:
        yield lives
    finally:
        ended.set()
        thread.join()
        lives.sample()
