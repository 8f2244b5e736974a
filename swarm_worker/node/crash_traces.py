"""What is in flight, written where the node's next process finds it after a KILL.

Each batch has a place in the slot's file, behind the pid. Nothing is synced: what a
process has written outlives it in the page cache, and a machine that went down killed
its nodes for another reason.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from swarm_worker.reporting.trace import Trace
from swarm_worker.shared.state_files.lock_files import SAFE

_FIRST: Final = 64  # bytes for the pid
_PLACE: Final = 640  # bytes for a moment, a topic (249), a group, and numbers
_PLACES: Final = 16  # more batches at once leave no trace
_MORE: Final = "+"  # begins what an older version of a node passes over
_EMPTY: Final = b" " * (_PLACE - 1) + b"\n"


class Traces:
    """The traces of one process; `close` is the last word. Thread-safe."""

    def __init__(self, fd: int) -> None:
        """Write to the slot's descriptor, which belongs to somebody else."""
        self._fd: int | None = fd
        self._free = list(range(_PLACES))
        self._taken: dict[int, int] = {}

    def began(self, key: int, trace: Trace, *, now_s: float) -> None:
        """Record a batch in flight, by any key that is its own; never raises."""
        try:
            place = self._free.pop()
        except IndexError:  # asked first, another thread could be in between
            return
        self._taken[key] = place
        self._write(place, _line(trace, now_s).ljust(_PLACE - 1)[: _PLACE - 1] + b"\n")

    def ended(self, key: int) -> None:
        """Record that a batch is no longer in flight."""
        place = self._taken.pop(key, None)
        if place is not None:
            self._write(place, _EMPTY)
            self._free.append(place)

    def carry_over(self, left: Sequence[Trace]) -> None:
        """Leave what a predecessor left, oldest first, and nothing else of that kind.

        A key that is negative is no batch's.
        """
        for key in [key for key in self._taken if key < 0]:
            self.ended(key)
        for index, trace in enumerate(left):
            self.began(-1 - index, trace, now_s=index)

    def close(self) -> None:
        """Write no more: the descriptor is about to be closed."""
        self._fd = None

    def _write(self, place: int, line: bytes) -> None:
        # Another user's file is read-only, and the disk may be full.
        with suppress(OSError):
            if self._fd is not None:
                os.pwrite(self._fd, line, _FIRST + place * _PLACE)


def left_in(path: Path) -> tuple[Trace, ...]:
    """Return what was in flight when the last process of a slot ended, oldest first.

    Nothing where it ended in order or lives on, and where no such file of ours is.
    """
    try:
        # Whoever cannot clear a file does not believe it: it would say so for ever.
        fd = os.open(path, os.O_RDWR | SAFE)
    except OSError:
        return ()
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # not while the slot is held
        text = os.read(fd, _FIRST + _PLACES * _PLACE)[_FIRST:].decode(
            "utf-8", "replace"
        )
    except OSError:
        return ()
    finally:
        os.close(fd)
    found: list[tuple[float, Trace | None]] = []
    for line in text.split("\n"):
        if line.startswith(_MORE) and found:
            found[-1] = _with_more(*found[-1], line.removeprefix(_MORE))
        else:
            found.append(_read(line.strip("\0")))
    whole = [(moment_s, trace) for moment_s, trace in found if trace is not None]
    return tuple(trace for _, trace in sorted(whole, key=lambda each: each[0]))


def _line(trace: Trace, now_s: float) -> bytes:
    numbers = f"{trace.partition} {trace.offset} {trace.end} {trace.deaths}"
    names = f"{trace.topic} {quote(trace.group)}"
    flags = f"{trace.is_ahead:d} {trace.was_alone:d}"
    line = f"{now_s:.6f} {names} {numbers} {flags}"
    if trace.is_witnessed or trace.since_s:
        line += f"\n{_MORE}{trace.is_witnessed:d} {trace.since_s:.3f}"
    return line.encode("utf-8", "replace")


def _read(line: str) -> tuple[float, Trace | None]:
    """Return a line's moment and trace; None for what is none, or was cut."""
    try:
        moment, topic, group, *numbers = line.split()
        partition, offset, end, deaths, is_ahead, was_alone = map(int, numbers)
        return float(moment), Trace(
            group=unquote(group),
            topic=topic,
            partition=partition,
            offset=offset,
            end=end,
            deaths=deaths,
            is_ahead=bool(is_ahead),
            was_alone=bool(was_alone),
            since_s=float(moment),
        )
    except ValueError:
        return 0.0, None


def _with_more(
    moment_s: float, trace: Trace | None, more: str
) -> tuple[float, Trace | None]:
    """Return a trace with what stands below its line, if that is whole."""
    try:
        is_witnessed, since_s = more.split()
        told = bool(int(is_witnessed)), float(since_s)
    except ValueError:
        return moment_s, trace
    if trace is None:
        return moment_s, None
    return moment_s, replace(trace, is_witnessed=told[0], since_s=told[1])
