"""What is done and not committed: what to store, what is late, what to commit.

What a KILL leaves to be done again is bounded here: a lane whose work Kafka does not
take the commits of gets no further batch. Pure; guarded by the lock of `Lanes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from swarm_worker.processing.lane import Lane

COMMIT_WITHIN_S: Final = 1.0  # what the guarantee promises


class Commits:
    """The commits of one consumer.

    Attributes:
        unstored: Lanes whose ``next_offset`` has moved since it was stored.
    """

    def __init__(self, *, within_s: float) -> None:
        """Begin with nothing done.

        Args:
            within_s: How long work may be done and not committed.
        """
        self.unstored: set[Lane] = set()
        self._within_s = within_s

    def moved(self, lane: Lane) -> None:
        """A lane's offset is to be stored."""
        self.unstored.add(lane)

    def forget(self, lane: Lane) -> None:
        """A lane's offset is another's from now on."""
        self.unstored.discard(lane)

    def take_unstored(self) -> list[Lane]:
        """Return the lanes whose offsets are to be stored, once."""
        lanes = list(self.unstored)
        self.unstored.clear()
        return lanes

    def is_late(self, lane: Lane, *, now_s: float) -> bool:
        """Whether work of a lane is not committed in time."""
        return lane.uncommitted.age_s(now_s) > self._within_s

    def late(self, lanes: Iterable[Lane], *, now_s: float) -> list[Lane]:
        """Return the lanes of which work is not committed in time."""
        return [lane for lane in lanes if self.is_late(lane, now_s=now_s)]

    def rest(self, lanes: Collection[Lane]) -> list[Lane]:
        """Move lanes that are done to their log's end; return what is to be committed.

        A lane of which it is not known which log it has is left alone.
        """
        known = [lane for lane in lanes if not lane.awaits_log]
        at_end = [lane for lane in known if lane.is_at_end]
        for lane in at_end:
            if lane.next_offset != lane.end_offset:
                lane.rest()
                self.moved(lane)
        begun = [lane for lane in known if lane.is_begun_anew]
        resting = [lane for lane in at_end if lane.kept_offset != lane.next_offset]
        return list(dict.fromkeys([*begun, *resting]))  # one may be both
