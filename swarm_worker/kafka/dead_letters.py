"""The dead-letter topic: a message that was given up, with its origin and its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from swarm_worker.kafka.client.properties import connection_of
from swarm_worker.kafka.errors import library_logger, text_of
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.shared.redaction import without_secrets

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.processing.failures import DeadLetter
    from swarm_worker.processing.lane import Lane

ERROR_TEXT_MAX: Final = 1000
# The longest wait for an acknowledgement before the next dead letter.
SERVE_S: Final = 0.05

# A dead letter that is not acknowledged by then has failed; its producer is replaced:
# one that has known a topic before it was made anew may send to a broker that does not
# lead it, for ever (librdkafka issue 4898).
ACKNOWLEDGED_S: Final = 60.0

Outcome = Callable[["Lane", KafkaError | None], None]


def headers_of(dead_letter: DeadLetter) -> list[tuple[str, bytes | str | None]]:
    """Return the original's headers, then origin, error and attempts."""
    message = dead_letter.message
    _, timestamp_ms = message.timestamp()
    error = type(dead_letter.error)
    added = {
        "swarm.origin.topic": message.topic(),
        "swarm.origin.partition": message.partition(),
        "swarm.origin.offset": message.offset(),
        "swarm.origin.timestamp": timestamp_ms,
        "swarm.error.type": f"{error.__module__}.{error.__qualname__}".removeprefix(
            "builtins."
        ),
        "swarm.error.text": _text_of(dead_letter.error)[:ERROR_TEXT_MAX],
        "swarm.attempts": dead_letter.attempts,
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
    """Return the properties of the producer beside a consumer: the same cluster."""
    return {
        **connection_of(consumer),
        # Once, as far as a producer can tell.
        "enable.idempotence": True,
        # Whether a message with some headers more is too large is the broker's word.
        "message.max.bytes": 1_000_000_000,
        "linger.ms": 0,
        "message.timeout.ms": int(ACKNOWLEDGED_S * 1000),
    }


class DeadLetterProducer(OwnThread):
    """Produces dead letters, and reports when they are acknowledged.

    The producer has a thread of its own: to make one takes ten seconds where no token
    comes, and to describe a dead letter is to ask the user's exception for its text.

    Used by one thread, which calls `serve` often while `outstanding` is not 0: the
    outcomes are reported from there.
    """

    def __init__(self, consumer: Mapping[str, Any], outcome: Outcome) -> None:
        """Prepare; thread and producer are made for the first dead letter.

        ``outcome`` is called once for each that is sent, with None when it is
        acknowledged, else with the reason.
        """
        super().__init__("swarm-dead-letters")
        self._properties = producer_properties(consumer)
        self._outcome = outcome
        self._to_send: SimpleQueue[tuple[Lane, DeadLetter] | None] = SimpleQueue()
        self._known: SimpleQueue[tuple[Lane, KafkaError | None]] = SimpleQueue()
        self.outstanding = 0
        # The thread's own.
        self._producer: Producer | None = None
        self._awaited = 0
        self._is_suspect = False  # a dead letter was not acknowledged in time

    # --- for the one that uses it -----------------------------------------------------

    def send(self, lane: Lane) -> None:
        """Send the dead letter of a lane; does not block and does not raise."""
        assert lane.dead_letter is not None  # noqa: S101 - `due` returns such lanes
        self.outstanding += 1
        try:
            self.start()
        except RuntimeError as error:  # no thread can be had for now
            self._known.put((lane, self._failure(error)))
        else:
            self._to_send.put((lane, lane.dead_letter))

    def serve(self) -> None:
        """Report the outcomes that are known; does not block."""
        while True:
            try:
                lane, error = self._known.get_nowait()
            except Empty:
                return
            self.outstanding -= 1
            self._outcome(lane, error)

    def stop(self) -> None:
        """Send nothing more; does not block."""
        self._to_send.put(None)

    # --- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                sending = self._next()
            except Empty:
                if self._producer is not None:
                    self._producer.poll(SERVE_S)
                continue
            if sending is None:
                return
            self._send(*sending)

    def _next(self) -> tuple[Lane, DeadLetter] | None:
        """Return what is to be sent next.

        Raises:
            Empty: There is nothing for now, or a producer is to be replaced: it gets
                nothing more, or somebody would always wait for an answer of it.
        """
        if self._is_suspect and self._awaited:
            raise Empty
        return self._to_send.get(block=not self._awaited)

    def _send(self, lane: Lane, dead_letter: DeadLetter) -> None:
        try:
            if self._producer is None or self._is_suspect:
                self._producer = Producer(self._properties, logger=library_logger)
                self._is_suspect = False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._fail_all(lane, self._failure(error))
            return

        def on_delivery(error: KafkaError | None, _: object) -> None:
            self._awaited -= 1
            if error is not None and error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001
                self._is_suspect = True
            self._known.put((lane, error))

        topic, message = lane.route.dead_letter, dead_letter.message
        assert topic is not None  # noqa: S101 - only such routes give up
        try:
            self._producer.produce(
                topic,
                key=message.key(),
                value=message.value(),
                headers=headers_of(dead_letter),
                on_delivery=on_delivery,
            )
        except Exception as error:  # noqa: BLE001 - the same
            self._known.put((lane, self._failure(error)))
        else:
            self._awaited += 1

    def _fail_all(self, lane: Lane, error: KafkaError) -> None:
        """Let all that wait by now fail: each would wait as long as the first."""
        self._known.put((lane, error))
        for _ in range(self._to_send.qsize()):
            waiting = self._to_send.get()
            if waiting is None:
                self._to_send.put(None)
                return
            self._known.put((waiting[0], error))

    def _failure(self, error: Exception) -> KafkaError:
        if isinstance(error, BufferError):
            return KafkaError(KafkaError._QUEUE_FULL)  # noqa: SLF001 - a code
        is_kafkas = isinstance(error, KafkaException)
        code = error.args[0].code() if is_kafkas else KafkaError._FAIL  # noqa: SLF001
        text = without_secrets(text_of(error).strip(), self._properties)
        return KafkaError(code, text)
