"""Text for a terminal: columns, wrapped lines, short names."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from swarm_event_listener.story.durations import NONE

# Titles of columns of words; figures are aligned on the right.
LEFT: Final = frozenset({"PARTITION", "NODE", "STATE", "HEALTH", "WHEN", "OUTCOME"})


def columns(cells: Sequence[Mapping[str, str]]) -> list[str]:
    """Return lines of columns, the titles first."""
    if not cells:
        return [""]
    titles = {title: title for title in cells[0]}
    widths = {
        title: max(len(row[title]) for row in (titles, *cells)) for title in titles
    }
    return [
        " ".join(
            cell.ljust(widths[title])
            if title.partition(" ")[0] in LEFT
            else cell.rjust(widths[title])
            for title, cell in row.items()
        ).rstrip()
        for row in (titles, *cells)
    ]


def fitting(
    cells: Sequence[Mapping[str, str]], width: int, *, spared: Sequence[str] = ()
) -> list[str] | None:
    """Return the widest table that fits; None where none does.

    Args:
        cells: One row at least.
        width: Columns of the terminal.
        spared: What a narrow table does without, in this order, where it is not enough
            to leave out what is empty.
    """
    empty = {title for title in cells[0] if all(row[title] == NONE for row in cells)}
    narrower = [{*empty, *spared[:count]} for count in range(len(spared) + 1)]
    for left_out in (set[str](), *narrower):
        lines = columns(
            [{t: cell for t, cell in row.items() if t not in left_out} for row in cells]
        )
        if max(map(len, lines)) <= width:
            return lines
    return None


def block(cells: Mapping[str, str]) -> tuple[str, str]:
    """Return one row in two lines."""
    head = "  ".join(cells[title] for title in cells if title in LEFT)
    figures = [
        f"{title.lower()} {cells[title]}"
        for title in cells
        if title not in LEFT and cells[title] != NONE
    ]
    return head, "  " + ", ".join(figures)


def wrapped(text: str, width: int) -> str:
    """Return a remark: indented by two columns, wrapped by four."""
    lines = textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def own_name(name: str) -> str:
    """Return a name without its group."""
    return name.partition(":")[2]


def plain(text: str) -> str:
    """Return a name that a node has written, without what would steer a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)
