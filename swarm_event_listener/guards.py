"""What speaks against a restart that a rule asks for, seen over a whole group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swarm_event_listener import lifecycle
from swarm_event_listener.events import ProcessState
from swarm_event_listener.node import Node
from swarm_event_listener.restarts import unavailable_limit
from swarm_event_listener.rules import Limits, is_outage, troubled


def in_outage(nodes: Sequence[Node], limits: Limits) -> bool:
    """Tell whether so many nodes have trouble with Kafka that it is Kafka's own."""
    troubled_count = sum(
        node.report is not None
        and node.state is ProcessState.RUNNING
        and troubled(node.report, limits)
        for node in nodes
    )
    return is_outage(troubled_count, len(nodes))


def free_places(
    nodes: Sequence[Node], max_unavailable: int | None, *, now_s: float
) -> int:
    """Give how many more nodes of a group may be taken down by our hand."""
    taken_count = sum(
        node.restart is not None and lifecycle.holds_place(node.restart, now_s=now_s)
        for node in nodes
    )
    return unavailable_limit(max_unavailable, node_count=len(nodes)) - taken_count


def is_mute(nodes: Iterable[Node], limits: Limits, *, now_s: float) -> bool:
    """Tell whether a group that never reported should have done so by now."""
    timeout_s = limits.report_timeout_s
    return timeout_s is not None and any(
        node.state is ProcessState.RUNNING and now_s - node.seen_at_s > timeout_s
        for node in nodes
    )
