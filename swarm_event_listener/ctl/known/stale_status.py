"""Whether the status that a listener last wrote still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarm_event_listener.ctl.sources.state import STALE_S, ListenerStatus
from swarm_event_listener.ctl.sources.supervisord import Process


@dataclass(frozen=True, slots=True)
class StaleStatus:
    """Why the status that a listener last wrote may no longer hold.

    Attributes:
        text: For people.
        takes_orders: Whether the listener runs and takes orders; it confirms none.
    """

    text: str
    takes_orders: bool = False


def stale_status(
    status: ListenerStatus, everyone: Sequence[Process], *, pool: str
) -> StaleStatus | None:
    """Return why a status may no longer hold; None where it does.

    ``pool`` is the listener's; empty where that is not known.
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
    """Return that the disk is at fault, and whether the listener runs."""
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
