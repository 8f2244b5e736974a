"""The memory of all nodes, each read by the memory reader of its group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from swarm_event_listener.core.model.events import Measured
from swarm_event_listener.core.node import Node, is_news
from swarm_event_listener.supervisord.log_throttle import LogThrottle
from swarm_event_listener.supervisord.memory import (
    Children,
    MemoryReader,
    MemoryUnreadableError,
    children_of_all,
)


@dataclass(frozen=True, slots=True)
class MemorySampler:
    """Reads the memory of all nodes, one after another.

    Attributes:
        readers: One for each group.
        throttle: What logs that one cannot read.
    """

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
