"""Which lanes there are, one for each partition that is assigned, and their lock.

One lock guards all of them: a batch that is taken or ends touches turns, commits and
back-pressure at once. What is read without it, so that a poll that has nothing to do
costs nothing, is one look at a container or a number, and is looked at again with the
lock held.
"""

from __future__ import annotations

import threading

from swarm_worker.processing.lane import Key, Lane


class LaneTable:
    """The lanes of one consumer.

    Attributes:
        lock: Guards the lanes and the parts of `Lanes`. Not reentrant.
        lanes: By partition; to be changed by `open` and `close` alone.
        is_held: While it is set, no batch is handed out, and all lanes are to be
            paused. Plain, so that it can be set from a signal handler; after clearing
            it call `Turns.offer_all`.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lanes: dict[Key, Lane] = {}
        self.is_held = False

    def get(self, topic: str, partition: int) -> Lane | None:
        """Return the lane of a partition, if it is assigned."""
        return self.lanes.get((topic, partition))

    def all(self) -> list[Lane]:
        """Return the lanes of all assigned partitions."""
        with self.lock:
            return list(self.lanes.values())

    # --- with the lock held -----------------------------------------------------------

    def open(self, lane: Lane) -> None:
        """Add the lane of a partition that has none."""
        self.lanes[lane.key] = lane

    def close(self, key: Key) -> Lane | None:
        """Remove, and return, the lane of a partition, if there is one."""
        lane = self.lanes.pop(key, None)
        if lane is not None:
            lane.closed = True
        return lane
