"""What the listener last said, and whether that still holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm_event_listener.ctl.sources.state import STALE_S, Place, StateError, Told
from swarm_event_listener.ctl.view.table import Process


class Listener:
    """The listener, as far as its files and its process tell."""

    def __init__(
        self,
        place: Callable[[], Place],
        read: Callable[[Path], Told],
        processes: Callable[[], tuple[Process, ...]],
    ) -> None:
        """Look at it.

        Args:
            place: Finds where it works.
            read: Reads what it last said, in its state directory.
            processes: Gives supervisord's processes.
        """
        self._place = place
        self._read = read
        self._processes = processes

    def told(self) -> tuple[Told | None, list[str]]:
        """Give what the listener last said, or why that is not known."""
        try:
            return self._read(self._place().directory), self.doubts()
        except StateError as error:
            return None, [f"warning: {error}"]

    def doubts(self) -> list[str]:
        """Tell why the listener may work elsewhere than where it is looked for."""
        try:
            doubt = self._place().doubt
        except StateError:
            return []  # said by whoever needs the place
        return [f"warning: {doubt}"] if doubt else []

    def hearing(self) -> tuple[Told, Doubt | None]:
        """Give what the listener last said, and why it will not say what it hears.

        Raises:
            StateError: There is none to be told anything.
        """
        told = self._read(self._place().directory)
        doubt = self.doubt(told)
        if doubt is not None and not doubt.hears:
            raise StateError(f"ERROR ({doubt.text})")
        return told, doubt

    def doubt(self, told: Told, everyone: Sequence[Process] = ()) -> Doubt | None:
        """Tell why what the listener said may no longer be so."""
        try:
            pool = self._place().pool
        except StateError:
            pool = ""
        return doubt_of(told, everyone or self._processes(), pool=pool)

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
            return self._place().groups
        except StateError:
            return ()


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
