"""What the demo prints: sentences, and below them the operator's own table."""

from __future__ import annotations

import os
import shutil
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO


class Screen:
    """A table that is drawn over itself in a terminal, plain lines elsewhere."""

    def __init__(self, out: TextIO, *, is_plain: bool = False) -> None:
        is_terminal = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._is_live = is_terminal and not is_plain
        self._every_s = 1.0 if self._is_live else 5.0
        self._out = out
        self._begun_at_s = time.monotonic()
        self._table = self._shown = ["no node yet"]
        self._drawn: list[str] = []

    @contextmanager
    def following(self, status: Callable[[], str]) -> Iterator[None]:
        """Ask for the table again and again; an empty answer is none."""
        over = threading.Event()

        def follow() -> None:
            while not over.wait(self._every_s):
                self._table = status().splitlines() or self._table

        threading.Thread(target=follow).start()
        try:
            yield
        finally:
            over.set()  # a last answer may come later; Python waits for it at its end

    def say(self, text: str) -> None:
        """Print one sentence, with the seconds since the start before it."""
        line = f"{time.monotonic() - self._begun_at_s:6.1f} s  {text}"
        lines = [line]
        if self._is_live:
            lines = textwrap.wrap(line, self._columns, subsequent_indent=" " * 10)
        self._write(lines, self._drawn)

    def show(self, foot: str) -> None:
        """Show how things stand; may be called more often than it prints."""
        if self._is_live:
            title = "$ supervisorctl swarm status"
            self._write([], ["", title, *self._table, "", foot])
        elif self._table is not self._shown:
            self._shown = self._table
            self.say(f"  {foot}; {self._table[0]}")

    def _write(self, lines: Sequence[str], below: Sequence[str]) -> None:
        erase = f"\x1b[{len(self._drawn)}F\x1b[J" if self._drawn else ""
        # A line that the terminal wraps would not be erased.
        self._drawn = [line[: self._columns] for line in below]
        self._out.write(erase + "".join(f"{line}\n" for line in (*lines, *self._drawn)))
        self._out.flush()

    @property
    def _columns(self) -> int:
        return max(30, shutil.get_terminal_size().columns - 1)
