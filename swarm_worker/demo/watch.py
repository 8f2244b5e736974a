"""Reads what the listener writes for other eyes: its status file and its journal.

Both are replaced as a whole, so whatever is read is whole. Until they are there, and
where they say something unknown, there is nothing to see.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from swarm_worker.demo.story import Finding
from swarm_worker.demo.table import Row

STATUS: Final = "status.json"
JOURNAL: Final = "journal.json"

Plain = Mapping[str, Any]


def read_json(path: Path) -> Plain:
    """Give the object in a file; an empty one while there is none."""
    try:
        plain = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def findings(journal: Plain) -> list[Finding]:
    """Give all restarts in a journal, those under way last."""
    records = [*journal.get("history", ())]
    records += [intent["record"] for intent in journal.get("intents", {}).values()]
    return [_finding(record) for record in records if not record.get("dry_run")]


def _finding(record: Plain) -> Finding:
    return Finding(
        node=node_id(record["node"]),
        pid=record["pid"],
        status=record["status"],
        reason=record["reason"],
        detected_at_s=record.get("detected_at_s"),
    )


def node_id(name: str) -> int:
    """Give the node id at the end of a process's name, as in ``swarm:swarm_02``."""
    return int(name.rpartition("_")[2])


def rows(
    status: Plain, restarts: list[Finding], per_second: Mapping[int, float]
) -> Iterator[Row]:
    """Give the table's rows.

    Args:
        status: What the status file says.
        restarts: All restarts so far.
        per_second: Messages processed in a second, by node.
    """
    for plain in status.get("nodes", ()):
        node = node_id(plain["node"])
        mine = [finding for finding in restarts if finding.node == node]
        report = plain["report"] if plain["state"] in {"STARTING", "RUNNING"} else None
        yield Row(
            node=node,
            pid=plain["pid"],
            state=_state(plain, report),
            poll_age_ms=_aged(plain, report, "poll_age_ms"),
            consume_age_ms=_aged(plain, report, "consume_age_ms"),
            memory_bytes=plain["memory_bytes"] if plain["pid"] else None,
            per_second=per_second.get(node, 0.0),
            restarts=len(mine),
            last_status=mine[-1].status if mine else None,
        )


def _state(plain: Plain, report: Plain | None) -> str:
    """Give the phase of the node's restart, its own word for its state, or its end."""
    restart = plain["restart"]
    if restart is not None:
        return str(restart["phase"])
    if report is not None:
        return str(report["state"])
    return str(plain["state"]).lower()


def _aged(plain: Plain, report: Plain | None, field: str) -> int | None:
    """Give an age as of now: as reported, plus the age of the report."""
    if report is None or report[field] is None:
        return None
    return int(report[field]) + round((plain["report_age_s"] or 0.0) * 1000)
