"""Which lanes there are: one for each partition that is assigned.

A partition that is assigned anew gets a new lane. Pure; guarded by the lock of `Lanes`.
"""

from __future__ import annotations

from swarm_worker.processing.lane import Key, Lane


class LaneTable:
    """The lanes of one consumer.

    Attributes:
        lanes: Them, by partition; to be changed by `open` and `close` alone.
    """

    def __init__(self) -> None:
        """Begin without lanes."""
        self.lanes: dict[Key, Lane] = {}
        self._keeps_ids = True

    def open(self, lane: Lane) -> None:
        """Take in the lane of a partition that has none."""
        lane.keeps_id = self._keeps_ids
        self.lanes[lane.key] = lane

    def close(self, key: Key) -> Lane | None:
        """Take out, and return, the lane of a partition, if there is one."""
        lane = self.lanes.pop(key, None)
        if lane is not None:
            lane.closed = True
        return lane

    def keep_no_ids(self) -> None:
        """Have offsets committed without the ids of topics, from now on."""
        self._keeps_ids = False
        for lane in self.lanes.values():
            lane.keeps_id = False
