"""Where others see how the swarm is."""

from __future__ import annotations

import os
from collections.abc import Callable

from swarm_event_listener.journal import StatusFile
from swarm_event_listener.status import Counters, status_of
from swarm_event_listener.swarm import Swarm


class Outlets:
    """Shows the swarm to whoever is there to look."""

    def __init__(
        self, status_file: StatusFile, *, wall: Callable[[float], str]
    ) -> None:
        """Take the outlets that there are.

        Args:
            status_file: Read by ``supervisorctl swarm``.
            wall: Wall-clock text of a monotonic moment.
        """
        self._status_file = status_file
        self._wall = wall

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
