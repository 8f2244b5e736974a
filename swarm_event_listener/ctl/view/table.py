"""The table of nodes that `status` and `top` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from swarm_event_listener.core.health import Word
from swarm_event_listener.ctl.known.node_rows import Row
from swarm_event_listener.story.durations import NONE, duration, duration_ms
from swarm_event_listener.story.text import block, fitting, own_name, wrapped


def render(
    shown: Sequence[Row], *, width: int, scales: Mapping[str, str] | None = None
) -> str:
    """Return the rows as text, group by group.

    Args:
        shown: The rows.
        width: Columns of the terminal: where a table is too wide, columns that are
            empty are left out, then some others; at last each node takes two lines.
        scales: How many nodes of a group are to run, where that was ordered.
    """
    groups = dict.fromkeys(row.node.partition(":")[0] for row in shown)
    return "\n\n".join(
        _group(
            name,
            [row for row in shown if row.node.startswith(f"{name}:")],
            (scales or {}).get(name, ""),
            width,
        )
        for name in groups
    )


def _group(name: str, shown: Sequence[Row], scale: str, width: int) -> str:
    counts = Counter(row.health for row in shown)
    summary = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    cells = [_cells(row) for row in shown]
    lines = fitting(cells, width, spared=_SPARED)
    blocks = [(line,) for line in lines[1:]] if lines else [block(c) for c in cells]
    body = [
        line
        for row, block in zip(shown, blocks, strict=True)
        for line in (*block, *_remarks(row, width))
    ]
    ordered = [wrapped(scale, width)] if scale else []
    return "\n".join([f"{name}: {summary}", *ordered, *(lines or ())[:1], *body])


# What a narrow table does without, in this order: the health implies the state.
_SPARED: Final = ("STATE", "MSG/S", "PART")


def _cells(row: Row) -> dict[str, str]:
    """Return the cells of a row, by the title of their column."""
    return {
        "NODE": own_name(row.node),
        "STATE": row.state,
        "HEALTH": row.health,
        "PID": _number(row.pid),
        "UP": duration(row.uptime_s),
        "POLL": duration_ms(row.poll_age_ms),
        "BATCH": duration_ms(row.consume_age_ms),
        "MB": _memory(row),
        "PART": _number(row.partitions),
        "LAG": _number(row.lag),
        "MSG/S": _rate(row.messages_per_s),
        "RESTARTS": _restarts(row),
    }


def _remarks(row: Row, width: int) -> list[str]:
    said = [row.why] if row.why else []
    said += row.failures + row.notes
    if row.health != Word.HEALTHY and row.in_flight:
        said.append("in flight: " + ", ".join(row.in_flight))
    if row.held and row.health != Word.HELD:
        said.append("held: the rules are off for it")
    return [wrapped(text, width) for text in said]


def _number(value: int | None) -> str:
    return NONE if value is None else str(value)


def _rate(per_s: float | None) -> str:
    if per_s is None:
        return NONE
    return f"{per_s:.0f}" if per_s >= 10 else f"{per_s:.1f}"


def _memory(row: Row) -> str:
    if row.memory_bytes is None:
        return NONE
    read = f"{row.memory_bytes / 2**20:.0f}"
    limit = row.memory_limit_bytes
    return read if limit is None else f"{read}/{limit >> 20}"


def _restarts(row: Row) -> str:
    if not row.restarts:
        return _number(row.restarts)
    last = row.last_cause if row.last_status is None else row.last_status
    return f"{row.restarts} ({last})"
