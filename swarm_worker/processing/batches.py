"""How the messages of one partition become batches: in order, and cut once. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from confluent_kafka import Message

_SIZE_SAMPLE: Final = 16  # len() of every message would cost 40 ns each


def offset_of(message: Message) -> int:
    """Return the offset of a message that was consumed."""
    offset = message.offset()
    assert offset is not None  # noqa: S101 - a consumed message has one
    return offset


def timestamp_ms_of(message: Message) -> int | None:
    """Return when a message was made or appended, in ms of the wall clock."""
    kind, at_ms = message.timestamp()
    return at_ms if kind else None  # of messages of format 0 none is known


def size_bytes_of(messages: Sequence[Message]) -> int:
    """Return about how many bytes messages have, by a sample of them."""
    sample = messages[::_SIZE_SAMPLE]
    return sum(map(len, sample)) * len(messages) // len(sample)


def chunks_of(messages: Sequence[Message], size: int) -> Iterator[Sequence[Message]]:
    """Yield messages in chunks of at most ``size``; offsets rise within each.

    Cut once: what a slice leaves over would be copied by the next.
    """
    for run in rising(messages):
        for start in range(0, len(run), size):
            yield run[start : start + size]


def cut(chunks: deque[Sequence[Message]], size: int) -> Sequence[Message]:
    """Take at most ``size`` messages off the front of chunks, at least one.

    In one batch offsets rise: it ends where the log was reset.
    """
    taken = _cut_first(chunks, size)
    while len(taken) < size and chunks:
        if offset_of(chunks[0][0]) <= offset_of(taken[-1]):
            break
        taken = [*taken, *_cut_first(chunks, size - len(taken))]
    return taken


def _cut_first(chunks: deque[Sequence[Message]], size: int) -> Sequence[Message]:
    first = chunks.popleft()
    if len(first) <= size:
        return first
    chunks.appendleft(first[size:])
    return first[:size]


def rising(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut messages of one partition where offsets go back; nearly always nowhere.

    They do where librdkafka resets an offset within one assignment: the log was cut
    short, or its topic made anew. Messages in a row are told by their ends.
    """
    count = len(messages)
    if offset_of(messages[-1]) - offset_of(messages[0]) == count - 1:
        yield messages
        return
    begin, offsets = 0, [message.offset() or 0 for message in messages]
    if offsets == sorted(offsets):  # gaps only; half the cost of the loop
        yield messages
        return
    for index in range(1, count):
        if offsets[index] <= offsets[index - 1]:
            yield messages[begin:index]
            begin = index
    yield messages[begin:]
