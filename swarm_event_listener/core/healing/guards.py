"""What speaks against a restart that a rule asks for, seen over a whole group."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from swarm_event_listener.core.evidence import INTERVALS
from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.model.rules import (
    KAFKA_BLAMED,
    Found,
    Status,
    is_outage,
    judge,
    lone,
)
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.node_table import Group, Table
from swarm_event_listener.core.restart import lifecycle

# Nodes report at multiples of the interval: these are of one moment, whoever is first.
SAME_MOMENT_S: Final = 0.2


def all_heard(table: Table, node: Node, *, now_s: float) -> bool:
    """Whether each other node has told how it was when a rule was found broken.

    One that has not reported within its timeout, or never, is not waited for, and
    nobody for longer than two intervals.
    """
    policy = table.policy(node)
    since_s = now_s if node.blamed_since_s is None else node.blamed_since_s
    if now_s - since_s >= INTERVALS * policy.interval_s:
        return True
    timeout_s = policy.limits.report_timeout_s
    return all(
        other.made_at_s >= since_s - SAME_MOMENT_S
        for other in table.of(table.group(node.group).running)
        if other.name != node.name and _reports(other, timeout_s, now_s=now_s)
    )


def _reports(node: Node, timeout_s: float | None, *, now_s: float) -> bool:
    return (
        node.state is ProcessState.RUNNING
        and node.reported_at_s is not None
        and (timeout_s is None or now_s - node.reported_at_s <= timeout_s)
    )


def must_wait(table: Table, node: Node, found: Found, *, now_s: float) -> bool:
    """Whether the outage guard or the governor speaks against a node's restart."""
    is_blamed = all(violation.status in KAFKA_BLAMED for violation in found)
    if is_blamed and _must_await_kafka(table, node, found):
        return True
    limit = table.policy(node).max_unavailable
    return free_places(table, node.group, limit, now_s=now_s) <= 0


def _must_await_kafka(table: Table, node: Node, found: Found) -> bool:
    """Whether Kafka is to be waited for; it is not while it answers others."""
    if any(violation.is_lone for violation in found):
        return not _may_restart_lone(table, node)
    is_unsteady = all(violation.status is Status.UNSTEADY for violation in found)
    return (
        in_outage(table, node.group)
        or _in_aftermath(table, node, found)
        or (is_unsteady and _may_be_outage(table, node.group))
    )


def in_outage(table: Table, group: str) -> bool:
    """Whether so many nodes have trouble with Kafka that it is Kafka's own."""
    of = table.group(group)
    return is_outage(len(of.troubled), len(of.running))


def note_outages(table: Table, *, now_s: float) -> None:
    """Keep when there last was an outage, for each group.

    The listener's start counts as one: what was before it nobody has told.
    """
    for name in table.policies:
        of = table.group(name)
        if of.outage_at_s is None or in_outage(table, name):
            of.outage_at_s = now_s


def _in_aftermath(table: Table, node: Node, found: Found) -> bool:
    """Whether it is still an outage, now over, that a node's report tells of.

    Nodes come back one after the other: half of a group is well while the others have
    yet to say so, or wait for a session to end. So what stands still for want of Kafka
    has its limit once more from the outage's end on. What the evidence has left out of
    what is found does not speak against that.
    """
    report, over_at_s = node.report, table.group(node.group).outage_at_s
    if over_at_s is None or report is None:
        return False
    since_s = node.made_at_s - over_at_s
    if since_s <= 0:
        return True

    def since(age_ms: int | None) -> int | None:
        return None if age_ms is None else min(age_ms, round(1000 * since_s))

    own = replace(
        report,
        stalled_ms=since(report.stalled_ms),
        unsteady_ms=since(report.unsteady_ms),
    )
    broken = {violation.status for violation in judge(own, table.policy(node).limits)}
    return broken.isdisjoint(violation.status for violation in found)


def _may_be_outage(table: Table, group: str) -> bool:
    """Whether so many nodes seem to share a node's frozen group that it is Kafka's."""
    of = table.group(group)
    return is_outage(len(of.shaken), len(of.running))


def free_places(
    table: Table, group: str, max_unavailable: int | None, *, now_s: float
) -> int:
    """Return how many more nodes of a group may be taken down by our hand.

    Args:
        table: All nodes.
        group: The group.
        max_unavailable: So many may be down at once; None for a quarter of those that
            run, or are down for a restart, at least 1.
        now_s: Now.
    """
    of = table.group(group)
    moment = (now_s, of.change_count)
    if of.counted is None or of.counted[0] != moment:
        of.counted = (moment, _taken_count(table, of, now_s=now_s))
    quarter = max(1, len(of.running) // 4)
    return (quarter if max_unavailable is None else max_unavailable) - of.counted[1]


def _taken_count(table: Table, of: Group, *, now_s: float) -> int:
    return sum(
        node.restart is not None and lifecycle.holds_place(node.restart, now_s=now_s)
        for node in table.of(of.by_our_hand)
    )


def _may_restart_lone(table: Table, node: Node) -> bool:
    """Whether a node that alone has no broker may be restarted for that.

    One at a time: each waits until the one before it has a broker again. One that has
    none for as long once more is in the same line: a restart did not help it, and may
    help another.
    """
    others = table.of(table.group(node.group).running - {node.name})
    return all(_is_due_again(table, other) for other in others if _is_awaited(other))


def _is_awaited(node: Node) -> bool:
    return node.awaits_broker and not node.is_held


def _is_due_again(table: Table, node: Node) -> bool:
    limits = table.policy(node).limits
    return (
        node.restart is None
        and node.report is not None
        and lone(node.report, table.alone_s(node), limits) is not None
    )
