"""What the commands share: whom they ask, where they write, what they look at."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Protocol

from swarm_event_listener.ctl.known.listener import Listener
from swarm_event_listener.ctl.known.names import Chosen, choose
from swarm_event_listener.ctl.sources.state import (
    ListenerStatus,
    Place,
    Plain,
    StateError,
)
from swarm_event_listener.ctl.view import table
from swarm_event_listener.ctl.view.table import Process, Row
from swarm_event_listener.doctor.finding import Finding
from swarm_event_listener.supervisord.protocol import RemoteCommand

LOOK_EVERY_S: Final = 0.25
SETTLED_WITHIN_S: Final = 3.0  # more than the listener's 2 s
REDRAW_EVERY_S: Final = 2.0
CONFIRMED_WITHIN_S: Final = 10.0  # the listener writes its status every 2 s
DUMPED_WITHIN_S: Final = 5.0
LATER: Final = "it may be done later: look with swarm status; see the listener's log"
STOPPED_WITHIN_S: Final = 3600.0  # supervisord KILLs long before that


class Exit(IntEnum):
    """Exit statuses, as supervisorctl's own commands use them."""

    OK = 0
    FAILED = 1
    BAD_ARGUMENTS = 2
    NOT_HEALTHY = 3  # as LSB's "not running"
    UNKNOWN = 4


class CallRefused(Exception):  # noqa: N818 - says more than "error"
    """supervisord answered that it will not."""

    def __init__(self, about: str, why: str) -> None:
        """Take what it was asked about, empty if nothing, and what it said."""
        super().__init__(f"{about}: ERROR ({why})" if about else f"ERROR ({why})")
        self.why = why


class Supervisord(Protocol):
    """supervisord, as far as the commands need it.

    All but `processes` and `log_tail` raise `CallRefused`.
    """

    def processes(self) -> tuple[Process, ...]:
        """Give all processes."""

    def signal(self, name: str, signal_name: str) -> None:
        """Signal a process."""

    def stop(self, name: str) -> None:
        """Begin to stop a process."""

    def send(self, command: RemoteCommand) -> None:
        """Send an event to all listeners that want it."""

    def log_tail(self, name: str) -> str:
        """Give the end of a process's stderr log."""


class Screen(Protocol):
    """Where the commands write, and how they pass the time."""

    @property
    def width(self) -> int:
        """Its columns."""

    @property
    def height(self) -> int:
        """Its lines."""

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it."""

    def say(self, text: str) -> None:
        """Write lines."""

    def redraw(self, text: str) -> None:
        """Write lines in the place of all that is there."""

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            KeyboardInterrupt: The operator has enough of it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What can be looked at.

    Attributes:
        place: Finds where the listener works.
        status: Reads what it last said.
        history: Reads the records.
        catches: Tells whether a process has a handler for a signal; None: unknown.
        examine: Lets the doctor look at a file, or at supervisorctl's own.
        clock: CLOCK_MONOTONIC, seconds.
    """

    place: Callable[[], Place]
    status: Callable[[Path], ListenerStatus]
    history: Callable[[Path], tuple[Plain, ...]]
    catches: Callable[[int, str], bool | None]
    examine: Callable[[str | None], tuple[Finding, ...]]
    clock: Callable[[], float]


class Session:
    """One operator at supervisorctl."""

    def __init__(
        self, supervisord: Supervisord, screen: Screen, sources: Sources
    ) -> None:
        self.supervisord = supervisord
        self.screen = screen
        self.sources = sources
        self.listener = Listener(sources.place, sources.status, supervisord.processes)

    def chosen(self, names: Sequence[str], status: ListenerStatus | None) -> Chosen:
        """Give the nodes that names stand for, and which stand for none."""
        return choose(
            names, self.supervisord.processes(), self.listener.watched(status)
        )

    def one(self, names: Sequence[str]) -> Process:
        """Give the one node that a name stands for.

        Raises:
            StateError: It stands for none, or for more.
        """
        status, _ = self.listener.status()
        chosen = self.chosen(names, status)
        if chosen.complaints:
            raise StateError(chosen.complaints[0])
        if len(chosen.processes) != 1:
            example = chosen.processes[0].name
            raise StateError(
                f"{names[0]}: ERROR ({len(chosen.processes)} nodes; name one, such as "
                f"{example})"
            )
        return chosen.processes[0]

    def rows(self, processes: Sequence[Process]) -> tuple[tuple[Row, ...], list[str]]:
        """Give the rows of processes, and what could not be read for them."""
        status, _ = self.listener.status()
        notes: list[str] = []
        history: tuple[Plain, ...] | None = None
        if status is not None:
            try:
                history = self.sources.history(self.sources.place().directory)
            except StateError as error:
                notes.append(f"restarts are not shown: {error}")
        return table.rows(processes, status, history), notes

    def looks(self, within_s: float) -> Iterator[None]:
        """Come back to look again, for a time."""
        give_up_at_s = self.sources.clock() + within_s
        while self.sources.clock() < give_up_at_s:
            yield
            self.screen.wait(LOOK_EVERY_S)

    def tell(
        self,
        arguments: argparse.Namespace,
        outcomes: Sequence[tuple[str, str]],
        complaints: Sequence[str],
        done: str,
    ) -> Exit:
        """Say what became of each node."""
        if arguments.json:
            self.json({"nodes": dict(outcomes), "warnings": list(complaints)})
        else:
            self.say([*complaints, *(f"{name}: {text}" for name, text in outcomes)])
        is_done = all(text.startswith(done) for _, text in outcomes)
        return Exit.OK if is_done and not complaints else Exit.FAILED

    def say(self, lines: Sequence[str]) -> None:
        """Write lines."""
        for line in lines:
            self.screen.say(line)

    def json(self, plain: Any) -> None:  # noqa: ANN401 - whatever there is to say
        """Write data."""
        self.screen.say(json.dumps(plain, indent=2))
