"""Asks the leaders of partitions where their logs end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition

from swarm_worker.processing.lane import Key

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

# Long enough for a connection to a broker that is far away. Nobody waits for it but the
# thread that asks, and with it a question about topics.
ANSWER_S: Final = 1.0


def ends_of(admin: AdminClient, partitions: Collection[Key]) -> Mapping[Key, int]:
    """Return the offset after the last message of each log whose leader tells it.

    Messages of open transactions included, whatever a consumer may read. Each leader is
    asked once, for all of its partitions; no coordinator is. Blocks for `ANSWER_S`.

    Raises:
        KafkaException: The client cannot ask.
    """
    # Late, as the client is.
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined] # noqa: PLC0415

    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call] # has no hints
    asked = admin.list_offsets(
        {TopicPartition(*key): latest for key in partitions},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=ANSWER_S,
    )
    ends = {}
    for at, future in asked.items():
        with suppress(KafkaException, TimeoutError):
            offset = future.result(2 * ANSWER_S).offset
            # What has timed out has no error, and -1001 (tried).
            if offset >= 0:
                ends[at.topic, at.partition] = offset
    return ends
