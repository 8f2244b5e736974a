"""What librdkafka's statistics say: offsets, brokers, the state of the group.

Source: librdkafka's STATISTICS.md. Decisions only; the caller passes the time.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from swarm_worker.processing.lane import Key

# Of those that stand for another one, such as the group's coordinator.
_NO_ADDRESS: Final = frozenset({"logical", "internal"})

# A broker that stands still keeps its connections: it has owed an answer for so long,
# and sent nothing meanwhile. Fetches are answered within fetch.wait.max.ms (0.5 s).
OWED_S: Final = 3.0

# States of a partition whose leader is asked for offsets or messages, again and again.
_ASKING: Final = frozenset(
    {"offset-query", "offset-wait", "validate-epoch-wait", "active"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFigures:
    """One partition, as the client sees it; None where it does not know.

    Attributes:
        fetched_offset: Next offset to fetch: beyond control messages and gaps too.
        end_offset: What a consumer can read up to; the last stable offset, unless
            uncommitted transactions are read.
        log_end_offset: The offset after the last message, whoever may read that.
        committed_offset: Last committed.
        is_queued: Fetched messages wait in the client's queue.
        is_asked_for: It is there, and the client asks its leader for it.
        has_leader: Its leader is known and connected, and answers.
        has_idle_leader: Its leader is known, and not connected, since nothing is wanted
            of it: what it leads is paused, and it was restarted, or has closed what was
            idle. Whether it is there shows when it is asked.
    """

    fetched_offset: int | None
    end_offset: int | None
    log_end_offset: int | None
    committed_offset: int | None
    is_queued: bool
    is_asked_for: bool
    has_leader: bool
    has_idle_leader: bool

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
        """Its leader was asked for it, and refused with its last answer.

        librdkafka forgets a partition's end with such an answer. Each other one has it,
        be there messages or not.
        """
        return self.is_asked_for and self.end_offset is None

    @property
    def is_stable_offset_behind(self) -> bool:
        """A transaction is open: messages stand behind what can be read."""
        end, log_end = self.end_offset, self.log_end_offset
        return end is not None and log_end is not None and end < log_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One emission of statistics.

    Attributes:
        brokers_up: Brokers with a live connection.
        addresses: Brokers that the client knows of, connected or not.
        owes_answer: A connected broker has owed an answer for long.
        heard_ago_s: How long ago one of them said something; None without.
        throttled_ms: For how long one held an answer back for a quota, the longest of
            the interval; 0 for not at all.
        has_coordinator: The group's coordinator answers.
        join_state: The member's state in its group; None without a group.
        rebalance_count: Assignments and revocations so far.
        partitions: By topic and partition.
    """

    brokers_up: int
    addresses: int
    owes_answer: bool
    heard_ago_s: float | None
    throttled_ms: int
    has_coordinator: bool
    join_state: str | None
    rebalance_count: int
    partitions: Mapping[Key, PartitionFigures]

    def tells_of(self, key: Key) -> bool:
        """Whether the leader of a partition has answered when it was asked last."""
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
    brokers = told.get("brokers", {}).values()
    connected = [broker for broker in brokers if broker["state"] == "UP"]
    real = [broker for broker in connected if broker.get("source") != "logical"]
    up = {_name(broker) for broker in real}
    idle = {
        broker["nodeid"]
        for broker in brokers
        if broker["state"] == "INIT" and broker.get("source") not in _NO_ADDRESS
    }
    answering = up - {_name(broker) for broker in real if _owes_answer(broker)}
    group = told.get("cgrp", {})
    return Figures(
        brokers_up=len(up),
        addresses=sum(broker.get("source") not in _NO_ADDRESS for broker in brokers),
        owes_answer=any(map(_owes_answer, connected)),
        heard_ago_s=_heard_ago_s(connected),
        throttled_ms=max(map(_throttled_ms, brokers), default=0),
        has_coordinator=group.get("state") == "up",
        join_state=group.get("join_state"),
        rebalance_count=group.get("rebalance_cnt", 0),
        partitions={
            (topic["topic"], partition["partition"]): _partition(
                partition,
                answering,
                idle - up if answering else (),
                "hi_offset" if reads_uncommitted else "ls_offset",
            )
            for topic in told.get("topics", {}).values()
            for partition in topic["partitions"].values()
            if partition["partition"] >= 0
        },
    )


def _name(broker: Mapping[str, Any]) -> object:
    return broker["nodeid"] if broker["nodeid"] >= 0 else broker["name"]


def _owes_answer(broker: Mapping[str, Any]) -> bool:
    owed: int = broker.get("waitresp_cnt", 0)
    idle_us: float = min(broker.get("rxidle", -1), broker.get("txidle", -1))
    return owed > 0 and idle_us > OWED_S * 1e6


def _heard_ago_s(connected: Iterable[Mapping[str, Any]]) -> float | None:
    """Librdkafka counts microseconds, -1 before the first byte of a connection."""
    idle_us = [broker.get("rxidle", -1) for broker in connected]
    return min((each / 1e6 for each in idle_us if each >= 0), default=None)


def _throttled_ms(broker: Mapping[str, Any]) -> int:
    longest: int = broker.get("throttle", {}).get("max", 0)
    return longest


def _partition(
    told: Mapping[str, Any],
    up: Collection[object],
    idle: Collection[object],
    end: str,
) -> PartitionFigures:
    return PartitionFigures(
        fetched_offset=_offset(told.get("next_offset")),
        end_offset=_offset(told.get(end)),
        log_end_offset=_offset(told.get("hi_offset")),
        committed_offset=_offset(told.get("committed_offset")),
        is_queued=told.get("fetchq_cnt", 0) > 0,
        is_asked_for=told.get("fetch_state") in _ASKING and not told.get("unknown"),
        has_leader=told.get("leader") in up,
        has_idle_leader=told.get("leader") in idle,
    )


def _offset(value: int | None) -> int | None:
    """Librdkafka's negative offsets are names of unknown ones."""
    return value if value is not None and value >= 0 else None
