"""The live table: data in, lines of at most 80 columns out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

HEAD: Final = (
    "node      pid  state        polled  batch  memory  msg/s restarts  last status"
)
_HUES: Final = {"good": "32", "busy": "33", "bad": "31"}
_STATUS_NAMES: Final = {
    -1: "silent",
    1: "no polls",
    2: "hanging",
    3: "memory",
    4: "unsteady",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one node.

    Attributes:
        node: Node id.
        pid: Its process; None without one.
        state: Its state in a word.
        poll_age_ms: As last reported; None before the first poll.
        consume_age_ms: As last reported; None when idle.
        memory_bytes: As last read.
        per_second: Messages processed in a second.
        restarts: By the listener.
        last_status: Of the last of them.
    """

    node: int
    pid: int | None = None
    state: str = "-"
    poll_age_ms: int | None = None
    consume_age_ms: int | None = None
    memory_bytes: int | None = None
    per_second: float = 0.0
    restarts: int = 0
    last_status: int | None = None


def render(rows: Sequence[Row], foot: str, *, colour: bool) -> list[str]:
    """Give the lines of the table and what stands below it."""
    return [HEAD, *(_line(row, colour=colour) for row in rows), "", foot]


def _line(row: Row, *, colour: bool) -> str:
    state = _painted(f"{row.state:<10}", _hue(row)) if colour else f"{row.state:<10}"
    return (
        f"{row.node:>4}  {_or_dash(row.pid):>7}  {state}{_age(row.poll_age_ms):>9}"
        f"{_age(row.consume_age_ms):>7}{_memory(row.memory_bytes):>8}"
        f"{row.per_second:>7.0f}{row.restarts:>9}  {status(row.last_status)}"
    ).rstrip()


def status(code: int | None) -> str:
    """Give a status with its meaning in a word."""
    return "-" if code is None else f"{code} {_STATUS_NAMES.get(code, '')}".rstrip()


def _hue(row: Row) -> str:
    if row.state == "running":
        return "good"
    return "busy" if row.state in {"booting", "starting", "recovering"} else "bad"


def _painted(text: str, hue: str) -> str:
    return f"\x1b[{_HUES[hue]}m{text}\x1b[0m"


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def _age(age_ms: int | None) -> str:
    return "-" if age_ms is None else f"{age_ms / 1000:.1f} s"


def _memory(memory_bytes: int | None) -> str:
    return "-" if memory_bytes is None else f"{memory_bytes / 2**20:.0f} MB"


def cut(lines: Iterable[str], columns: int) -> list[str]:
    """Cut lines to a width, colours not counted, so that the terminal wraps none."""
    return [_cut(line, columns) for line in lines]


def _cut(line: str, columns: int) -> str:
    if len(line) <= columns:
        return line
    kept, width, index = [], 0, 0
    while index < len(line) and width < columns:
        if line.startswith("\x1b[", index):
            end = line.index("m", index) + 1
            kept.append(line[index:end])
            index = end
            continue
        kept.append(line[index])
        width += 1
        index += 1
    return "".join(kept) + ("\x1b[0m" if "\x1b[" in line else "")
