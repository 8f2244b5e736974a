"""Where others see how the swarm is."""

from __future__ import annotations

import os
from collections.abc import Callable

from swarm_event_listener.journal import StatusFile
from swarm_event_listener.status import Counters, status_of
from swarm_event_listener.swarm import Swarm
from swarm_event_listener.watchdog import Watchdog


class Outlets:
    """Shows the swarm to whoever is there to look."""

    def __init__(
        self,
        status_file: StatusFile,
        *,
        wall: Callable[[float], str],
        watchdog: Watchdog | None = None,
    ) -> None:
        """Take the outlets that there are.

        Args:
            status_file: Read by ``supervisorctl swarm``.
            wall: Wall-clock text of a monotonic moment.
            watchdog: Where systemd is told; None outside of it.
        """
        self._status_file = status_file
        self._wall = wall
        self._watchdog = watchdog

    def beat(self, *, now_s: float, heard_at_s: float | None) -> None:
        """Show that the listener is at work; each second.

        Args:
            now_s: Now.
            heard_at_s: When supervisord last sent an event; None before the first.
        """
        if self._watchdog is not None:
            self._watchdog.beat(now_s=now_s, heard_at_s=heard_at_s)

    def rest(self) -> None:
        """Show that the listener ends because it was asked to."""
        if self._watchdog is not None:
            self._watchdog.rest()

    def show(self, swarm: Swarm, counters: Counters, *, now_s: float) -> None:
        """Show how the swarm is now."""
        self._status_file.write(
            status_of(
                swarm,
                counters,
                now_s=now_s,
                at=self._wall(now_s),
                pid=os.getpid(),
            )
        )
