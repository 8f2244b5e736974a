"""What a handler gets: messages of one partition, in order."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from confluent_kafka import Message

Headers = Sequence[tuple[str, bytes | str | None]]


class Batch(Sequence["Message"]):
    """Messages of one topic-partition in the order of their offsets, never empty.

    When the handler returns, all of them are done and the offset moves behind the
    last one. When it raises, the batch comes again, from the first message that is
    not done; see `mark_done`.
    """

    __slots__ = (
        "_ahead",
        "_done_count",
        "_lock",
        "_messages",
        "node",
        "partition",
        "topic",
    )

    def __init__(
        self, messages: Sequence[Message], *, topic: str, partition: int, node: int
    ) -> None:
        """Wrap messages; ``messages`` is not copied and must not change any more."""
        if not messages:
            raise ValueError("expected at least one message for a batch, got none")
        self.topic = topic
        self.partition = partition
        self.node = node
        self._messages = messages
        self._done_count = 0
        self._ahead: set[int] | None = None  # done, but with a gap before them
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls,
        *messages: Message | bytes | str | None,
        topic: str = "topic",
        partition: int = 0,
        node: int = 0,
        first_offset: int = 0,
    ) -> Batch:
        """Make a batch to test a handler with, without Kafka.

        Args:
            *messages: Values, or messages made by `message` where a test cares for
                key, headers or timestamp.
            topic: What ``batch.topic`` and plain values' messages say.
            partition: The same.
            node: What ``batch.node`` says.
            first_offset: Offset of the first; plain values count up from it.
        """
        made = [
            message(
                value, topic=topic, partition=partition, offset=first_offset + index
            )
            if value is None or isinstance(value, bytes | str)
            else value
            for index, value in enumerate(messages)
        ]
        return cls(made, topic=topic, partition=partition, node=node)

    def mark_done(self, message: Message) -> None:
        """Record that a message is done, so that it is not repeated after a failure.

        A failed batch comes again from the first message that is not marked: marks
        beyond such a gap count once the gap is closed. Without marks the whole batch
        is repeated. May be called from any thread; does not block.

        Raises:
            ValueError: The message is not of this batch.
        """
        with self._lock:
            expected = self._done_count
            if expected < len(self._messages) and self._messages[expected] is message:
                index = expected
            else:
                index = self._index_of(message)
            self._mark(index)

    def _mark(self, index: int) -> None:
        if index > self._done_count:
            self._ahead = self._ahead or set()
            self._ahead.add(index)
        elif index == self._done_count:
            self._done_count += 1
            while self._ahead and self._done_count in self._ahead:
                self._ahead.discard(self._done_count)
                self._done_count += 1

    def _index_of(self, message: Message) -> int:
        offset = message.offset()
        index = bisect_left(self._messages, offset, key=lambda m: m.offset())
        if (
            index == len(self._messages)
            or self._messages[index].offset() != offset
            or (message.topic(), message.partition()) != (self.topic, self.partition)
        ):
            raise ValueError(
                f"expected a message of this batch, {self!r}, got "
                f"{message.topic()}/{message.partition()}@{offset}"
            )
        return index

    @property
    def done_count(self) -> int:
        """Messages from the front that `mark_done` has marked."""
        return self._done_count

    @property
    def position(self) -> str:
        """``topic/partition@offset`` of the first message that is not marked done."""
        index = min(self._done_count, len(self._messages) - 1)
        return f"{self.topic}/{self.partition}@{self._messages[index].offset()}"

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def __repr__(self) -> str:
        first, last = self._messages[0].offset(), self._messages[-1].offset()
        return f"<Batch {self.topic}/{self.partition}@{first}..{last}>"


def message(
    value: bytes | str | None,
    *,
    key: bytes | None = None,
    headers: Headers | None = None,
    topic: str = "topic",
    partition: int = 0,
    offset: int = 0,
    timestamp_ms: int = 0,
) -> Message:
    """Make a message to test a handler with; texts become UTF-8, as on the wire."""
    from confluent_kafka import TIMESTAMP_CREATE_TIME, Message  # noqa: PLC0415 - light

    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value.encode() if isinstance(value, str) else value,
        headers=list(headers) if headers is not None else None,
        timestamp=(TIMESTAMP_CREATE_TIME, timestamp_ms),
    )
