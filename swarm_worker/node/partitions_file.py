"""How far behind each partition of this node is, for whoever reads its state directory.

`swarm status --partitions` and the page do. The file outlives its process: a reader
believes it only where ``pid`` is that of the node now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from swarm_worker.process import json_file
from swarm_worker.reporting.clock import age_ms
from swarm_worker.shared.state_files.partition_figures import (
    NodeFigures,
    PartitionFigures,
)

if TYPE_CHECKING:
    from swarm_worker.reporting.partition_lag import PartitionLag
    from swarm_worker.reporting.progress import Progress


class PartitionsFile:
    """The file beside a slot's; used by the main thread alone."""

    def __init__(
        self,
        path: Path,
        progress: Progress,
        clock: Callable[[], float],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Write nothing yet.

        Args:
            path: Which nobody else writes while the slot is held.
            progress: Has the figures.
            clock: Seconds, as the figures have them.
            monotonic: The machine's, as reports have it.
            wall: That of messages.
        """
        self._path = path
        self._progress = progress
        self._clock = clock
        self._monotonic = monotonic
        self._wall = wall
        self._written: dict[str, tuple[PartitionLag, ...]] = {}

    def keep(self) -> None:
        """Write the figures, if there are new ones: with each statistics."""
        figures = self._progress.partitions()
        if figures == self._written:
            return
        self._written = figures
        told = NodeFigures(
            pid=os.getpid(),
            at_ms=round(self._monotonic() * 1000),
            partitions=tuple(
                self._row(group, each)
                for group, partitions in figures.items()
                for each in partitions
            ),
        )
        json_file.replace(self._path, told.as_json())

    def _row(self, group: str, told: PartitionLag) -> PartitionFigures:
        behind_since_s = told.lso_behind_since_s
        return PartitionFigures(
            topic=told.topic,
            partition=told.partition,
            kafka_group=group,
            lag=told.lag,
            oldest_ms=self._age_ms(told.oldest_at_ms),
            lso_behind_ms=age_ms([behind_since_s], now_s=self._clock()),
        )

    def _age_ms(self, timestamp_ms: int | None) -> int | None:
        """Return the age of a message; its writer's clock may be ahead."""
        if timestamp_ms is None:
            return None
        return max(0, round(self._wall().timestamp() * 1000) - timestamp_ms)
