"""Where the audience looks: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TextIO

from swarm_worker.demo.table import Row, cut, render

PLAIN_EVERY_S: Final = 5.0
LIVE_EVERY_S: Final = 0.25

_MARGIN: Final = " " * 10


class Screen(Protocol):
    """What the demo shows itself on."""

    def say(self, text: str, *, at_s: float) -> None:
        """Tell one sentence; ``at_s`` is seconds since the start."""

    def show(self, rows: Sequence[Row], foot: str, *, at_s: float) -> None:
        """Show how things stand; may be called more often than it shows."""

    def close(self) -> None:
        """Leave the cursor on a line of its own."""


def screen(out: TextIO = sys.stdout, environ: Mapping[str, str] = os.environ) -> Screen:
    """Give the screen that suits an output."""
    if out.isatty() and environ.get("TERM", "dumb") != "dumb":
        return LiveScreen(out, colour=not environ.get("NO_COLOR"))
    return PlainScreen(out)


def _columns() -> int:
    """Give the width to use: a full line would wrap in some terminals."""
    return shutil.get_terminal_size().columns - 1


def _sentence(text: str, *, at_s: float) -> list[str]:
    """Give the lines of a sentence, the moment in the margin."""
    return textwrap.wrap(
        text,
        width=max(_columns(), len(_MARGIN) + 20),
        initial_indent=f"{at_s:6.1f} s  ",
        subsequent_indent=_MARGIN,
    )


class PlainScreen:
    """Lines for a log: what is said, and the foot of the table now and then."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown_at_s = 0.0

    def say(self, text: str, *, at_s: float) -> None:
        """Write one line."""
        self._write(text, at_s=at_s)

    def show(self, rows: Sequence[Row], foot: str, *, at_s: float) -> None:
        """Write one line, every `PLAIN_EVERY_S` at most."""
        if at_s - self._shown_at_s >= PLAIN_EVERY_S:
            self._shown_at_s = at_s
            states = " ".join(f"{row.node}:{row.state}" for row in rows)
            self._write(f"  {foot}; {states or 'no node yet'}", at_s=at_s)

    def close(self) -> None:
        """Nothing to do."""

    def _write(self, text: str, *, at_s: float) -> None:
        self._out.write(f"{at_s:6.1f} s  {text}\n")
        self._out.flush()


class LiveScreen:
    """A table that is drawn over itself, below the sentences that were said."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._out = out
        self._colour = colour
        self._drawn: list[str] = []
        self._shown_at_s = float("-inf")

    def say(self, text: str, *, at_s: float) -> None:
        """Put a sentence above the table."""
        table = self._drawn
        self._erase()
        self._out.write("".join(f"{line}\n" for line in _sentence(text, at_s=at_s)))
        self._draw(table)

    def show(self, rows: Sequence[Row], foot: str, *, at_s: float) -> None:
        """Draw the table anew, every `LIVE_EVERY_S` at most."""
        if at_s - self._shown_at_s >= LIVE_EVERY_S:
            self._shown_at_s = at_s
            self._erase()
            self._draw(["", *render(rows, foot, colour=self._colour)])

    def close(self) -> None:
        """Leave the last table where it is."""
        self._drawn = []

    def _draw(self, lines: Sequence[str]) -> None:
        self._drawn = cut(lines, _columns())
        self._out.write("".join(f"{line}\n" for line in self._drawn))
        self._out.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(f"\x1b[{len(self._drawn)}F\x1b[J")
            self._drawn = []
