"""What one process of a slot leaves for the next: what may have killed it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from swarm_worker.node.crash_traces import left_in
from swarm_worker.processing.poison import Suspect, suspects_of
from swarm_worker.shared.report import LIST_ITEMS_MAX

if TYPE_CHECKING:
    from swarm_worker.node.crash_traces import Traces


class CarryOver:
    """What the last process left, and what this one leaves.

    Attributes:
        suspects: What was in flight as the last process died.
        died_in_flight: The same as positions, for the report.
    """

    def __init__(self, slot: Path) -> None:
        """Read what the last process left in the slot's file."""
        self._left = left_in(slot)
        self.suspects = suspects_of(self._left)
        self.died_in_flight = tuple(
            trace.position for trace in self._left if not trace.is_ahead
        )[:LIST_ITEMS_MAX]
        self._traces: Traces | None = None
        self._kept: tuple[Suspect, ...] = ()

    def begin(self, traces: Traces) -> None:
        """Write to this process's traces from now on; all suspects are to come."""
        self._traces = traces
        self.keep(self.suspects)

    def keep(self, suspects: Iterable[Suspect]) -> None:
        """Keep the suspects that are still to come, for the next process."""
        ahead = tuple(suspects)
        if self._traces and ahead != self._kept:
            self._kept = ahead
            self._traces.carry_over([suspect.carried_over for suspect in ahead])

    def restore(self) -> None:
        """Keep what the last process left: this one has taken nothing."""
        if self._traces:
            self._traces.carry_over(self._left)
