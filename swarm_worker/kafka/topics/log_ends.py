"""Asks the leaders of partitions where their logs end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import IsolationLevel, TopicPartition

from swarm_worker.processing.lane import Key

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

# Long enough for a connection to a broker that is far away: nobody waits for it.
ANSWER_S: Final = 1.0


def ask_ends(
    admin: AdminClient,
    partitions: Collection[Key],
    tell: Callable[[Mapping[Key, int]], object],
) -> None:
    """Ask where logs end: for the offset after the last message of each.

    Messages of open transactions included, whatever a consumer may read. Each leader is
    asked once, for all of its partitions; no coordinator is. Does not block.

    Args:
        admin: The client that asks.
        partitions: Whose logs; at least one.
        tell: Called once, with the ends that were told, when each leader has answered
            or `ANSWER_S` are over; on a thread of the client's.

    Raises:
        KafkaException: The client cannot ask; ``tell`` is not called.
    """
    # Late, as the client is.
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined] # noqa: PLC0415

    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # has no hints
    asked = admin.list_offsets(
        {TopicPartition(*key): latest for key in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=ANSWER_S,
    )
    answered = itertools.count(1)

    def note_answer(_: object) -> None:
        if next(answered) == len(asked):
            tell(_told(asked))

    for future in asked.values():
        future.add_done_callback(note_answer)


def _told(asked: Mapping[TopicPartition, Future[Any]]) -> Mapping[Key, int]:
    offsets = {
        (at.topic, at.partition): future.result().offset
        for at, future in asked.items()
        if future.exception() is None
    }
    # What has timed out has no error, and -1001 (tried).
    return {key: offset for key, offset in offsets.items() if offset >= 0}
