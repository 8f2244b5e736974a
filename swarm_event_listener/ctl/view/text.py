"""Text for a terminal: columns, wrapped lines, short names."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

# Titles of columns of words; figures are aligned on the right.
LEFT: Final = frozenset({"NODE", "STATE", "HEALTH", "WHEN", "OUTCOME"})


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


def wrapped(text: str, width: int) -> str:
    """Return a remark: indented by two columns, wrapped by four."""
    lines = textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def own_name(name: str) -> str:
    """Return a name without its group."""
    return name.partition(":")[2]
