"""What comes with one poll: by partition, and how much to ask for (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from confluent_kafka import KafkaError, Message

from swarm_worker.processing.lane import Key

# Most messages and bytes of one drain. One hand-over to a handler thread costs some
# microseconds: the more messages it carries, the better.
DRAIN_MESSAGES: Final = 4_000
DRAIN_BYTES: Final = 8 * 2**20


def by_partition(
    messages: list[Message], *, has_one_topic: bool
) -> Iterable[tuple[Key, list[Message]]]:
    """Group a drain; 30 ns a message, or 60 where there are several topics.

    It has a message at least and no errors; those of a partition are in order.
    """
    grouped: dict[Key, list[Message]] = {}
    by_topic: Iterable[tuple[str | None, Iterable[Message]]]
    if has_one_topic:
        by_topic = [(messages[0].topic(), messages)]
    else:
        by_topic = groupby(messages, Message.topic)
    for topic, of_topic in by_topic:
        for partition, run in groupby(of_topic, Message.partition):
            key = topic or "", -1 if partition is None else partition
            grouped.setdefault(key, []).extend(run)
    return grouped.items()


def split(messages: list[Message]) -> tuple[list[Message], dict[Key, int]]:
    """Return the messages of a drain without its errors, and the ends of logs in it.

    Of an end all that was before it has been given, by this drain or former ones. One
    that more of its partition has followed is none any more.
    """
    good: list[Message] = []
    ends: dict[Key, int] = {}
    for message in messages:
        key = message.topic() or "", message.partition() or 0
        error = message.error()
        if error is None:
            good.append(message)
            ends.pop(key, None)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its own code
            ends[key] = message.offset() or 0
    return good, ends


def next_drain(messages: list[Message]) -> int:
    """Return the most messages of the next drain, as large as the last of this one."""
    size_bytes = max(1, len(messages[-1]))
    return max(1, min(DRAIN_MESSAGES, DRAIN_BYTES // size_bytes))
