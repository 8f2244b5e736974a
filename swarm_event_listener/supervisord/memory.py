"""The memory of processes, read from outside: a hung node is measured, too.

psutil reads rss in 15 us; pss and uss take 0.3 ms and more, growing with the process:
read them rarely. One look at all processes of the machine takes 40 us for each.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import psutil

from swarm_event_listener.core.model.events import Measured
from swarm_event_listener.core.node import Node, is_news
from swarm_event_listener.supervisord.log_throttle import LogThrottle

Metric = Literal["rss", "pss", "uss"]
Children = Mapping[int, Sequence[psutil.Process]]  # by the pid of their parent

COSTLY_EVERY_S: Final = 5.0


class MemoryUnreadableError(Exception):
    """The process is there, but its memory may not be read; says what to change."""


class MemoryReader:
    """Reads the memory of a group's processes, each as cheaply as can be.

    rss, which counts shared pages in full, is never less than pss (by their share) and
    uss (not at all). While it is within the limit so are they, and the costly reading
    is saved.
    """

    def __init__(
        self, metric: Metric, *, with_children: bool, limit_bytes: int | None
    ) -> None:
        self._metric = metric
        self._with_children = with_children
        self._limit_bytes = limit_bytes
        self._processes: dict[int, psutil.Process] = {}
        self._read_at_s: dict[int, float] = {}  # costly readings, by pid

    def read(
        self, pid: int, *, now_s: float, children: Callable[[], Children]
    ) -> int | None:
        """Return the memory in bytes, an upper bound of it while that is within limits.

        None: the process is gone, a zombie, or it is not yet time for another costly
        reading. Its descendants count, where the group wants that; ``children`` looks
        for those of all processes.

        Raises:
            MemoryUnreadableError: Not permitted, or unknown to this platform.
        """
        try:
            process = self._processes.get(pid) or psutil.Process(pid)
        except psutil.NoSuchProcess:
            return None
        self._processes[pid] = process
        others = [*descendants(pid, children())] if self._with_children else []
        upper_bytes = _sum(process, others, "rss")
        if upper_bytes is None or self._metric == "rss":
            return upper_bytes
        if self._limit_bytes is None or upper_bytes <= self._limit_bytes:
            return upper_bytes
        if now_s - self._read_at_s.get(pid, -math.inf) < COSTLY_EVERY_S:
            return None
        self._read_at_s[pid] = now_s
        return _sum(process, others, self._metric)

    def forget_all_but(self, pids: Container[int | None]) -> None:
        """Forget the processes that are no more."""
        for known in (self._processes, self._read_at_s):
            for pid in [pid for pid in known if pid not in pids]:
                del known[pid]


@dataclass(frozen=True, slots=True)
class MemorySampler:
    """Reads the memory of all nodes, one after another, by the readers of groups."""

    readers: Mapping[str, MemoryReader]
    throttle: LogThrottle

    def measure(self, nodes: Mapping[str, Node], *, now_s: float) -> Iterator[Measured]:
        """Yield the readings that are news; the nodes may change meanwhile."""
        sampled = list(nodes.values())
        pids = {node.pid for node in sampled}
        for reader in self.readers.values():
            reader.forget_all_but(pids)
        children = cache(children_of_all)  # once for all nodes, if one needs it
        for node in sampled:
            if node.pid is None:
                continue
            memory_bytes = self._read(node, node.pid, children, now_s=now_s)
            if memory_bytes is not None and is_news(node, memory_bytes):
                yield Measured(name=node.name, pid=node.pid, memory_bytes=memory_bytes)

    def _read(
        self, node: Node, pid: int, children: Callable[[], Children], *, now_s: float
    ) -> int | None:
        try:
            return self.readers[node.group].read(pid, now_s=now_s, children=children)
        except MemoryUnreadableError as error:
            self.throttle.warn(
                "memory_unreadable", node.name, pid, str(error), now_s=now_s
            )
            return None


def children_of_all() -> Children:
    """Look at all processes once; return each one's children."""
    found: dict[int, list[psutil.Process]] = defaultdict(list)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found[process.ppid()].append(process)
    return found


def descendants(pid: int, children: Children) -> Iterator[psutil.Process]:
    """Return the children of a process and theirs, as far as they are its own."""
    waiting, seen = [pid], {pid}  # a number that came round may close a circle
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child.pid not in seen:
                seen.add(child.pid)
                waiting.append(child.pid)
                yield child


def _sum(
    process: psutil.Process, others: Sequence[psutil.Process], metric: Metric
) -> int | None:
    own_bytes = bytes_of(process, metric)
    if own_bytes is None:
        return None
    return own_bytes + sum(bytes_of(other, metric) or 0 for other in others)


def bytes_of(process: psutil.Process, metric: Metric) -> int | None:
    """Return the memory of one process; None when it is gone or a zombie.

    Raises:
        MemoryUnreadableError: Not permitted, or unknown to this platform.
    """
    try:
        is_cheap = metric == "rss"
        read = process.memory_info() if is_cheap else process.memory_full_info()
        return int(getattr(read, metric)) or None  # a zombie has no pages
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        raise MemoryUnreadableError(
            f"{metric} of pid {process.pid} may not be read: run the listener as the "
            'same user as the node or as root, or set memory_metric = "rss"'
        ) from None
    except AttributeError:
        raise MemoryUnreadableError(
            f"{metric} is not known on {sys.platform}: set memory_metric to rss or uss"
        ) from None
