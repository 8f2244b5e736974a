"""What librdkafka's statistics tell: lag, brokers, what is frozen, what stands still.

Source: librdkafka's STATISTICS.md. Decisions only; who calls says what time it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Key = tuple[str, int]  # topic, partition

_STEADY: Final = "steady"

# Of those that stand for another one, such as the group's coordinator.
_NO_ADDRESS: Final = frozenset({"logical", "internal"})

# A broker that stands still keeps its connections: it owes an answer for so long, and
# has said nothing meanwhile. Fetches are answered within fetch.wait.max.ms (0.5 s).
MUTE_S: Final = 3.0

# States of a partition whose leader is asked for offsets or messages, again and again.
_ASKING: Final = frozenset(
    {"offset-query", "offset-wait", "validate-epoch-wait", "active"}
)

# States of a classic member that waits for a topic to exist.
_AWAITS_TOPIC: Final = frozenset({"init", "wait-metadata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFigures:
    """One partition, as the client sees it; None where it does not know.

    Attributes:
        fetched_offset: Next offset to fetch: beyond control messages and gaps too.
        end_offset: What a consumer can read up to; the last stable offset, unless
            uncommitted transactions are read.
        committed_offset: Last committed.
        is_queued: Fetched messages wait in the client's queue.
        is_asked_for: It is there, and the client asks its leader for it.
        has_leader: Its leader is known and connected, and answers.
    """

    fetched_offset: int | None
    end_offset: int | None
    committed_offset: int | None
    is_queued: bool
    is_asked_for: bool
    has_leader: bool

    @property
    def has_data(self) -> bool:
        """There is something to read that was not handed out yet."""
        position = self.fetched_offset
        if position is None:
            position = self.committed_offset
        known = position is not None and self.end_offset is not None
        return self.is_queued or (known and self.end_offset > position)  # type: ignore[operator]  # known

    @property
    def lacks_answer(self) -> bool:
        """It is asked for, and the last answer was a refusal.

        librdkafka forgets a partition's end with such an answer. Each other one tells
        it, be there messages or not.
        """
        return self.is_asked_for and self.end_offset is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One emission of statistics.

    Attributes:
        brokers_up: Brokers with a live connection.
        addresses: Brokers that the client knows of, connected or not.
        is_mute: One that is connected owes an answer for long.
        heard_ago_s: How long ago one of them said something; None without.
        has_coordinator: The group's coordinator answers.
        join_state: The member's state in its group; None without a group.
        rebalance_count: Assignments and revocations so far.
        partitions: By topic and partition.
    """

    brokers_up: int
    addresses: int
    is_mute: bool
    heard_ago_s: float | None
    has_coordinator: bool
    join_state: str | None
    rebalance_count: int
    partitions: Mapping[Key, PartitionFigures]

    def tells_of(self, key: Key) -> bool:
        """Whether the leader of a partition has told of it when it was asked last."""
        partition = self.partitions.get(key)
        return partition is not None and partition.end_offset is not None


def read(text: str, *, reads_uncommitted: bool = False) -> Figures:
    """Read what a ``stats_cb`` gets.

    Args:
        text: The JSON.
        reads_uncommitted: ``isolation.level`` is not the default.

    Raises:
        ValueError: It is no JSON.
    """
    told = json.loads(text)
    connected = [b for b in told.get("brokers", {}).values() if b["state"] == "UP"]
    real = [broker for broker in connected if broker.get("source") != "logical"]
    up = {_name(broker) for broker in real}
    answering = up - {_name(broker) for broker in real if _is_mute(broker)}
    group = told.get("cgrp", {})
    return Figures(
        brokers_up=len(up),
        addresses=sum(
            broker.get("source") not in _NO_ADDRESS
            for broker in told.get("brokers", {}).values()
        ),
        is_mute=any(map(_is_mute, connected)),
        heard_ago_s=_heard_ago_s(connected),
        has_coordinator=group.get("state") == "up",
        join_state=group.get("join_state"),
        rebalance_count=group.get("rebalance_cnt", 0),
        partitions={
            (topic["topic"], partition["partition"]): _partition(
                partition, answering, "hi_offset" if reads_uncommitted else "ls_offset"
            )
            for topic in told.get("topics", {}).values()
            for partition in topic["partitions"].values()
            if partition["partition"] >= 0
        },
    )


def _name(broker: Mapping[str, Any]) -> object:
    return broker["nodeid"] if broker["nodeid"] >= 0 else broker["name"]


def _is_mute(broker: Mapping[str, Any]) -> bool:
    owed: int = broker.get("waitresp_cnt", 0)
    idle_us: float = min(broker.get("rxidle", -1), broker.get("txidle", -1))
    return owed > 0 and idle_us > MUTE_S * 1e6


def _heard_ago_s(connected: Iterable[Mapping[str, Any]]) -> float | None:
    """Librdkafka counts microseconds, -1 before the first byte of a connection."""
    idle_us = [broker.get("rxidle", -1) for broker in connected]
    return min((each / 1e6 for each in idle_us if each >= 0), default=None)


def _partition(
    told: Mapping[str, Any], up: Collection[object], end: str
) -> PartitionFigures:
    return PartitionFigures(
        fetched_offset=_offset(told.get("next_offset")),
        end_offset=_offset(told.get(end)),
        committed_offset=_offset(told.get("committed_offset")),
        is_queued=told.get("fetchq_cnt", 0) > 0,
        is_asked_for=told.get("fetch_state") in _ASKING and not told.get("unknown"),
        has_leader=told.get("leader") in up,
    )


def _offset(value: int | None) -> int | None:
    """Librdkafka's negative offsets are names of unknown ones."""
    return value if value is not None and value >= 0 else None


def lag(
    figures: Figures, done: Mapping[Key, int], *, idle: Collection[Key]
) -> int | None:
    """Give the messages behind the ends of partitions; None when nothing is known.

    Args:
        figures: The statistics.
        done: For each partition held, the offset up to which all is done; negative
            when nothing was done since it was assigned.
        idle: Partitions of which nothing is on the way to or at a handler.
    """
    behind = [
        count
        for key, offset in done.items()
        if (partition := figures.partitions.get(key)) is not None
        and (count := _behind(partition, offset, is_idle=key in idle)) is not None
    ]
    return sum(behind) if behind else None


def _behind(
    partition: PartitionFigures, done_offset: int, *, is_idle: bool
) -> int | None:
    if partition.end_offset is None:
        return None
    position = partition.fetched_offset
    # A caught-up partition may end with offsets that no message has.
    if not is_idle or partition.has_data or position is None:
        position = done_offset if done_offset >= 0 else partition.committed_offset
    return None if position is None else max(0, partition.end_offset - position)


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
        """Tell whether the group is not in a rebalance."""
        return figures.join_state in self._normal

    def update(
        self, figures: Figures, *, lacks_topic: bool, is_refused: bool, now_s: float
    ) -> float | None:
        """Take in statistics; give since when the group is frozen, None if it is not.

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


class Stalls:
    """Partitions that do not move, though nothing here holds them up.

    They have data, or their leader tells nothing of them to a client that asks.

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
        self._seen: dict[Key, tuple[int | None, float]] = {}

    def update(
        self,
        figures: Figures,
        movable: Iterable[Key],
        *,
        owing: Iterable[Key] = (),
        breaks: bool = False,
        now_s: float,
    ) -> Mapping[str, float]:
        """Take in statistics; give since when each such partition stands still.

        One that is idle or at a transactional or compacted gap is none: its next offset
        to fetch is at the end. While its leader is away its clock stands, since no
        restart would help.

        Args:
            figures: The statistics.
            movable: Partitions that wait for nothing but messages: not paused, not in
                back-off, nothing at a handler.
            owing: Those that wait for a commit, though Kafka seems to take them.
            breaks: Connections break over what comes, so a leader that seems to be
                away is there.
            now_s: When they came.
        """
        passed_s = now_s - (now_s if self.updated_at_s is None else self.updated_at_s)
        self.updated_at_s = now_s
        self.refused = {key for key in self.refused if not figures.tells_of(key)}
        seen: dict[Key, tuple[int | None, float]] = {}
        away: set[Key] = set()
        unanswered: set[Key] = set()
        for key in movable:
            partition = figures.partitions.get(key)
            if partition is None:
                continue
            if self._lacks_answer(key, partition):
                unanswered.add(key)
            elif not partition.has_data:
                continue
            offset, since_s = self._seen.get(key, (None, now_s))
            moved = key not in self._seen or offset != partition.fetched_offset
            if not (partition.has_leader or (breaks and figures.brokers_up)):
                away.add(key)
                since_s += passed_s
            seen[key] = (partition.fetched_offset, now_s if moved else since_s)
        for key in owing:
            _, since_s = self._seen.get(key, (None, now_s))
            seen[key] = (None, since_s)
        stalled = {
            f"{topic}/{partition}": since_s
            for (topic, partition), (_, since_s) in seen.items()
            if (topic, partition) in self._seen
            and (topic, partition) not in away
            and since_s < now_s
        }
        self._seen = seen
        self.unanswered = {key: seen[key][1] for key in unanswered - away}
        return stalled

    def _lacks_answer(self, key: Key, partition: PartitionFigures) -> bool:
        is_readable = key[0] in self.there and key not in self.refused
        return partition.lacks_answer and is_readable
