"""Dead letters: what is in one, and a producer that cannot be had."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue

import pytest
from confluent_kafka import KafkaError, KafkaException

from swarm_worker.app.app import App
from swarm_worker.app.batch import message
from swarm_worker.kafka import dead_letters
from swarm_worker.kafka.dead_letters import (
    ERROR_TEXT_MAX,
    DeadLetterProducer,
    headers_of,
    producer_properties,
)
from swarm_worker.processing.failures import DeadLetter
from swarm_worker.processing.lane import Lane
from tests.eventually import eventually

ORIGIN = message(
    b"v", key=b"k", topic="orders", partition=3, offset=77, timestamp_ms=1_700_000
)


class Unprintable(Exception):  # noqa: N818 - a user's
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


def added(error: BaseException) -> Mapping[str, bytes | str | None]:
    """The headers that are added, by name."""
    return dict(headers_of(DeadLetter(message=ORIGIN, error=error, attempts=4)))


def test_dead_letter_tells_origin_error_and_attempts() -> None:
    """All as text."""
    assert added(LookupError("no such account: \u20ac")) == {
        "swarm.origin.topic": b"orders",
        "swarm.origin.partition": b"3",
        "swarm.origin.offset": b"77",
        "swarm.origin.timestamp": b"1700000",
        "swarm.error.type": b"LookupError",
        "swarm.error.text": "no such account: \u20ac".encode(),
        "swarm.attempts": b"4",
    }


def test_original_headers_come_first_and_untouched() -> None:
    """Also those that occur twice, have no value, or bear our names."""
    mine: list[tuple[str, bytes | str | None]] = [
        ("a", b"\xff"), ("a", None), ("swarm.attempts", b"of an earlier dead letter"),
    ]  # fmt: skip
    dead_letter = DeadLetter(
        message=message("v", headers=mine), error=OSError(), attempts=1
    )

    assert headers_of(dead_letter)[:3] == mine
    assert len(headers_of(dead_letter)) == 3 + 7


@pytest.mark.parametrize("text", ["x" * 5000, "\ud800 lone surrogate"])
def test_error_text_is_bounded_and_always_utf8(text: str) -> None:
    """Whatever the handler raised."""
    written = added(ValueError(text))["swarm.error.text"]

    assert isinstance(written, bytes)
    assert len(written.decode()) <= ERROR_TEXT_MAX + 10


def test_error_without_text_is_named() -> None:
    """A broken __str__ of the user's must not end the poll thread."""
    headers = added(Unprintable())

    assert headers["swarm.error.type"] == f"{__name__}.Unprintable".encode()
    assert headers["swarm.error.text"] == b"(its text cannot be had: RuntimeError)"


def test_producer_shares_the_cluster_not_the_consuming() -> None:
    """Servers and security, and no property that a producer would complain about."""
    shared = {"bootstrap.servers": "b:1", "sasl.password": "p", "ssl.ca.location": "c"}
    consumer = {
        **shared,
        "group.id": "g",
        "session.timeout.ms": 1,
        "fetch.min.bytes": 2,
    }
    made = producer_properties(consumer)

    assert made.items() >= shared.items()
    assert made["enable.idempotence"] is True
    assert not {"group.id", "session.timeout.ms", "check.crcs"} & set(made)


# --- the producer ---------------------------------------------------------------------


class Deliveries:
    """Dead letters of lanes, and what became of them.

    Attributes:
        told: The reasons, in order; None for an acknowledgement.
    """

    def __init__(self) -> None:
        self.told: list[str | None] = []
        self.dead_letters = DeadLetterProducer(
            {"sasl.password": "hush-hush"}, self._outcome
        )

    def _outcome(self, _: Lane, error: KafkaError | None) -> None:
        self.told.append(None if error is None else error.str())

    def send(self, error: BaseException | None = None) -> None:
        """Send a dead letter."""
        route = App(group="g")
        route.topic("orders", dead_letter="dead")(print)
        lane = Lane("orders", 3, route.routes[0], moved_at_s=0.0)
        lane.dead_letter = DeadLetter(
            message=ORIGIN, error=error or OSError(), attempts=1
        )
        self.dead_letters.send(lane)

    def served(self, count: int) -> list[str | None]:
        """Wait for so many outcomes, and give them."""

        def is_there() -> bool:
            self.dead_letters.serve()
            return len(self.told) >= count

        eventually(is_there, describe=f"{count} outcomes")
        return list(self.told)


class Willing:
    """A producer that acknowledges all."""

    def __init__(self, *_: object, **__: object) -> None:
        self.waiting: list[Callable[[None, None], None]] = []

    def produce(
        self, topic: str, *, on_delivery: Callable[[None, None], None], **_: object
    ) -> None:
        """Take a message."""
        assert topic == "dead"
        self.waiting.append(on_delivery)

    def poll(self, timeout_s: float) -> None:
        """Tell of what was taken."""
        del timeout_s
        while self.waiting:
            self.waiting.pop()(None, None)


def test_a_producer_that_cannot_be_made_fails_and_is_made_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No token: nothing is raised where dead letters are sent; nor are secrets told."""
    no_token = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED, "hush-hush: no token")

    def fail(*_: object, **__: object) -> None:
        raise KafkaException(no_token)

    monkeypatch.setattr(dead_letters, "Producer", fail)
    it = Deliveries()
    it.send()
    it.send()
    assert it.dead_letters.outstanding == 2
    assert it.served(2) == ["(hidden): no token"] * 2

    monkeypatch.setattr(dead_letters, "Producer", Willing)
    it.send()
    assert it.served(3)[2] is None
    assert it.dead_letters.outstanding == 0


def test_a_constructor_that_blocks_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for a token on a thread of its own, and so does the user's exception."""
    may_go_on = threading.Event()

    class Slow(Willing):
        def __init__(self, *_: object, **__: object) -> None:
            may_go_on.wait(10)
            super().__init__()

    class SlowError(Exception):
        def __str__(self) -> str:
            assert threading.current_thread() is not threading.main_thread()
            return "slow"

    monkeypatch.setattr(dead_letters, "Producer", Slow)
    it = Deliveries()
    it.send(SlowError())
    it.dead_letters.serve()
    assert it.told == []

    may_go_on.set()
    assert it.served(1) == [None]


def test_a_dead_letter_that_cannot_be_produced_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the client raises."""

    class Full(Willing):
        def produce(self, topic: str, **_: object) -> None:
            del topic
            raise BufferError

    monkeypatch.setattr(dead_letters, "Producer", Full)
    it = Deliveries()
    it.send()

    assert it.served(1) == ["Local: Queue full"]


def test_a_producer_that_gets_no_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may take another broker for the topic's leader, for ever.

    One that is told why not is kept.
    """
    made: list[Willing] = []
    answers = [KafkaError._MSG_TIMED_OUT, KafkaError.MSG_SIZE_TOO_LARGE, None]

    class Answering(Willing):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()
            made.append(self)

        def poll(self, timeout_s: float) -> None:
            del timeout_s
            while self.waiting:
                code = answers.pop(0)
                error = None if code is None else KafkaError(code)
                self.waiting.pop()(error, None)  # type: ignore[arg-type]

    monkeypatch.setattr(dead_letters, "Producer", Answering)
    it = Deliveries()
    for count, producers in ((1, 1), (2, 2), (3, 2)):
        it.send()
        it.served(count)
        assert len(made) == producers
    assert it.told[2] is None
    assert producer_properties({})["message.timeout.ms"] == 60_000


def test_a_producer_that_is_given_up_gets_no_dead_letter_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Letters of partitions that are not in step would keep it for ever."""
    made: list[Willing] = []
    polls: list[float] = []
    answers: SimpleQueue[KafkaError | None] = SimpleQueue()

    class Slow(Willing):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()
            made.append(self)

        def poll(self, timeout_s: float) -> None:
            polls.append(timeout_s)
            with suppress(Empty):
                error = answers.get(timeout=0.001)
                self.waiting.pop(0)(error, None)  # type: ignore[arg-type]

    monkeypatch.setattr(dead_letters, "Producer", Slow)
    it, too_late = Deliveries(), KafkaError(KafkaError._MSG_TIMED_OUT)
    it.send()
    it.send()
    answers.put(too_late)
    it.served(1)
    it.send()
    count = len(polls) + 2
    eventually(
        lambda: len(polls) >= count, describe="the dead letter is seen, and waits"
    )
    answers.put(too_late)
    it.served(2)
    answers.put(None)
    assert it.served(3)[2] is None
    assert len(made) == 2
