"""Where others see how the swarm is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarm_event_listener.core.model.events import Reported
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.status import Counters, head_of, nodes_of
from swarm_event_listener.storage.journal import StatusFile

if TYPE_CHECKING:  # 1 MB that a listener without metrics has no use for
    from swarm_event_listener.outlets.metrics.outlet import MetricsOutlet


@dataclass(frozen=True, slots=True)
class Outlets:
    """Shows the swarm to whoever is there to look.

    Attributes:
        status_file: Read by ``supervisorctl swarm``.
        wall: Wall-clock text of a monotonic moment.
        metrics: The endpoint; None without one.
    """

    status_file: StatusFile
    wall: Callable[[float], str]
    metrics: MetricsOutlet | None = None

    def reported(self, swarm: Swarm, event: Reported) -> None:
        """Record a report that the core has heard."""
        if self.metrics is not None:
            self.metrics.reported(swarm, event)

    def restarted(self, record: Record) -> None:
        """Record a restart that has ended."""
        if self.metrics is not None:
            self.metrics.restarted(record)

    def show(
        self, swarm: Swarm, counters: Counters, *, now_s: float, trouble: str
    ) -> None:
        """Show how the swarm is now, and why the listener itself is not well, if so."""
        at = self.wall(now_s)
        self.status_file.write(
            head_of(swarm, counters, now_s=now_s, at=at, pid=os.getpid()),
            nodes_of(swarm, now_s=now_s),
        )
        if self.metrics is not None:
            self.metrics.show(swarm, counters, now_s=now_s, trouble=trouble)
