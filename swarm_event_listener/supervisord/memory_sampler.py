"""The memory of all nodes, read with the gauge of their group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from swarm_event_listener.core.model.events import Measured
from swarm_event_listener.core.node import Node, is_news
from swarm_event_listener.supervisord.log_throttle import Rarely
from swarm_event_listener.supervisord.memory import (
    Children,
    Gauge,
    MemoryUnreadableError,
    children_of_all,
)


class Scales:
    """Weighs all nodes, one after another."""

    def __init__(self, gauges: Mapping[str, Gauge], rarely: Rarely) -> None:
        """Take a gauge for each group, and what says that one cannot read."""
        self._gauges = gauges
        self._rarely = rarely

    def measure(self, nodes: Mapping[str, Node], *, now_s: float) -> Iterator[Measured]:
        """Give the readings that say something new; the nodes may change meanwhile."""
        weighed = list(nodes.values())
        pids = {node.pid for node in weighed}
        for gauge in self._gauges.values():
            gauge.forget_all_but(pids)
        children = cache(children_of_all)  # once for all nodes, if one needs it
        for node in weighed:
            if node.pid is None:
                continue
            memory_bytes = self._read(node, node.pid, children, now_s=now_s)
            if memory_bytes is not None and is_news(node, memory_bytes):
                yield Measured(name=node.name, pid=node.pid, memory_bytes=memory_bytes)

    def _read(
        self, node: Node, pid: int, children: Callable[[], Children], *, now_s: float
    ) -> int | None:
        try:
            return self._gauges[node.group].read(pid, now_s=now_s, children=children)
        except MemoryUnreadableError as error:
            self._rarely.say(
                "memory_unreadable", node.name, pid, str(error), now_s=now_s
            )
            return None
