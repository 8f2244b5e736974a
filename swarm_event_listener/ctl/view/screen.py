"""Where the commands print, and how they wait."""

from __future__ import annotations

import json
import select
import shutil
import sys
from collections.abc import Iterable
from typing import Any, Final

CLEAR: Final = "\x1b[H\x1b[2J"


class Screen:
    """The output of supervisorctl."""

    def __init__(self, controller: Any) -> None:  # noqa: ANN401 - untyped
        """Print through supervisorctl."""
        self._ctl = controller

    @property
    def width(self) -> int:
        """Its columns."""
        return shutil.get_terminal_size((80, 24)).columns if self.is_terminal else 80

    @property
    def height(self) -> int:
        """Its lines."""
        return shutil.get_terminal_size((80, 24)).lines - 1  # one for the cursor

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it."""
        return bool(sys.stdout.isatty())

    def say(self, text: str) -> None:
        """Print a text."""
        self._ctl.output(text)

    def say_lines(self, lines: Iterable[str]) -> None:
        """Print lines, each by itself."""
        for line in lines:
            self.say(line)

    def say_json(self, plain: Any) -> None:  # noqa: ANN401 - whatever there is to say
        """Print plain data."""
        self.say(json.dumps(plain, indent=2))

    def redraw(self, text: str) -> None:
        """Print a text in place of all that is there."""
        self.say(CLEAR + text)

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            KeyboardInterrupt: The operator has enough of it.
        """
        select.select([], [], [], seconds)
