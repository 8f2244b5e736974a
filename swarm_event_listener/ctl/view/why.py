"""The story of a node: how it is now, and its last restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from swarm_event_listener.ctl.known.node_rows import Row
from swarm_event_listener.story import story
from swarm_event_listener.story.durations import duration
from swarm_event_listener.story.story import Told
from swarm_event_listener.story.text import wrapped


def why(
    row: Row,
    restarts: Sequence[Told],
    *,
    worst: str = "",
    last_words: Sequence[str] = (),
    width: int,
) -> str:
    """Return the last restarts of a node as a story, the last one last.

    Args:
        row: How it is now.
        restarts: Its restarts, oldest first.
        worst: Its partitions that are most behind, in a line.
        last_words: The end of the log of a node that is down.
        width: Columns of the terminal.
    """
    earlier = [replace(told, why_none=None) for told in restarts[:-1]]
    told = [*earlier, *restarts[-1:]]
    parts = [_now(row, worst, width), *(story.restart(each, width) for each in told)]
    if not restarts:
        parts.append("no restarts on record")
    if last_words:
        parts.append("\n".join(["the end of its log:", *last_words]))
    return "\n\n".join(parts)


def _now(row: Row, worst: str, width: int) -> str:
    pid = "" if row.pid is None else f", pid {row.pid}, up {duration(row.uptime_s)}"
    head = f"{row.node}: {row.state}, {row.health}{pid}"
    said = [*filter(None, (row.why, worst)), *row.failures, *row.notes]
    return "\n".join([head, *(wrapped(text, width) for text in said)])
