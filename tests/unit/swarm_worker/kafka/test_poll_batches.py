"""What a drain gives, by partition."""

from collections.abc import Sequence

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.kafka.poll_batches import (
    DRAIN_BYTES,
    DRAIN_MESSAGES,
    by_partition,
    next_drain,
    split,
)

Place = tuple[str, int]


def drain(places: Sequence[Place]) -> list[Message]:
    """Make messages of these places; the offset is the index."""
    return [
        Message(topic=topic, partition=partition, offset=offset, value=b"x")
        for offset, (topic, partition) in enumerate(places)
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), min_size=1))
def test_nothing_is_lost_and_order_is_kept(places: list[Place]) -> None:
    """Each message comes once, under its own partition, in the order it came."""
    grouped = list(by_partition(drain(places), has_one_topic=False))
    assert len({key for key, _ in grouped}) == len(grouped)
    for key, run in grouped:
        offsets = [offset for offset, place in enumerate(places) if place == key]
        assert [message.offset() for message in run] == offsets
    assert sum(len(run) for _, run in grouped) == len(places)


@given(st.lists(st.tuples(st.just("a"), st.integers(0, 3)), min_size=1))
def test_one_topic_is_grouped_alike(places: list[Place]) -> None:
    """The short cut gives what the long way gives."""
    messages = drain(places)
    short = dict(by_partition(messages, has_one_topic=True))
    assert short == dict(by_partition(messages, has_one_topic=False))


@pytest.mark.parametrize(
    ("size_bytes", "count"),
    [
        (0, DRAIN_MESSAGES),
        (1, DRAIN_MESSAGES),
        (DRAIN_BYTES // 10, 10),
        (2 * DRAIN_BYTES, 1),
    ],
)
def test_a_drain_is_bounded_in_bytes_too(size_bytes: int, count: int) -> None:
    """Large messages come a few at a time, and one at least."""
    small = Message(topic="a", partition=0, offset=0, value=b"x")
    large = Message(topic="a", partition=0, offset=1, value=b"x" * size_bytes)
    assert next_drain([small, large]) == count


def test_ends_are_split_off_and_other_errors_left_out() -> None:
    """An end that more of its partition follows is none; another one may come."""

    def made(partition: int, offset: int, error: int | None = None) -> Message:
        told = None if error is None else KafkaError(error)
        return Message(topic="t", partition=partition, offset=offset, error=told)

    end, refusal = KafkaError._PARTITION_EOF, KafkaError.TOPIC_AUTHORIZATION_FAILED
    drained = [
        made(0, 4),
        made(0, 5, end),
        made(1, 7, end),
        made(0, 5),
        made(2, 1, refusal),
        made(0, 8, end),
        made(1, 7),
    ]

    messages, ends = split(drained)

    assert [(m.partition(), m.offset()) for m in messages] == [(0, 4), (0, 5), (1, 7)]
    assert ends == {("t", 0): 8}
