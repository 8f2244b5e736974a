"""What the listener last said, and whether that still holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm_event_listener.ctl.sources.state import (
    STALE_S,
    ListenerStatus,
    Place,
    StateError,
)
from swarm_event_listener.ctl.view.table import Process


class Listener:
    """The listener, as far as its files and its process tell."""

    def __init__(
        self,
        place: Callable[[], Place],
        read: Callable[[Path], ListenerStatus],
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

    def status(self) -> tuple[ListenerStatus | None, list[str]]:
        """Give what the listener last said, or why that is not known."""
        try:
            return self._read(self._place().directory), self.place_warnings()
        except StateError as error:
            return None, [f"warning: {error}"]

    def place_warnings(self) -> list[str]:
        """Tell why the listener may work elsewhere than where it is looked for."""
        try:
            warning = self._place().warning
        except StateError:
            return []  # said by whoever needs the place
        return [f"warning: {warning}"] if warning else []

    def reachable(self) -> tuple[ListenerStatus, StaleStatus | None]:
        """Give what the listener last said, and why it will not say what it hears.

        Raises:
            StateError: There is none to be told anything.
        """
        status = self._read(self._place().directory)
        stale = self.stale(status)
        if stale is not None and not stale.takes_orders:
            raise StateError(f"ERROR ({stale.text})")
        return status, stale

    def stale(
        self, status: ListenerStatus, everyone: Sequence[Process] = ()
    ) -> StaleStatus | None:
        """Tell why what the listener said may no longer be so."""
        try:
            pool = self._place().pool
        except StateError:
            pool = ""
        return stale_status(status, everyone or self._processes(), pool=pool)

    def missing(self) -> list[str]:
        """Tell why what the listener has done of late may not be on record."""
        status = self.status()[0]
        if status is None or not status.write_error:
            return []
        return [
            f"warning: {status.write_error}: the latest restarts may not be on record"
        ]

    def watched(self, status: ListenerStatus | None) -> tuple[str, ...]:
        """Give the watched groups, from the configuration if need be."""
        if status is not None and status.groups:
            return status.groups
        try:
            return self._place().groups
        except StateError:
            return ()


@dataclass(frozen=True, slots=True)
class StaleStatus:
    """Why what the listener said may no longer be so.

    Attributes:
        text: For people.
        takes_orders: Whether it runs and takes orders, though it cannot say so.
    """

    text: str
    takes_orders: bool = False


def stale_status(
    status: ListenerStatus, everyone: Sequence[Process], *, pool: str
) -> StaleStatus | None:
    """Tell why what the listener said may no longer be so; None where it is.

    Args:
        status: What it said.
        everyone: supervisord's processes.
        pool: The listener's; empty where that is not known.
    """
    alive = [process for process in everyone if process.pid is not None]
    # An id of the time before the machine started is anybody's now.
    its_pid = None if status.age_s is None else status.listener_pid
    writer = next((process for process in alive if process.pid == its_pid), None)
    if writer is not None and not status.is_stale:
        return None
    runs = writer or next((process for process in alive if process.group == pool), None)
    if status.write_error and (runs or not pool):
        return _cannot_write(status, runs)
    if runs is None:
        return _gone(status)
    if writer is None:
        since = f"the listener, pid {runs.pid}, runs for {runs.uptime_s or 0.0:.0f} s"
        is_new = (runs.uptime_s or 0.0) <= STALE_S
        do = "look again in a moment" if is_new else "see its log"
        return StaleStatus(f"{since} and has said nothing yet; {do}")
    hangs = f"pid {status.listener_pid}, last said something {status.age_s:.0f} s ago"
    return StaleStatus(f"the listener, {hangs}: it hangs; see its log, and restart it")


def _cannot_write(status: ListenerStatus, runs: Process | None) -> StaleStatus:
    """The disk is at fault; whether the listener runs is another matter."""
    if runs is None:
        return StaleStatus(
            f"{status.write_error}: no listener can write there how the nodes are, and "
            "whether one runs is not known; see supervisorctl status"
        )
    last = "" if status.age_s is None else f" (it last did {status.age_s:.0f} s ago)"
    return StaleStatus(
        f"{status.write_error}: the listener, pid {runs.pid}, cannot write how the "
        f"nodes are{last}; it runs, and they are supervised all the same",
        takes_orders=True,
    )


def _gone(status: ListenerStatus) -> StaleStatus:
    if status.age_s is None:
        return StaleStatus(
            "the listener has said nothing since the machine started; start it"
        )
    gone = f"pid {status.listener_pid}"
    return StaleStatus(
        f"the listener, {gone}, runs no longer: see its log, and start it"
    )
