"""Which rules a node is found to break, and whether that counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from swarm_event_listener.core.evidence import SILENCE_CONFIRMED_S, Evidence
from swarm_event_listener.core.model.events import UP
from swarm_event_listener.core.model.rules import (
    KAFKA_BLAMED,
    Found,
    Status,
    bloated,
    booting,
    judge,
    lone,
    ranked,
    silent,
)
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.node_table import Table
from swarm_worker.shared.report import State

# The first report is due at once, or within the interval of one that was there before
# the listener; without it nothing tells a leak from a limit below the boot size.
UNHEARD_S: Final = 10.0


def violations(node: Node, table: Table, *, now_s: float) -> Found:
    """Return all rules that a node breaks now, in rank order.

    Silence breaks none while no node of the group has ever reported: then it is the
    reporting that is broken, not the nodes.
    """
    if node.state not in UP:
        return ()
    report, limits = node.report, table.policy(node).limits
    alone_s = table.alone_s(node)
    counts = node.group in table.reporting_groups
    silence = silent(now_s - node.seen_at_s, limits) if counts else None
    if report is not None and report.state is State.STOPPING:
        return (silence,) if silence else ()
    # A process has told of itself, or had the time to, before its memory is judged.
    has_told = node.is_known or now_s - node.booting_since_s >= UNHEARD_S
    found = [
        *(judge(report, limits) if report else ()),
        lone(report, alone_s, limits) if report else None,
        silence,
        bloated(node.memory_bytes, node.over_count, limits) if has_told else None,
    ]
    if report is not None and report.state is State.BOOTING:
        found.append(booting(now_s - node.booting_since_s, limits))
    return ranked(found) if any(found) else ()  # this is called for all, each second


def findings(node: Node, table: Table, *, now_s: float) -> tuple[Node, Found]:
    """Return the rules that a node breaks as far as that is evident.

    The node notes since when it has been silent, and since when a rule is broken for
    which Kafka may be to blame; where it breaks none, all notes of its trouble go.
    While a restart is under way only silence is looked at, and nothing else noted.
    """
    found = violations(node, table, now_s=now_s)
    if found:
        node, found = _confirmed(node, found, table.evidence, now_s=now_s)
    if node.restart is not None:
        return node, found
    return _evident(node, found, table, now_s=now_s) if found else (_well(node), ())


def _confirmed(
    node: Node, found: Found, evidence: Evidence, *, now_s: float
) -> tuple[Node, Found]:
    """Leave silence out until supervisord itself is known to be awake."""
    if not any(violation.status is Status.SILENT for violation in found):
        return node, found
    since_s, answered_at_s = node.silent_since_s, evidence.answered_at_s
    if since_s is None:
        node = replace(node, silent_since_s=now_s)
    elif (
        now_s >= since_s + SILENCE_CONFIRMED_S
        and answered_at_s is not None
        and answered_at_s >= since_s
    ):
        return node, found
    return node, tuple(v for v in found if v.status is not Status.SILENT)


def _evident(
    node: Node, found: Found, table: Table, *, now_s: float
) -> tuple[Node, Found]:
    """Leave out what only a standstill, or a report of before its end, tells."""
    policy = table.policy(node)
    report = table.evidence.of(node, interval_s=policy.interval_s)
    if report is not node.report:
        broken = judge(report, policy.limits) if report else ()
        statuses = {violation.status for violation in broken}
        found = tuple(
            violation
            for violation in found
            if violation.status not in KAFKA_BLAMED
            or violation.status in statuses
            or (violation.is_lone and report is not None)
        )
    is_blamed = any(violation.status in KAFKA_BLAMED for violation in found)
    since_s = (node.blamed_since_s or now_s) if is_blamed else None
    if since_s != node.blamed_since_s:
        node = replace(node, blamed_since_s=since_s)
    return node, found


def _well(node: Node) -> Node:
    """Return the node without what was noted of a trouble that has ended."""
    moments = (node.waiting_since_s, node.blamed_since_s)
    if not node.recorded and moments == (None, None):
        return node
    return replace(
        node, waiting_since_s=None, blamed_since_s=None, recorded=frozenset()
    )
