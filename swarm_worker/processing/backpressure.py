"""Back-pressure between poll and handler: how much waits, and which lanes pause.

A lane that is paused gets no more messages; what it has does not count, so that one
slow partition leaves the capacity to the others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from swarm_worker.processing.lane import Lane

if TYPE_CHECKING:
    from swarm_worker.processing.lane_table import LaneTable

# What one consumer holds in Python, beside librdkafka's own queue: two or three drains,
# since the poll thread waits up to 5 ms for the GIL whenever handlers are at work.
CAPACITY_MESSAGES: Final = 12_000
CAPACITY_BYTES: Final = 64 * 2**20  # Source: librdkafka's queued.max.messages.kbytes
LANE_MESSAGES: Final = 4_000
LANE_BYTES_LEAST: Final = 2**20


class BackPressure:
    """What the lanes of one consumer hold, and which of them get no more."""

    def __init__(self, table: LaneTable) -> None:
        self._table = table
        self._messages = 0  # of lanes that are not paused
        self._bytes = 0
        self._over_limit: set[Lane] = set()  # more than their share, and not paused
        self._paused: set[Lane] = set()
        # Notified once there is room, not with each batch: a thread that wakes up takes
        # the GIL away from a handler.
        self._has_room = threading.Condition(table.lock)
        self._is_awaited = False  # the one thread that polls waits

    # --- for the thread that polls ----------------------------------------------------

    def wait_for_room(self, *, within_s: float) -> bool:
        """Wait while too much waits here; whether there is room.

        Returns at once when there is. Blocks for at most ``within_s`` seconds.
        """
        if not self._is_full():
            return True
        with self._has_room:
            self._is_awaited = True
            has_room = self._has_room.wait_for(lambda: not self._is_full(2), within_s)
            self._is_awaited = False
            return has_room

    def to_pause(self, *, now_s: float, make_room: bool = False) -> list[Lane]:
        """Return the lanes to pause now: call `pause` with those that are.

        These are lanes with more than their share whose batch is a slow one; all
        while handing out is held; with ``make_room`` as many of the largest as it
        takes.
        """
        if self._table.is_held:
            return [lane for lane in self._table.all() if not lane.paused]
        if not self._over_limit and not make_room:
            return []
        with self._table.lock:
            slow = {lane for lane in self._over_limit if lane.is_slow(now_s)}
            return list(slow | self._largest() if make_room else slow)

    def pause(self, lanes: Iterable[Lane]) -> None:
        """Record that lanes get no more messages from now on."""
        with self._table.lock:
            for lane in lanes:
                if not (lane.closed or lane.paused):
                    self._pause(lane)

    def to_resume(self) -> list[Lane]:
        """Return the paused lanes that have room again: call `resume` with them."""
        if not self._paused or self._table.is_held or self._is_full():
            return []
        with self._table.lock:
            return [lane for lane in self._paused if lane.backlog <= lane.resume_below]

    def resume(self, lanes: Iterable[Lane]) -> None:
        """Record that lanes get messages again."""
        with self._table.lock:
            for lane in lanes:
                if lane.paused and not lane.closed:
                    lane.paused = False
                    self._paused.discard(lane)
                    self._messages += lane.backlog
                    self._bytes += lane.backlog_bytes

    # --- with the lock held -----------------------------------------------------------

    def take(self, lane: Lane, messages: int) -> None:
        """Count messages off that have left a lane, and their share of its bytes."""
        self.add(lane, -messages, -(lane.backlog_bytes * messages // lane.backlog))

    def clear(self, lane: Lane) -> None:
        """Count all messages of a lane off."""
        self.add(lane, -lane.backlog, -lane.backlog_bytes)

    def forget(self, lane: Lane) -> None:
        """Forget a lane that was cleared and is closed."""
        self._paused.discard(lane)

    def add(self, lane: Lane, messages: int, size_bytes: int) -> None:
        """Count messages that have come to a lane or, below zero, have left it."""
        lane.backlog += messages
        lane.backlog_bytes += size_bytes
        if lane.paused:
            return
        self._messages += messages
        self._bytes += size_bytes
        if self._is_over_limit(lane):
            self._over_limit.add(lane)
        else:
            self._over_limit.discard(lane)
        if self._is_awaited and not self._is_full(2):
            self._has_room.notify_all()

    def _is_over_limit(self, lane: Lane) -> bool:
        share_bytes = CAPACITY_BYTES // max(1, len(self._table.lanes))
        limit_bytes = max(LANE_BYTES_LEAST, share_bytes)
        return lane.backlog > LANE_MESSAGES or lane.backlog_bytes > limit_bytes

    def _is_full(self, fraction: int = 1) -> bool:
        """Whether the capacity, or that fraction of it, is used up."""
        return (
            self._messages >= CAPACITY_MESSAGES // fraction
            or self._bytes >= CAPACITY_BYTES // fraction
        )

    def _largest(self) -> set[Lane]:
        """Return the lanes that make up the upper half of the capacity."""
        messages, size_bytes = self._messages, self._bytes
        largest = set()
        lanes = self._table.lanes.values()
        for lane in sorted(lanes, key=lambda lane: -lane.backlog_bytes):
            if messages < CAPACITY_MESSAGES // 2 and size_bytes < CAPACITY_BYTES // 2:
                break
            if not lane.paused:
                largest.add(lane)
                messages -= lane.backlog
                size_bytes -= lane.backlog_bytes
        return largest

    def _pause(self, lane: Lane) -> None:
        self._messages -= lane.backlog
        self._bytes -= lane.backlog_bytes
        lane.paused = True
        # Resumed in time for the fetch, but not over and over. One that fails alone may
        # wait for the next.
        least = 0 if self._is_over_limit(lane) else 1
        lane.resume_below = max(least, min(lane.backlog // 2, LANE_MESSAGES // 4))
        self._over_limit.discard(lane)
        self._paused.add(lane)
