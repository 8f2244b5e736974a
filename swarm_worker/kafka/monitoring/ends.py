"""Where logs end: as fetches tell, or as the leaders say when they are asked.

librdkafka learns of a log's end by the answer to a fetch. A partition that is paused is
not fetched, so there the end stands still, however much is produced. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf
from typing import Final, Protocol

from swarm_worker.kafka.monitoring.lags import End, Held
from swarm_worker.kafka.monitoring.statistics import Figures
from swarm_worker.processing.lane import Key

# A leader that does not answer is asked again after this time, then twice of it.
ASK_AGAIN_S: Final = 5.0
ASK_AGAIN_MAX_S: Final = 30.0


class EndAsker(Protocol):
    """Asks the leaders; neither call blocks."""

    def ask_ends(self, partitions: Collection[Key]) -> None:
        """Ask for the ends of partitions; the answer comes, whatever happens."""

    def ends(self) -> Mapping[Key, int] | None:
        """Return the next answer, with the ends that were told; None without one."""


class Ends:
    """The ends of the partitions that are held, and whose are to be asked for.

    Attributes:
        known: As they were told last.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self.known: dict[Key, End] = {}
        self._fetched: Collection[Key] = ()  # at the last statistics
        self._asked: Collection[Key] = ()
        self._asked_at_s = -inf
        # What did not answer: how long to leave it alone, and until when.
        self._silent: dict[Key, tuple[float, float]] = {}

    def update(
        self, figures: Figures, held: Mapping[Key, Held], *, now_s: float
    ) -> Collection[Key]:
        """Note statistics; return whose ends are to be asked for, in one call.

        These are the partitions that are not fetched, and those that were not before:
        what statistics say of them may be from then. So may what they say of those
        whose leader is not connected. Without its leader nobody is asked for a
        partition; while an answer is awaited, nobody at all.
        """
        self.known = {key: end for key, end in self.known.items() if key in held}
        self._silent = {key: it for key, it in self._silent.items() if key in held}
        wanted = []
        for key, each in held.items():
            partition = figures.partitions.get(key)
            if partition is None or not (
                partition.has_leader or partition.has_idle_leader
            ):
                self._silent.pop(key, None)  # once it is back it is asked at once
                continue
            offset = partition.log_end_offset
            is_told = each.is_fetched and key in self._fetched and partition.has_leader
            if is_told and offset is not None:
                self.known[key] = End(offset, now_s)
            elif self._silent.get(key, (0.0, -inf))[1] <= now_s:
                wanted.append(key)
        self._fetched = {key for key, each in held.items() if each.is_fetched}
        if self._asked or not wanted:
            return ()
        self._asked, self._asked_at_s = wanted, now_s
        return wanted

    def take(self, told: Mapping[Key, int], *, now_s: float) -> None:
        """Note an answer. It is as of the question: it may have come late."""
        for key in self._asked:
            if key in told:
                self._silent.pop(key, None)
                last = self.known.get(key)
                if last is None or last.at_s < self._asked_at_s:
                    self.known[key] = End(told[key], self._asked_at_s)
            else:
                delay_s, _ = self._silent.get(key, (ASK_AGAIN_S / 2, 0.0))
                delay_s = min(2 * delay_s, ASK_AGAIN_MAX_S)
                self._silent[key] = delay_s, now_s + delay_s
        self._asked = ()
