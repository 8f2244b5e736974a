"""Handlers that fail: back-off, repeats, dead letters; on real Kafka."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka import dead_letters
from swarm_worker.kafka.client import making
from swarm_worker.processing import failures
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    Gate,
    Node,
    Seen,
    lines_of,
    produce,
    settings,
    unique,
)

POISON = b"poison"


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-off of 50 ms, doubling as ever."""
    monkeypatch.setattr(failures, "BACKOFF_FIRST_S", 0.05)


def test_failing_message_holds_up_its_partition_only(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is retried for ever, its partition waits for it, the others go on."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("failing"), 2)
    app, seen = App(group=name), Seen()
    heals = Gate().open

    @app.topic(name)
    def handle(batch: Batch) -> None:
        if batch.partition == 0 and not heals.is_set():
            raise ValueError("no such account")
        seen(batch)

    produce(kafka.bootstrap, name, 3, partition=0)
    with Node(app, settings(kafka.bootstrap)) as node:
        eventually(lambda: node.snapshot.retries >= 3, describe="retried")
        produce(kafka.bootstrap, name, 2000, partition=1)
        seen.await_count(2000)
        await_committed(kafka, name, name, {1: 2000})
        waiting = node.snapshot
        assert waiting.stalled == ()
        assert len(log("handler_failed", name)) == 1, "logged once, not with each retry"
        assert f"{name}/0@0" in log("handler_failed", name)[0]
        heals.set()
        await_committed(kafka, name, name, {0: 3, 1: 2000})
        assert len(log("handler_recovered", name)) == 1
    assert [o for p, o in seen.offsets if p == 0] == [0, 1, 2]


@pytest.mark.parametrize(
    "error", [SystemExit(0), KeyboardInterrupt(), asyncio.CancelledError(), OSError()]
)
def test_nothing_that_a_handler_raises_commits(
    kafka: KafkaBroker, error: BaseException
) -> None:
    """SystemExit and its like are failures too; the node lives on."""
    name = kafka.create_topic(unique("raises"), 1)
    app, seen = App(group=name), Seen()
    raised: list[dict[int, int]] = []

    @app.topic(name)
    def handle(batch: Batch) -> None:
        if len(raised) < 2:
            raised.append(kafka.committed(name, name))
            raise error
        seen(batch)

    produce(kafka.bootstrap, name, 2)
    with Node(app, settings(kafka.bootstrap)) as node:
        await_committed(kafka, name, name, {0: 2})
        assert node.pool.alive
    assert raised == [{}, {}]
    assert seen.offsets == [(0, 0), (0, 1)]


def test_poisoned_message_becomes_one_dead_letter(kafka: KafkaBroker) -> None:
    """After max_retries it is copied, untouched, with its origin; the rest goes on."""
    name = kafka.create_topic(unique("poison"), 1)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    app, seen, tries = App(group=name), Seen(), []

    @app.topic(name, max_retries=2, dead_letter=letters)
    def handle(batch: Batch) -> None:
        for message in batch:
            if message.value() == POISON:
                tries.append(message.offset())
                raise LookupError("no such account: \u20ac")
        seen(batch)

    produce(kafka.bootstrap, name, 5)
    original = [("trace", b"\x00\xff"), ("trace", None)]
    produce_poison(kafka, name, headers=original)
    produce(kafka.bootstrap, name, 5, first=6)
    with Node(app, settings(kafka.bootstrap)) as node:
        await_committed(kafka, name, name, {0: 11})
        assert node.snapshot.dead_letters == 1
        assert node.snapshot.messages == 10
    assert set(seen.offsets) == {(0, o) for o in range(11) if o != 5}
    assert tries == [5] * 3, "once, and two retries"

    with reading(kafka, letters) as read:
        letter = read()
        assert (letter.key(), letter.value()) == (b"k", POISON)
        headers = list(letter.headers() or [])
        assert headers[:2] == original
        added = {str(name): value for name, value in headers[2:]}
        assert added.pop("swarm.origin.timestamp") is not None
        assert added == {
            "swarm.origin.topic": name.encode(),
            "swarm.origin.partition": b"0",
            "swarm.origin.offset": b"5",
            "swarm.error.type": b"LookupError",
            "swarm.error.text": "no such account: \u20ac".encode(),
            "swarm.attempts": b"3",
        }
    assert kafka.end_offsets(letters) == {0: 1}


def test_offset_waits_for_the_dead_letter(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """While the dead-letter topic cannot be written to, nothing is skipped."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("unwritable"), 2)
    letters = f"{name}.dlq"
    # No message that is larger than this: the dead letters are refused.
    kafka.create_topic(letters, 1, config={"max.message.bytes": "100"})
    app, seen = App(group=name), Seen()

    @app.topic(name, max_retries=0, dead_letter=letters, dead_letter_after=0)
    def handle(batch: Batch) -> None:
        if batch.partition == 0:
            raise ValueError
        seen(batch)

    produce_poison(kafka, name)
    with Node(app, settings(kafka.bootstrap)) as node:
        eventually(
            lambda: log("dead_letter_refused", name), describe="the letter is refused"
        )
        produce(kafka.bootstrap, name, 10, partition=1)
        await_committed(kafka, name, name, {1: 10})
        assert node.snapshot.dead_letters == 0
        kafka.delete_topic(letters)
        kafka.create_topic(letters, 1)
        await_committed(kafka, name, name, {0: 1, 1: 10}, within_s=40.0)
        assert node.snapshot.dead_letters == 1
    assert kafka.end_offsets(letters) == {0: 1}
    assert len(log("dead_letter_refused", name)) == 1


def test_a_producer_that_cannot_be_made_is_a_refusal(
    kafka: KafkaBroker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No token, say: the dead letter is tried again, and other partitions go on."""
    log = lines_of(caplog)
    name, letters = unique("unmade"), kafka.create_topic(unique("letters"), 1)
    kafka.create_topic(name, 2)
    app, seen, heals = App(group=name), Seen(), Gate().open

    def make(*args: Any, **more: Any) -> Producer:
        if not heals.is_set():
            no_token = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED, "no token")
            raise KafkaException(no_token)
        return Producer(*args, **more)

    monkeypatch.setattr(dead_letters, "Producer", make)

    @app.topic(name, max_retries=0, dead_letter=letters, dead_letter_after=0)
    def handle(batch: Batch) -> None:
        if batch[0].value() == POISON:
            raise ValueError
        seen(batch)

    produce_poison(kafka, name)
    with Node(app, settings(kafka.bootstrap)) as node:
        eventually(
            lambda: log("dead_letter_refused", name), describe="the letter is refused"
        )
        assert "reason='no token'" in log("dead_letter_refused", name)[0]
        produce(kafka.bootstrap, name, 10, partition=1)
        await_committed(kafka, name, name, {1: 10})
        heals.set()
        await_committed(kafka, name, name, {0: 1, 1: 10}, within_s=40.0)
        assert node.snapshot.dead_letters == 1
    assert kafka.end_offsets(letters) == {0: 1}


def test_a_client_that_cannot_be_made_anew_is_tried_again(
    kafka: KafkaBroker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As after a session that is over, while no token comes: the node lives on."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("anew"), 1)
    app, seen, heals = App(group=name), Seen(), Gate().open
    app.topic(name)(seen)

    def make(*args: Any, **more: Any) -> Consumer:
        if not heals.is_set():
            no_token = KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED, "no token")
            raise KafkaException(no_token)
        return Consumer(*args, **more)

    monkeypatch.setattr(making, "Consumer", make)
    produce(kafka.bootstrap, name, 10)
    with Node(app, settings(kafka.bootstrap)) as node:
        eventually(lambda: log("kafka_trouble ", name), describe="it says so")
        assert "about=client detail='[kafka] no token" in log("kafka_trouble ", name)[0]
        assert f"group {name}: [kafka] no token" in node.snapshot.not_joined
        heals.set()
        seen.await_count(10)
    assert len(log("kafka_trouble ", name)) == 1
    assert len(log("kafka_trouble_over", name)) == 1


def test_letter_that_nobody_answers_does_not_hold_up_a_stop(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of a stop's time is for it; it is named, and its message comes again."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("unanswered"), 1)
    app = App(group=name)

    @app.topic(name, max_retries=0, dead_letter=f"{name}.missing", dead_letter_after=0)
    def handle(_: Batch) -> None:
        raise ValueError

    produce(kafka.bootstrap, name, 1)
    with Node(app, settings(kafka.bootstrap, shutdown_timeout_s=4.0)) as node:
        letters = node.consumers[0].group.dead_letters
        eventually(lambda: letters.outstanding == 1, describe="a letter is out")
    (line,) = log("dead_letter_left", name)
    assert f"at={name}/0@0 topic={name}.missing" in line
    assert log("close_gave_up", name) == []
    assert kafka.committed(name, name) == {}


def test_repeat_begins_at_the_first_message_not_done(kafka: KafkaBroker) -> None:
    """What a failed batch has marked done is committed and not repeated."""
    name = kafka.create_topic(unique("marked"), 1)
    app, handled = App(group=name), []
    heals = Gate().open

    @app.topic(name)
    def handle(batch: Batch) -> None:
        for message in batch:
            handled.append(message.offset())
            if message.offset() == 3 and not heals.is_set():
                raise ValueError
            batch.mark_done(message)

    produce(kafka.bootstrap, name, 6)
    with Node(app, settings(kafka.bootstrap)):
        await_committed(kafka, name, name, {0: 3})
        heals.set()
        await_committed(kafka, name, name, {0: 6})
    assert handled[:5] == [0, 1, 2, 3, 3]
    assert [o for o in handled if o != 3] == [0, 1, 2, 4, 5]


def test_failure_is_isolated_without_marks(kafka: KafkaBroker) -> None:
    """One message fails for ever: those before it are committed, repeated once."""
    name = kafka.create_topic(unique("isolated"), 1)
    app, seen = App(group=name), Seen()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        seen(batch)
        if any(message.offset() == 7 for message in batch):
            raise ValueError

    produce(kafka.bootstrap, name, 20)
    with Node(app, settings(kafka.bootstrap)) as node:
        await_committed(kafka, name, name, {0: 7})
        eventually(lambda: node.snapshot.errors >= 4, describe="retried")
    assert seen.offsets.count((0, 3)) == 2
    assert seen.offsets.count((0, 12)) == 1
    assert kafka.committed(name, name) == {0: 7}


def test_flush_hook_runs_before_the_offset_moves(kafka: KafkaBroker) -> None:
    """A hook that fails makes the batch fail."""
    name = kafka.create_topic(unique("flush"), 1)
    app, seen, heals = App(group=name), Seen(), Gate().open
    app.topic(name)(seen)

    @app.before_store
    def flush() -> None:
        if not heals.is_set():
            raise OSError("not flushed")

    produce(kafka.bootstrap, name, 1)
    with Node(app, settings(kafka.bootstrap)) as node:
        eventually(lambda: node.snapshot.errors >= 3, describe="failed")
        assert kafka.committed(name, name) == {}
        heals.set()
        await_committed(kafka, name, name, {0: 1})


def test_coroutine_handlers(kafka: KafkaBroker) -> None:
    """They run side by side, one loop a thread, and are cancelled at the deadline."""
    name = kafka.create_topic(unique("async"), 3)
    app, seen, loops = App(group=name), Seen(), set()
    cancelled: list[int] = []

    @app.topic(name)
    async def handle(batch: Batch) -> None:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0.01)
        if batch.partition == 2:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(batch.partition)
        seen(batch)

    produce(kafka.bootstrap, name, 1, partition=2)
    told = settings(kafka.bootstrap, concurrency=2, shutdown_timeout_s=2.0)
    with Node(app, told) as node:
        eventually(lambda: node.snapshot.in_flight, describe="one hangs")
        for partition in (0, 1):
            produce(kafka.bootstrap, name, 50, partition=partition)
        await_committed(kafka, name, name, {0: 50, 1: 50})
    assert cancelled == [2]
    assert len(loops) == 2
    assert kafka.committed(name, name) == {0: 50, 1: 50}


def test_coroutine_handler_that_fails(kafka: KafkaBroker) -> None:
    """As any handler: repeated from what is not done, given up in the end."""
    name = kafka.create_topic(unique("async-fails"), 1)
    letters = kafka.create_topic(f"{name}.dlq", 1)
    app, seen = App(group=name), list[int]()

    @app.topic(name, max_retries=1, dead_letter=letters)
    async def handle(batch: Batch) -> None:
        for message in batch:
            await asyncio.sleep(0)
            if message.offset() == 2:
                raise ValueError("not this one")
            seen.append(message.offset() or 0)
            batch.mark_done(message)

    produce(kafka.bootstrap, name, 5)
    with Node(app, settings(kafka.bootstrap)) as node:
        await_committed(kafka, name, name, {0: 5})
        assert node.snapshot.dead_letters == 1
    assert seen == [0, 1, 3, 4]
    assert kafka.end_offsets(letters) == {0: 1}


def test_flush_hook_runs_before_marks_count(kafka: KafkaBroker) -> None:
    """What a failed batch has marked done is flushed, then committed, not before."""
    name = kafka.create_topic(unique("flush-marks"), 1)
    app, handled, flushed = App(group=name), list[int](), list[int]()
    heals = Gate().open

    @app.topic(name)
    def handle(batch: Batch) -> None:
        for message in batch:
            if message.offset() == 3 and not heals.is_set():
                raise ValueError
            handled.append(message.offset() or 0)
            batch.mark_done(message)

    @app.before_store
    def flush() -> None:
        assert len(kafka.committed(name, name)) <= bool(flushed), "nothing before it"
        flushed[:] = handled

    produce(kafka.bootstrap, name, 6)
    with Node(app, settings(kafka.bootstrap)):
        await_committed(kafka, name, name, {0: 3})
        assert flushed == [0, 1, 2]
        heals.set()
        await_committed(kafka, name, name, {0: 6})
        assert flushed == handled == list(range(6))


def produce_poison(
    kafka: KafkaBroker,
    topic: str,
    *,
    headers: list[tuple[str, bytes | None]] | None = None,
) -> None:
    """Produce the message that no handler here can bear."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(
        topic,
        POISON,
        key=b"k",
        partition=0,
        headers=headers or [],  # type: ignore[arg-type]  # None is one
    )
    assert producer.flush(10.0) == 0


def produce_value(
    kafka: KafkaBroker, topic: str, value: bytes, *, partition: int = 0
) -> None:
    """Produce one message and wait until it is acknowledged."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, value, partition=partition)
    assert producer.flush(10.0) == 0


@contextmanager
def reading(kafka: KafkaBroker, topic: str) -> Iterator[Callable[[], Message]]:
    """Yield a function that waits for the next message of a topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": unique("reader"),
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])

    def read() -> Message:
        message = eventually(
            lambda: consumer.poll(0.1), describe=f"a message of {topic}"
        )
        assert message.error() is None
        return message

    try:
        yield read
    finally:
        consumer.close()
