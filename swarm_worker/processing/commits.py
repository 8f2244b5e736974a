"""What is done and not committed: what to store, what is late, what to commit.

This bounds what is repeated after a KILL: a lane gets no further batch while Kafka
takes no commits of its work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from swarm_worker.processing.lane import Lane

if TYPE_CHECKING:
    from swarm_worker.processing.lane_table import LaneTable

COMMIT_WITHIN_S: Final = 1.0  # what the guarantee promises


class Commits:
    """The commits of one consumer.

    Attributes:
        keeps_ids: Kafka takes the ids of topics with the offsets.
    """

    def __init__(self, table: LaneTable, *, within_s: float) -> None:
        """Begin with nothing done; work is late after ``within_s`` without a commit."""
        self.keeps_ids = True
        self._table = table
        self._within_s = within_s
        self._unstored: set[Lane] = set()  # their offset has moved since it was stored

    # --- for the thread that polls ----------------------------------------------------

    def take_unstored(self) -> list[Lane]:
        """Return the lanes whose ``next_offset`` has moved since the last call."""
        if not self._unstored:
            return []
        with self._table.lock:
            lanes = list(self._unstored)
            self._unstored.clear()
            return lanes

    def late(self, *, now_s: float) -> list[Lane]:
        """Return the lanes of which work is not committed in time.

        Whether there is more to do or not; those that wait for a commit are among them.
        """
        with self._table.lock:
            lanes = self._table.lanes.values()
            return [lane for lane in lanes if self.is_late(lane, now_s=now_s)]

    def uncommitted(self, *, now_s: float) -> list[Lane]:
        """Return the lanes that have work to commit."""
        with self._table.lock:
            lanes = self._table.lanes.values()
            return [lane for lane in lanes if lane.uncommitted.age_s(now_s) > 0]

    def rest(self) -> list[Lane]:
        """Move lanes that are done to their log's end; return what is to be committed.

        Where a handler has seen everything, the next owner is to begin where this one
        stands: at the end of a log of which nothing came, or behind the marks of
        transactions, which nobody is given. Else it would begin where the log no
        longer is, or where ``auto.offset.reset`` says then. Where a log has just begun
        anew, what is to be committed is its first offset. A lane of which it is not
        known which log it has is left alone.
        """
        with self._table.lock:
            lanes = self._table.lanes.values()
            known = [lane for lane in lanes if not lane.awaits_log]
            at_end = [lane for lane in known if lane.is_at_end]
            for lane in at_end:
                if lane.next_offset != lane.end_offset:
                    lane.rest()
                    self.moved(lane)
            begun = [lane for lane in known if lane.is_begun_anew]
            resting = [lane for lane in at_end if lane.kept_offset != lane.next_offset]
            return list(dict.fromkeys([*begun, *resting]))  # one may be both

    def keep_no_ids(self) -> None:
        """Commit offsets without the ids of topics: Kafka refuses what has them."""
        with self._table.lock:
            self.keeps_ids = False
            for lane in self._table.lanes.values():
                lane.keeps_id = False
                if lane.next_offset >= 0:
                    self.moved(lane)

    # --- with the lock held -----------------------------------------------------------

    def moved(self, lane: Lane) -> None:
        """Record that a lane's offset is to be stored."""
        self._unstored.add(lane)

    def forget(self, lane: Lane) -> None:
        """Store nothing of a lane: its offset is another's from now on."""
        self._unstored.discard(lane)

    def is_late(self, lane: Lane, *, now_s: float) -> bool:
        """Whether work of a lane is not committed in time."""
        return lane.uncommitted.age_s(now_s) > self._within_s
