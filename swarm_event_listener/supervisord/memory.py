"""The memory of a process, read from outside: a hung node is measured, too.

rss costs 2 to 9 us from ``/proc/PID/statm``; pss and uss need ``smaps_rollup``, whose
1.5 ms grow with the process: read them rarely. psutil serves where /proc does not and
is loaded only then: it costs the listener 4 MB.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Container
from pathlib import Path
from typing import Final, Literal

Metric = Literal["rss", "pss", "uss"]

PROC: Final = Path("/proc")
COSTLY_EVERY_S: Final = 5.0
_HAS_PROC: Final = sys.platform == "linux"
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

# uss is what would be free if the process ended: its private pages.
_ROLLUP_FIELDS: Final = {
    "pss": re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE),
    "uss": re.compile(rb"^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB", re.MULTILINE),
}


class MemoryUnreadableError(Exception):
    """The process is there, but its memory may not be read; says what to change."""


def read_memory(
    pid: int, metric: Metric = "rss", *, with_children: bool = False
) -> int | None:
    """Give the memory of a process in bytes; None when it is gone or a zombie.

    Args:
        pid: The process.
        metric: rss counts shared pages in full, pss by their share, uss not at all.
        with_children: Add those of all its descendants.

    Raises:
        MemoryUnreadableError: Not permitted, or unknown to this platform.
    """
    own_bytes = _read(pid, metric)
    if own_bytes is None or not with_children:
        return own_bytes
    return own_bytes + sum(_read(child, metric) or 0 for child in descendants(pid))


class Gauge:
    """Reads the memory of a group's processes, each as cheaply as can be.

    rss is never less than pss and uss. While it is within the limit so are they, and
    the costly reading is saved.
    """

    def __init__(
        self, metric: Metric, *, with_children: bool, limit_bytes: int | None
    ) -> None:
        self._metric = metric
        self._with_children = with_children
        self._limit_bytes = limit_bytes
        self._read_at_s: dict[int, float] = {}  # costly readings, by pid

    def read(self, pid: int, *, now_s: float) -> int | None:
        """Give the memory in bytes, an upper bound of it while that is within limits.

        None: the process is gone, or it is not yet time for another costly reading.

        Raises:
            MemoryUnreadableError: Not permitted, or unknown to this platform.
        """
        upper_bytes = read_memory(pid, "rss", with_children=self._with_children)
        if upper_bytes is None or self._metric == "rss":
            return upper_bytes
        if self._limit_bytes is None or upper_bytes <= self._limit_bytes:
            return upper_bytes
        if now_s - self._read_at_s.get(pid, -math.inf) < COSTLY_EVERY_S:
            return None
        self._read_at_s[pid] = now_s
        return read_memory(pid, self._metric, with_children=self._with_children)

    def forget_all_but(self, pids: Container[int | None]) -> None:
        """Forget the processes that are no more."""
        for pid in [pid for pid in self._read_at_s if pid not in pids]:
            del self._read_at_s[pid]


def descendants(pid: int) -> list[int]:
    """Give the children of a process and theirs; none when it is gone."""
    if not _HAS_PROC:
        return _psutil_descendants(pid)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in (PROC / str(pid) / "task").iterdir():
            children += map(int, (task / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError):
        pass  # a thread or the process ended meanwhile
    return children


def _read(pid: int, metric: Metric) -> int | None:
    if not _HAS_PROC:
        return _psutil_read(pid, metric)
    try:
        if metric == "rss":
            return _statm_bytes(pid)
        return _rollup_bytes(pid, metric)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except PermissionError:
        raise MemoryUnreadableError(
            f"{metric} of pid {pid} may not be read: run the listener as the same "
            'user as the node or as root, or set memory_metric = "rss"'
        ) from None


def _statm_bytes(pid: int) -> int | None:
    descriptor = os.open(f"{PROC}/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fields = os.read(descriptor, 256).split()
    finally:
        os.close(descriptor)
    # A zombie has no pages at all.
    return int(fields[1]) * _PAGE_BYTES or None if fields else None


def _rollup_bytes(pid: int, metric: Literal["pss", "uss"]) -> int | None:
    text = (PROC / str(pid) / "smaps_rollup").read_bytes()
    kilobytes = [int(amount) for amount in _ROLLUP_FIELDS[metric].findall(text)]
    return sum(kilobytes) * 1024 if kilobytes else None


# --- without /proc --------------------------------------------------------------------


def _psutil_read(pid: int, metric: Metric) -> int | None:
    import psutil  # noqa: PLC0415 - 4 MB that Linux has no use for

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if metric == "rss":
            return int(process.memory_info().rss)
        return int(getattr(process.memory_full_info(), metric))
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        raise MemoryUnreadableError(
            f"{metric} of pid {pid} may not be read: run the listener as root"
        ) from None
    except AttributeError:
        raise MemoryUnreadableError(
            f"{metric} is not known on {sys.platform}: set memory_metric to rss or uss"
        ) from None


def _psutil_descendants(pid: int) -> list[int]:
    import psutil  # noqa: PLC0415 - as above

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []
