"""Whether a node is alone without a broker: what one node of a group cannot know.

Nodes of one Kafka group talk to the same brokers. While a broker answers one of them,
it is not Kafka that another one lacks. A connection proves nothing: that of a broker
that is frozen stands for a minute. What it says does, so time is counted between the
moments at which a broker was last heard. While all are without one it does not count:
after an outage some find a broker before others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swarm_event_listener.core.node import Node
from swarm_worker.shared.report import GroupReach

# The longest between two signs of one broker in good order, beside two reports: idle
# members say something every three seconds or five.
QUIET_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Run:
    """Brokers were heard again and again from one moment to another."""

    first_s: float
    last_s: float


class Brokers:
    """When brokers were heard by nodes of a supervisord group, by Kafka group."""

    def __init__(self, interval_s: float) -> None:
        """Know of none.

        Args:
            interval_s: Between reports.
        """
        self._gap_s = QUIET_S + 2 * interval_s
        self._fresh_s = 3 * interval_s
        self._runs: dict[str, _Run] = {}
        # By Kafka group and node: when it reported, and whether it was without one.
        self._without: dict[str, dict[str, tuple[float, bool]]] = {}

    def reported(self, node: Node) -> None:
        """Record what a node's last report tells of brokers."""
        now_s = node.made_at_s
        for reach in _reaches(node):
            is_without = reach.without_ms is not None
            nodes = self._without.setdefault(reach.mark, {})
            nodes[node.name] = now_s, is_without
            if not is_without and reach.heard_ms is not None:
                self._heard(reach.mark, now_s - reach.heard_ms / 1000)
            elif all(
                without
                for at_s, without in nodes.values()
                if now_s - at_s <= self._fresh_s
            ):
                self._runs.pop(reach.mark, None)

    def _heard(self, mark: str, at_s: float) -> None:
        run = self._runs.get(mark)
        if run is None or at_s - run.last_s > self._gap_s:
            self._runs[mark] = _Run(at_s, at_s)
        elif at_s > run.last_s:
            self._runs[mark] = _Run(run.first_s, at_s)

    def alone_s(self, node: Node) -> float | None:
        """Return for how long a node has had no broker while others had; None: not.

        By its own last word: one that says no more is silent, and not without a broker.
        """
        now_s = node.made_at_s
        lone_s = [
            min(run.last_s, now_s) - max(run.first_s, now_s - reach.without_ms / 1000)
            for reach in _reaches(node)
            if reach.without_ms is not None
            and (run := self._runs.get(reach.mark)) is not None
            and now_s - run.last_s <= self._gap_s
        ]
        longest_s = max(lone_s, default=0.0)
        return longest_s if longest_s > 0 else None


def _reaches(node: Node) -> list[GroupReach]:
    report = node.report
    return [] if report is None else [GroupReach.read(t) for t in report.kafka_groups]
