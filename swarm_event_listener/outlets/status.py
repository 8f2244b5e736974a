"""What the status file says: the swarm as its listener sees it, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from swarm_event_listener.core.node import Node
from swarm_event_listener.core.swarm import Swarm

VERSION: Final = 1


def _count(meaning: str) -> int:
    counted: int = dataclasses.field(default=0, metadata={"meaning": meaning})
    return counted


@dataclass(slots=True)
class Counters:
    """What the listener has seen since its start, each with its meaning."""

    events: int = _count("Events that the listener heard from supervisord.")
    reports: int = _count("Reports of nodes that the listener took in.")
    bad_reports: int = _count("Reports that could not be read.")
    lost_events: int = _count(
        "Events that supervisord dropped from the listener's full buffer."
    )
    bad_orders: int = _count("Commands that could not be read.")
    stalls: int = _count(
        "Times that the listener itself stood still for over 3 seconds."
    )


def head_of(
    swarm: Swarm, counters: Counters, *, now_s: float, at: str, pid: int
) -> dict[str, Any]:
    """Return the status without its nodes; ``at`` is ``now_s`` on the wall clock."""
    return {
        "version": VERSION,
        "at": at,
        "at_s": now_s,
        "listener": {"pid": pid, **dataclasses.asdict(counters)},
        "groups": sorted(swarm.policies),
        "scale": swarm.scale,
        "rolls": [
            {**rolled.as_json(), "is_over": rolled.is_over}
            for rolled in swarm.rolls.values()
        ],
    }


def nodes_of(swarm: Swarm, *, now_s: float) -> Iterator[dict[str, Any]]:
    """Return the status of each node, by name; one at a time, there may be hundreds."""
    nodes = swarm.nodes
    for name in sorted(nodes):
        yield _node(swarm, nodes[name], now_s=now_s)


def _node(swarm: Swarm, node: Node, *, now_s: float) -> dict[str, Any]:
    restart = node.restart
    policy = swarm.policies[node.group]
    health = swarm.health(node, now_s=now_s)
    return {
        "node": node.name,
        "health": health.word.value,
        "why": health.why,
        "state": node.state.value,
        "pid": node.pid,
        # `dataclasses.asdict` was a third of what the listener costs.
        "report": msgspec.to_builtins(node.report),
        "report_age_s": _age(node.reported_at_s, now_s),
        "known": node.is_known,
        "messages_per_s": node.messages_per_s,
        "memory_bytes": node.memory_bytes,
        "memory_limit_bytes": policy.limits.memory_limit_bytes,
        "report_timeout_s": policy.limits.report_timeout_s,
        "failures": len(node.failures),
        "held": node.is_held,
        "waiting_s": _age(node.waiting_since_s, now_s),
        "restart": None
        if restart is None
        else {
            "phase": restart.phase.value,
            "status": restart.record.status,
            "reason": restart.record.reason,
            "pause_s": restart.record.pause_s,
            "phase_age_s": _age(restart.since_s, now_s),
        },
    }


def _age(since_s: float | None, now_s: float) -> float | None:
    return None if since_s is None else round(now_s - since_s, 3)
