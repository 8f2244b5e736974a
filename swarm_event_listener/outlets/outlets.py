"""Where others see how the swarm is."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from swarm_event_listener.core.model.events import Reported
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.status import Counters, head_of, nodes_of
from swarm_event_listener.storage.journal import StatusFile

if TYPE_CHECKING:  # 1 MB that a listener without metrics has no use for
    from swarm_event_listener.outlets.metrics.outlet import MetricsOutlet


class Outlets:
    """Shows the swarm to whoever is there to look."""

    def __init__(
        self,
        status_file: StatusFile,
        *,
        wall: Callable[[float], str],
        metrics: MetricsOutlet | None = None,
    ) -> None:
        """Take the outlets that there are.

        Args:
            status_file: Read by ``supervisorctl swarm``.
            wall: Wall-clock text of a monotonic moment.
            metrics: The endpoint; None without one.
        """
        self._status_file = status_file
        self._wall = wall
        self._metrics = metrics

    def reported(self, swarm: Swarm, event: Reported) -> None:
        """Record a report that the core has heard."""
        if self._metrics is not None:
            self._metrics.reported(swarm, event)

    def restarted(self, record: Record) -> None:
        """Record a restart that has ended."""
        if self._metrics is not None:
            self._metrics.restarted(record)

    def show(
        self, swarm: Swarm, counters: Counters, *, now_s: float, trouble: str
    ) -> None:
        """Show how the swarm is now.

        Args:
            swarm: The core.
            counters: The listener's own.
            now_s: Now.
            trouble: Why the listener itself is not well; empty while it is.
        """
        at = self._wall(now_s)
        self._status_file.write(
            head_of(swarm, counters, now_s=now_s, at=at, pid=os.getpid()),
            nodes_of(swarm, now_s=now_s),
        )
        if self._metrics is not None:
            self._metrics.show(swarm, counters, now_s=now_s, trouble=trouble)
