"""Offsets between lanes and Kafka: stored, and committed.

All of it on the thread that polls the client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from swarm_worker.kafka.errors import text_of
from swarm_worker.kafka.topic_ids import metadata_of
from swarm_worker.processing.commits import Commits
from swarm_worker.processing.lane import Key, Lane

logger = logging.getLogger(__name__)

# While a group rebalances, Kafka answers no request of a member that has asked to join
# before it answers that; a commit then is of a generation that is over, and one of the
# next is too early until the assignment is out. The partitions are ours all the while.
_BETWEEN_GENERATIONS: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)


def store(client: Consumer, commits: Commits, *, group: str) -> None:
    """Store the offsets of what was done; librdkafka commits them in time."""
    if not (moved := commits.take_unstored()):
        return
    try:
        client.store_offsets(offsets=[_next_of(lane) for lane in moved])
    except KafkaException as error:
        # The assignment is being taken away, and its callback has not come yet.
        logger.info(
            "offsets_not_stored group=%s partitions=%s reason=%r",
            group, ",".join(lane.name for lane in moved), text_of(error),
        )  # fmt: skip


def commit(
    client: Consumer,
    lanes: Iterable[Lane],
    *,
    group: str,
    wait: bool,
    retry_for_s: float = 0.0,
    follow: Callable[[], Iterable[Lane]] | None = None,
) -> Mapping[Key, int]:
    """Commit what is done of lanes, whatever was committed before.

    Return what Kafka has taken; nothing where it refused, or was not waited for.

    librdkafka's own commits never go back, neither in offset nor, before that, in the
    epoch of the leader. A topic that was created again, or an offset that was reset,
    begins below what is committed: left at that, a restart would skip what arrives
    meanwhile. `store` first: what is stored is committed by a close, and would undo
    this.

    While the group rebalances, it is tried again for ``retry_for_s``, with the lanes
    that are left after ``follow``, which takes part in the rebalance for a while.
    """
    give_up_at_s = time.monotonic() + retry_for_s
    while offsets := [_next_of(lane) for lane in lanes if lane.next_offset >= 0]:
        try:
            if wait:
                answer = client.commit(offsets=offsets, asynchronous=False)
                return taken_of(answer)
            client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            between = error.args[0].code() in _BETWEEN_GENERATIONS
            if follow is not None and between and time.monotonic() < give_up_at_s:
                lanes = follow()
                continue
            logger.warning("commit_failed group=%s reason=%r", group, text_of(error))
        break
    return {}


def taken_of(answer: Iterable[TopicPartition]) -> Mapping[Key, int]:
    """Return the offsets that the answer to a commit says are committed."""
    return {
        (at.topic, at.partition): at.offset
        for at in answer
        if at.error is None and at.offset >= 0
    }


def partitions_of(lanes: Iterable[Lane]) -> list[TopicPartition]:
    """Return what the client calls those lanes."""
    return [TopicPartition(lane.topic, lane.partition) for lane in lanes]


def _next_of(lane: Lane) -> TopicPartition:
    """Return where a lane's next owner begins, and in which log."""
    at = lane.topic, lane.partition, lane.next_offset
    metadata = metadata_of(lane.topic_id if lane.keeps_id else None)
    if lane.leader_epoch is None:  # of a message without one: an old broker's
        return TopicPartition(*at, metadata)
    return TopicPartition(*at, metadata, leader_epoch=lane.leader_epoch)
