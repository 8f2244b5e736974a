"""Sends messages back to their topics; says which Kafka has acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from swarm_worker.admin.dead_letter import DeadLetter
from swarm_worker.admin.refusals import RefusedError, refusal
from swarm_worker.kafka.dead_letters import producer_properties
from swarm_worker.kafka.errors import library_logger

POLL_S: Final = 0.1
FLUSH_S: Final = 1.0
BY_KEY: Final = -1  # librdkafka's word for "whichever the partitioner says"

# A broker refuses a whole batch of the producer's for one message in it.
_OF_A_BATCH: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001 - librdkafka's own code
    }
)


Place = tuple[int, int]  # partition and offset in the dead-letter topic


def place_of(message: Message) -> Place:
    """Return where a message stands in the topic that it was read from."""
    return message.partition() or 0, message.offset() or 0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way back.

    Attributes:
        message: As it stands in the dead-letter topic.
        letter: What that tells.
        topic: Where it goes.
        partitions: How many that topic has.
    """

    message: Message
    letter: DeadLetter
    topic: str
    partitions: int

    @property
    def place(self) -> Place:
        """Where it stands in the dead-letter topic."""
        return place_of(self.message)

    @property
    def partition(self) -> int:
        """Where its neighbours are: only its producer knows by what rule that was.

        Partitions only ever grow in number, but for a topic that is another one.
        """
        before = self.letter.partition
        return before if before < self.partitions else BY_KEY


class Sender:
    """An idempotent producer: acks of all replicas, and no message twice by retries.

    A message whose partition is no more goes by its key, by the partitioner of Kafka's
    own clients.
    """

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        """Connect."""
        self._kafka = kafka
        properties = {
            "client.id": "swarm-dlq",
            **producer_properties(kafka),
            "linger.ms": 5,
            "partitioner": "murmur2_random",
        }
        self._producer = Producer(properties, logger=library_logger)
        self._topic = ""
        self._failed: dict[Place, tuple[Parcel, KafkaError]] = {}

    def send(self, parcel: Parcel) -> None:
        """Send a message, without waiting for more than room for it.

        Raises:
            RefusedError: Nothing can be sent any more.
        """
        self._topic = parcel.topic

        def on_delivery(error: KafkaError | None, _: object) -> None:
            if error is not None:
                self._failed[parcel.place] = parcel, error

        while True:
            try:
                self._producer.produce(
                    parcel.topic,
                    key=parcel.message.key(),
                    value=parcel.message.value(),
                    headers=parcel.letter.returned_headers,
                    partition=parcel.partition,
                    on_delivery=on_delivery,
                )
            except BufferError:
                self._serve(lambda: self._producer.poll(POLL_S))
            except KafkaException as error:
                self._failed[parcel.place] = parcel, error.args[0]
                return
            else:
                return

    def settle(self) -> dict[Place, RefusedError]:
        """Wait until each is acknowledged or refused; return those, by place.

        The first of them is the reason. What is refused for another's sake is sent
        again, alone. A message that is not acknowledged within a minute is refused.

        Raises:
            RefusedError: Nothing can be sent any more.
        """
        self._flush()
        again, self._failed = self._failed, {}
        for place in sorted(again):
            parcel, error = again[place]
            if self._failed or error.code() not in _OF_A_BATCH:
                self._failed[place] = parcel, error
            else:
                self.send(parcel)
                self._flush()
        failed, self._failed = self._failed, {}
        return {
            place: self._refusal(
                f"send {parcel.letter.origin} back", error, parcel.topic
            )
            for place, (parcel, error) in failed.items()
        }

    def _flush(self) -> None:
        while self._serve(lambda: self._producer.flush(FLUSH_S)):
            pass

    def _serve(self, call: Callable[[], int]) -> int:
        """Call what serves callbacks; return how many messages are on their way.

        Raises:
            RefusedError: Nothing can be sent any more. The client raises a fatal error
                from here, and where a callback of ours runs into it a SystemError.
        """
        try:
            return call()
        except (KafkaException, SystemError) as error:
            cause = error if isinstance(error, KafkaException) else error.__cause__
            if not isinstance(cause, KafkaException):
                raise
            raise self._refusal("send", cause.args[0], self._topic) from None

    def _refusal(self, what: str, error: KafkaError, topic: str) -> RefusedError:
        return refusal(
            f"{what} to {topic}", error, kafka=self._kafka, topic=topic, to="WRITE"
        )
