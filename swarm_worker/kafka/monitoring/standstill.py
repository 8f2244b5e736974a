"""What stands still though nothing here holds it up: a group, or partitions of it.

Decisions only; the caller passes the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from swarm_worker.kafka.monitoring.statistics import Figures, PartitionFigures
from swarm_worker.processing.lane import Key

_STEADY: Final = "steady"

# States of a classic member that waits for a topic to exist.
_AWAITS_TOPIC: Final = frozenset({"init", "wait-metadata"})


class Steadiness:
    """Since when a group is not steady and gives no assignment either.

    A rebalance that makes progress changes the count of rebalances. Another state is
    no progress: a member whose join is refused goes from ``init`` to ``wait-join`` and
    back for ever. In the consumer protocol (KIP-848) ``init`` is also the state of a
    member that has joined and holds nothing, so it is no sign there.
    """

    def __init__(self, *, is_consumer_protocol: bool) -> None:
        """Start without knowledge."""
        self._normal = {_STEADY, "init"} if is_consumer_protocol else {_STEADY}
        self._count: int | None = None
        self._since_s: float | None = None

    def is_steady(self, figures: Figures) -> bool:
        """Whether the group is not in a rebalance."""
        return figures.join_state in self._normal

    def update(
        self, figures: Figures, *, lacks_topic: bool, is_refused: bool, now_s: float
    ) -> float | None:
        """Note statistics; return since when the group is frozen, None if it is not.

        Args:
            figures: The statistics.
            lacks_topic: A topic of the subscription does not exist: not our fault.
            is_refused: The group is closed to us, or no broker answers: the same.
            now_s: When they came.
        """
        state = figures.join_state
        excused = (
            is_refused
            or figures.brokers_up == 0
            or (lacks_topic and state in _AWAITS_TOPIC)
        )
        if state is None or self.is_steady(figures) or excused:
            self._count = self._since_s = None
            return None
        if figures.rebalance_count != self._count:
            self._count, self._since_s = figures.rebalance_count, now_s
        return self._since_s


@dataclass(frozen=True, slots=True)
class _Seen:
    """A partition at the last statistics.

    Attributes:
        offset: The next one to fetch; None where a commit is awaited.
        since_s: Since when that is so.
        is_away: Its leader is away.
        lacks_answer: Its leader tells nothing of it.
    """

    offset: int | None
    since_s: float
    is_away: bool = False
    lacks_answer: bool = False


class Stalls:
    """Partitions that do not move, though nothing here holds them up.

    They have data, or their leader answers nothing to a client that asks.

    Attributes:
        there: Topics that are known to exist: nothing is told of another one, and
            librdkafka may take minutes to know that it is gone. To be kept.
        refused: Partitions that an ACL keeps from the client. To be added to.
        unanswered: Those of which nothing is told, by since when that is seen.
        updated_at_s: When that was seen; None before the first statistics.
    """

    def __init__(self) -> None:
        """Start without knowledge."""
        self.there: set[str] = set()
        self.refused: set[Key] = set()
        self.unanswered: Mapping[Key, float] = {}
        self.updated_at_s: float | None = None
        self._seen: Mapping[Key, _Seen] = {}

    def update(
        self,
        figures: Figures,
        movable: Iterable[Key],
        *,
        uncommitted: Iterable[Key] = (),
        breaks: bool = False,
        now_s: float,
    ) -> Mapping[str, float]:
        """Note statistics; return since when each such partition stands still.

        One that is idle or at a transactional or compacted gap is none: its next offset
        to fetch is at the end. While its leader is away its clock stands, since no
        restart would help.

        Args:
            figures: The statistics.
            movable: Partitions that wait for nothing but messages: not paused, not in
                back-off, nothing at a handler.
            uncommitted: Those that wait for a commit, though Kafka seems to take them.
            breaks: Connections break over what comes, so a leader that seems to be
                away is there.
            now_s: When they came.
        """
        passed_s = now_s - (now_s if self.updated_at_s is None else self.updated_at_s)
        self.updated_at_s = now_s
        self.refused = {key for key in self.refused if not figures.tells_of(key)}
        before, self._seen = self._seen, {}
        for key in movable:
            partition = figures.partitions.get(key)
            if partition is None:
                continue
            lacks_answer = self._lacks_answer(key, partition)
            if not (partition.has_data or lacks_answer):
                continue
            is_away = not (partition.has_leader or (breaks and figures.brokers_up))
            since_s = _unmoved_since_s(before.get(key), partition, now_s=now_s)
            self._seen[key] = _Seen(
                offset=partition.fetched_offset,
                since_s=min(now_s, since_s + passed_s) if is_away else since_s,
                is_away=is_away,
                lacks_answer=lacks_answer,
            )
        for key in uncommitted:
            last = before.get(key)
            self._seen[key] = _Seen(None, last.since_s if last else now_s)
        self.unanswered = {
            key: seen.since_s
            for key, seen in self._seen.items()
            if seen.lacks_answer and not seen.is_away
        }
        return {
            f"{topic}/{partition}": seen.since_s
            for (topic, partition), seen in self._seen.items()
            if (topic, partition) in before
            and not seen.is_away
            and seen.since_s < now_s
        }

    def _lacks_answer(self, key: Key, partition: PartitionFigures) -> bool:
        is_readable = key[0] in self.there and key not in self.refused
        return partition.lacks_answer and is_readable


def _unmoved_since_s(
    last: _Seen | None, partition: PartitionFigures, *, now_s: float
) -> float:
    if last is None or last.offset != partition.fetched_offset:
        return now_s
    return last.since_s
