"""What an admin program prints, and how it is stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import Any, Final, TextIO

PROGRESS_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 0.2


class Stop:
    """Whether to end at the next good place: Ctrl-C, TERM, or the caller is gone.

    A second signal ends the process at once.
    """

    def __init__(self, parent_pid: int | None) -> None:
        """Listen to signals; ``parent_pid`` is the caller that must live."""
        self._parent_pid = parent_pid
        self._is_asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.ask)

    def ask(self, *_: object) -> None:
        """End at the next good place."""
        if self._is_asked:
            os._exit(1)
        self._is_asked = True

    def __call__(self) -> bool:
        """Whether to end."""
        is_alone = self._parent_pid is not None and os.getppid() != self._parent_pid
        return self._is_asked or is_alone

    def wait(self, until_s: float) -> None:
        """Wait until a moment of CLOCK_MONOTONIC, or until it is time to end."""
        while not self() and (left_s := until_s - time.monotonic()) > 0:
            select.select([], [], [], min(left_s, LOOK_EVERY_S))


class Printer:
    """Lines for people, or one object for programs; progress once in a while."""

    def __init__(self, stop: Stop, *, is_json: bool) -> None:
        """Print to stdout; with ``is_json`` only data, and progress to stderr."""
        self._stop = stop
        self._is_json = is_json
        self._progress_at_s = time.monotonic() + PROGRESS_EVERY_S

    def say(self, *lines: str) -> None:
        """Print lines for people."""
        if not self._is_json:
            self._write(sys.stdout, "".join(f"{line}\n" for line in lines))

    def say_json(self, plain: Any) -> None:  # noqa: ANN401 - whatever there is to say
        """Print data for programs."""
        if self._is_json:
            self._write(sys.stdout, json.dumps(plain, indent=2) + "\n")

    def complain(self, line: str) -> None:
        """Print what is wrong: for people where they look, else beside the data."""
        self._write(sys.stderr if self._is_json else sys.stdout, f"{line}\n")

    def progress(self, line: str) -> None:
        """Print how far this is, where the last such line was a while ago."""
        if time.monotonic() >= self._progress_at_s:
            self._progress_at_s = time.monotonic() + PROGRESS_EVERY_S
            self.complain(line)

    def _write(self, out: TextIO, text: str) -> None:
        try:
            out.write(text)
            out.flush()
        except OSError:  # nobody reads on, as in `... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            self._stop.ask()
