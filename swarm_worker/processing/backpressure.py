"""Back-pressure between poll and handler: how much waits, and which lanes pause.

A lane that is paused gets no more messages; what it has does not count, so that one
slow partition leaves the capacity to the others. Pure; guarded by the lock of `Lanes`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from swarm_worker.processing.lane import Lane

# What one consumer holds in Python, beside librdkafka's own queue: two or three drains,
# since the poll thread waits up to 5 ms for the GIL whenever handlers are at work.
CAPACITY_MESSAGES: Final = 12_000
CAPACITY_BYTES: Final = 64 * 2**20  # Source: librdkafka's queued.max.messages.kbytes
LANE_MESSAGES: Final = 4_000
LANE_BYTES_LEAST: Final = 2**20


class BackPressure:
    """What the lanes of one consumer hold.

    Attributes:
        over_limit: Lanes that have more than their share and are not paused.
        paused: Lanes that get no more messages.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self.over_limit: set[Lane] = set()
        self.paused: set[Lane] = set()
        self._messages = 0  # of lanes that are not paused
        self._bytes = 0

    def count(
        self, lane: Lane, messages: int, size_bytes: int, *, lane_count: int
    ) -> None:
        """Count what has come to a lane or, below zero, has left it."""
        lane.backlog += messages
        lane.backlog_bytes += size_bytes
        if lane.paused:
            return
        self._messages += messages
        self._bytes += size_bytes
        if _is_over_limit(lane, lane_count):
            self.over_limit.add(lane)
        else:
            self.over_limit.discard(lane)

    def forget(self, lane: Lane) -> None:
        """Forget a lane that is closed and whose backlog was counted off."""
        self.paused.discard(lane)

    def is_full(self, fraction: int = 1) -> bool:
        """Whether the capacity, or that fraction of it, is used up."""
        return (
            self._messages >= CAPACITY_MESSAGES // fraction
            or self._bytes >= CAPACITY_BYTES // fraction
        )

    def to_pause(
        self, lanes: Iterable[Lane], *, now_s: float, make_room: bool
    ) -> list[Lane]:
        """Return the lanes to pause: those with more than their share that are slow.

        Args:
            lanes: All there are.
            now_s: The time.
            make_room: As many of the largest, too, as it takes.
        """
        slow = {lane for lane in self.over_limit if lane.is_slow(now_s)}
        return list(slow | self._largest(lanes) if make_room else slow)

    def _largest(self, lanes: Iterable[Lane]) -> set[Lane]:
        """Return the lanes that make up the upper half of the capacity."""
        messages, size_bytes = self._messages, self._bytes
        largest = set()
        for lane in sorted(lanes, key=lambda lane: -lane.backlog_bytes):
            if messages < CAPACITY_MESSAGES // 2 and size_bytes < CAPACITY_BYTES // 2:
                break
            if not lane.paused:
                largest.add(lane)
                messages -= lane.backlog
                size_bytes -= lane.backlog_bytes
        return largest

    def pause(self, lane: Lane) -> None:
        """Record that a lane gets no more messages from now on."""
        if lane.closed or lane.paused:
            return
        self._messages -= lane.backlog
        self._bytes -= lane.backlog_bytes
        lane.paused = True
        # Resumed in time for the fetch, but not over and over.
        lane.resume_below = min(lane.backlog // 2, LANE_MESSAGES // 4)
        self.over_limit.discard(lane)
        self.paused.add(lane)

    def to_resume(self) -> list[Lane]:
        """Return the paused lanes that have room again."""
        return [lane for lane in self.paused if lane.backlog <= lane.resume_below]

    def resume(self, lane: Lane) -> None:
        """Record that a lane gets messages again."""
        if lane.paused and not lane.closed:
            lane.paused = False
            self.paused.discard(lane)
            self._messages += lane.backlog
            self._bytes += lane.backlog_bytes


def _is_over_limit(lane: Lane, lane_count: int) -> bool:
    share_bytes = CAPACITY_BYTES // max(1, lane_count)
    return lane.backlog > LANE_MESSAGES or lane.backlog_bytes > max(
        LANE_BYTES_LEAST, share_bytes
    )
