"""The dead-letter topic: a message that was given up, with its origin and its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from swarm_worker.kafka.client import connection_of
from swarm_worker.kafka.errors import library_logger

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.processing.lane import Lane, Letter

ERROR_TEXT_MAX: Final = 1000

Outcome = Callable[["Lane", KafkaError | None], None]


def headers_of(letter: Letter) -> list[tuple[str, bytes | str | None]]:
    """Give the original's headers, then origin, error and attempts."""
    message = letter.message
    _, timestamp_ms = message.timestamp()
    error = type(letter.error)
    added = {
        "swarm.origin.topic": message.topic(),
        "swarm.origin.partition": message.partition(),
        "swarm.origin.offset": message.offset(),
        "swarm.origin.timestamp": timestamp_ms,
        "swarm.error.type": f"{error.__module__}.{error.__qualname__}".removeprefix(
            "builtins."
        ),
        "swarm.error.text": _text_of(letter.error)[:ERROR_TEXT_MAX],
        "swarm.attempts": letter.attempts,
    }
    texts = [(name, _utf8(value)) for name, value in added.items()]
    return [*_original_headers(message), *texts]


def _original_headers(message: Message) -> list[tuple[str, bytes | str | None]]:
    headers = message.headers() or []
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as failure:  # noqa: BLE001 - the user's __str__
        return f"(its text cannot be had: {type(failure).__name__})"


def _utf8(value: object) -> bytes:
    return str(value).encode("utf-8", "backslashreplace")


def producer_properties(consumer: Mapping[str, Any]) -> dict[str, Any]:
    """Give the properties of the producer beside a consumer: the same cluster."""
    return {
        **connection_of(consumer),
        # Once, as far as a producer can tell.
        "enable.idempotence": True,
        # Whether a message with some headers more is too large is the broker's word.
        "message.max.bytes": 1_000_000_000,
        "linger.ms": 0,
    }


class DeadLetters:
    """Writes dead letters and tells when they are acknowledged.

    Used by one thread, which calls `serve` often while `outstanding` is not 0: the
    outcomes are told from there.
    """

    def __init__(self, consumer: Mapping[str, Any], outcome: Outcome) -> None:
        """Prepare; the producer is made for the first letter.

        Args:
            consumer: Properties of the consumer.
            outcome: Called once for each letter sent, with None when it is
                acknowledged, else with the reason.
        """
        self._properties = producer_properties(consumer)
        self._outcome = outcome
        self._producer: Producer | None = None
        self.outstanding = 0

    def send(self, lane: Lane) -> None:
        """Send the letter of a lane; does not block."""
        letter, topic = lane.letter, lane.route.dead_letter
        assert letter is not None  # noqa: S101 - lanes.due gives those with a letter
        assert topic is not None  # noqa: S101 - only such routes give up
        if self._producer is None:
            self._producer = Producer(self._properties, logger=library_logger)
        self.outstanding += 1

        def told(error: KafkaError | None, _: object) -> None:
            self.outstanding -= 1
            self._outcome(lane, error)

        try:
            self._producer.produce(
                topic,
                key=letter.message.key(),
                value=letter.message.value(),
                headers=headers_of(letter),
                on_delivery=told,
            )
        except BufferError:
            told(KafkaError(KafkaError._QUEUE_FULL), None)  # noqa: SLF001 - a code
        except KafkaException as error:
            told(error.args[0], None)

    def serve(self) -> None:
        """Tell the outcomes that are known; does not block."""
        if self._producer is not None:
            self._producer.poll(0)
