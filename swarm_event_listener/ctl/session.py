"""What the commands share: whom they ask, where they write, what they look at."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Protocol

from swarm_event_listener.ctl import table as ctl_view
from swarm_event_listener.ctl.names import choose
from swarm_event_listener.ctl.state import STALE_S, Place, Plain, StateError, Told
from swarm_event_listener.ctl.table import Process, Row
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


class Calls(Protocol):
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
class Eyes:
    """What can be looked at.

    Attributes:
        place: Finds where the listener works.
        told: Reads what it last said.
        history: Reads the records.
        catches: Tells whether a process has a handler for a signal; None: unknown.
        examine: Lets the doctor look at a file, or at supervisorctl's own.
        clock: CLOCK_MONOTONIC, seconds.
    """

    place: Callable[[], Place]
    told: Callable[[Path], Told]
    history: Callable[[Path], tuple[Plain, ...]]
    catches: Callable[[int, str], bool | None]
    examine: Callable[[str | None], tuple[Finding, ...]]
    clock: Callable[[], float]


class Session:
    """One operator at supervisorctl."""

    def __init__(self, calls: Calls, screen: Screen, eyes: Eyes) -> None:
        self.calls = calls
        self.screen = screen
        self.eyes = eyes

    def told(self) -> tuple[Told | None, list[str]]:
        """Give what the listener last said, or why that is not known."""
        try:
            return self.eyes.told(self.eyes.place().directory), self.doubts()
        except StateError as error:
            return None, [f"warning: {error}"]

    def doubts(self) -> list[str]:
        """Tell why the listener may work elsewhere than where it is looked for."""
        try:
            doubt = self.eyes.place().doubt
        except StateError:
            return []  # said by whoever needs the place
        return [f"warning: {doubt}"] if doubt else []

    def hearing(self) -> tuple[Told, Doubt | None]:
        """Give what the listener last said, and why it will not say what it hears.

        Raises:
            StateError: There is none to be told anything.
        """
        told = self.eyes.told(self.eyes.place().directory)
        doubt = self.doubt(told)
        if doubt is not None and not doubt.hears:
            raise StateError(f"ERROR ({doubt.text})")
        return told, doubt

    def doubt(self, told: Told, everyone: Sequence[Process] = ()) -> Doubt | None:
        """Tell why what the listener said may no longer be so."""
        try:
            pool = self.eyes.place().pool
        except StateError:
            pool = ""
        return doubt_of(told, everyone or self.calls.processes(), pool=pool)

    def missing(self) -> list[str]:
        """Tell why what the listener has done of late may not be on record."""
        told = self.told()[0]
        if told is None or not told.hindrance:
            return []
        return [f"warning: {told.hindrance}: the latest restarts may not be on record"]

    def watched(self, told: Told | None) -> tuple[str, ...]:
        """Give the watched groups, from the configuration if need be."""
        if told is not None and told.groups:
            return told.groups
        try:
            return self.eyes.place().groups
        except StateError:
            return ()

    def one(self, names: Sequence[str]) -> Process:
        """Give the one node that a name stands for.

        Raises:
            StateError: It stands for none, or for more.
        """
        told, _ = self.told()
        chosen = choose(names, self.calls.processes(), self.watched(told))
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
        told, _ = self.told()
        notes: list[str] = []
        history: tuple[Plain, ...] | None = None
        if told is not None:
            try:
                history = self.eyes.history(self.eyes.place().directory)
            except StateError as error:
                notes.append(f"restarts are not shown: {error}")
        return ctl_view.rows(processes, told, history), notes

    def refusal(
        self, process: Process, told: Told | None, signal_name: str
    ) -> str | None:
        """Tell why a process must not get a signal; None when it may."""
        node = told.nodes.get(process.name) if told else None
        if process.pid is None:
            return f"not running, it is {process.state}"
        is_known = node is not None and node.get("known")
        if node is None or not is_known or node.get("pid") != process.pid:
            if told is None or told.is_stale:
                return (
                    "whether it has reported is not known, see swarm status: "
                    f"SIG{signal_name} might end it"
                )
            return f"it has not reported yet: SIG{signal_name} might end it"
        if self.eyes.catches(process.pid, signal_name) is False:
            return f"its process has no handler for SIG{signal_name}"
        return None

    def signal(
        self, process: Process, told: Told | None, signal_name: str
    ) -> str | None:
        """Signal a process; give why not, or None."""
        refusal = self.refusal(process, told, signal_name)
        if refusal is None:
            try:
                self.calls.signal(process.name, signal_name)
            except CallRefused as answer:
                return f"ERROR ({answer.why})"
        return f"ERROR ({refusal})" if refusal else None

    def looks(self, within_s: float) -> Iterator[None]:
        """Come back to look again, for a time."""
        give_up_at_s = self.eyes.clock() + within_s
        while self.eyes.clock() < give_up_at_s:
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


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why what the listener said may no longer be so.

    Attributes:
        text: For people.
        hears: Whether it runs and takes orders, though it cannot say so.
    """

    text: str
    hears: bool = False


def doubt_of(told: Told, everyone: Sequence[Process], *, pool: str) -> Doubt | None:
    """Tell why what the listener said may no longer be so; None where it is.

    Args:
        told: What it said.
        everyone: supervisord's processes.
        pool: The listener's; empty where that is not known.
    """
    alive = [process for process in everyone if process.pid is not None]
    # An id of the time before the machine started is anybody's now.
    its_pid = None if told.age_s is None else told.listener_pid
    writer = next((process for process in alive if process.pid == its_pid), None)
    if writer is not None and not told.is_stale:
        return None
    runs = writer or next((process for process in alive if process.group == pool), None)
    if told.hindrance and (runs or not pool):
        return _hindered(told, runs)
    if runs is None:
        return _gone(told)
    if writer is None:
        since = f"the listener, pid {runs.pid}, runs for {runs.uptime_s or 0.0:.0f} s"
        is_new = (runs.uptime_s or 0.0) <= STALE_S
        do = "look again in a moment" if is_new else "see its log"
        return Doubt(f"{since} and has said nothing yet; {do}")
    hangs = f"pid {told.listener_pid}, last said something {told.age_s:.0f} s ago"
    return Doubt(f"the listener, {hangs}: it hangs; see its log, and restart it")


def _hindered(told: Told, runs: Process | None) -> Doubt:
    """The disk is at fault; whether the listener runs is another matter."""
    if runs is None:
        return Doubt(
            f"{told.hindrance}: no listener can write there how the nodes are, and "
            "whether one runs is not known; see supervisorctl status"
        )
    last = "" if told.age_s is None else f" (it last did {told.age_s:.0f} s ago)"
    return Doubt(
        f"{told.hindrance}: the listener, pid {runs.pid}, cannot write how the nodes "
        f"are{last}; it runs, and they are supervised all the same",
        hears=True,
    )


def _gone(told: Told) -> Doubt:
    if told.age_s is None:
        return Doubt(
            "the listener has said nothing since the machine started; start it"
        )
    gone = f"pid {told.listener_pid}"
    return Doubt(f"the listener, {gone}, runs no longer: see its log, and start it")
