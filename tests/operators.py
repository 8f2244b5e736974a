"""What supervisord, listener and records say to an operator, for tests."""

from __future__ import annotations

import os
from typing import Any

from swarm_event_listener.ctl_state import Told
from swarm_event_listener.ctl_view import Process
from swarm_event_listener.events import ProcessState


def process(
    name: str = "w:w_00", state: str = "RUNNING", pid: int | None = 7
) -> Process:
    """Give a process as supervisord tells of it."""
    return Process(
        name=name,
        state=ProcessState(state),
        pid=pid,
        uptime_s=None if pid is None else 75.0,
    )


def told_node(**fields: Any) -> dict[str, Any]:
    """Give a node as the listener tells of it: healthy, but for what is given."""
    return {
        "node": "w:w_00",
        "state": "RUNNING",
        "pid": 7,
        "health": "healthy",
        "why": "",
        "held": False,
        "known": True,
        "restart": None,
        "messages_per_s": 12.5,
        "memory_bytes": 300 * 2**20,
        "memory_limit_bytes": 2**30,
        "report": {
            "poll_age_ms": 120,
            "consume_age_ms": None,
            "in_flight": ["orders/3@7"],
            "assigned": 3,
            "lag": 42,
        },
        **fields,
    }


def told(*nodes: dict[str, Any], age_s: float | None = 1.0) -> Told:
    """Give what the listener said."""
    return Told(
        age_s=age_s,
        listener_pid=1,
        groups=("w",),
        nodes={node["node"]: node for node in nodes},
    )


def disk(**fields: int) -> os.statvfs_result:
    """Give what is told of a file system: half full, but for what is given."""
    facts = {
        "f_bsize": 4096,
        "f_frsize": 4096,
        "f_blocks": 200,
        "f_bfree": 105,
        "f_bavail": 100,
        "f_files": 50,
        "f_ffree": 26,
        "f_favail": 25,
        "f_flag": 0,
        "f_namemax": 255,
    }
    assert facts.keys() >= fields.keys()
    return os.statvfs_result(tuple((facts | fields).values()))


def record(**fields: Any) -> dict[str, Any]:
    """Give a record of a restart, but for what is given."""
    return {
        "node": "w:w_00",
        "pid": 7,
        "cause": "rule",
        "status": 2,
        "reason": "consuming_ttl: 9.0 s > 5.0 s",
        "in_flight": ["orders/3@7"],
        "suspect": None,
        "rss_mb": 812,
        "detected_at": "2026-11-24T09:00:00.000+00:00",
        "stopped_at": "2026-11-24T09:00:04.000+00:00",
        "killed": True,
        "started_at": "2026-11-24T09:00:09.000+00:00",
        "recovered_at": "2026-11-24T09:00:11.500+00:00",
        "new_pid": 8,
        "dry_run": False,
        "seconds": {"stop": 4.0, "down": 5.0, "recovery": 2.5, "total": 11.5},
        **fields,
    }
