"""A partition that stands still in a node that lives; and those that only seem to."""

from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka.monitoring.partitions import Partitions
from swarm_worker.shared.report import Report
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    QUICK,
    Gate,
    Node,
    Seen,
    lines_of,
    on_poll_thread,
    produce,
    settings,
    unique,
)


def test_partition_that_stands_still_is_named(kafka: KafkaBroker) -> None:
    """It has data, nothing here holds it up, and it does not move: a lost pause."""
    name = kafka.create_topic(unique("stalled"), 2)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap)) as node:
        node.await_assigned(2)
        produce(kafka.bootstrap, name, 5)
        seen.await_count(5)
        # Paused behind our back, on the thread that may: as a bug would.
        on_poll_thread(lambda client: client.pause([TopicPartition(name, 0)]))
        produce(kafka.bootstrap, name, 500, first=5)
        for first in (0, 1):
            produce(kafka.bootstrap, name, 1, partition=1, first=first)
        # librdkafka asks for the ends of partitions that it does not fetch every 10 s.
        eventually(
            lambda: (node.snapshot.stalled_ms or 0) > 1_000,
            within_s=30.0,
            describe="the report says so",
        )
        assert node.snapshot.stalled == (f"{name}/0",)
        # The ends may have been asked for while the messages were still coming.
        eventually(
            lambda: node.snapshot.lag == 500, within_s=30.0, describe="a lag of 500"
        )


def test_gaps_idle_and_back_off_are_no_stalls(kafka: KafkaBroker) -> None:
    """Transactions that ended or are open, an idle topic, a handler that fails."""
    name = kafka.create_topic(unique("gaps"), 4)
    app, seen = App(group=name), Seen()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        if batch.partition == 3:
            raise ValueError
        seen(batch)

    producer = leave_gaps(kafka, name)
    produce(kafka.bootstrap, name, 100, partition=3)
    with Node(app, settings(kafka.bootstrap)) as node:
        seen.await_count(2)
        stalled = [s.stalled for s in snapshots(node, count=6)]
        assert stalled == [()] * 6
        assert node.snapshot.stalled_ms is None
        assert node.snapshot.lag == 101, (
            "of the failing one, and in the open transaction"
        )
        # Behind the aborted one, as far as others have written, and at the open one.
        await_committed(kafka, name, name, {0: 4, 1: 2})
    producer.abort_transaction()


def leave_gaps(kafka: KafkaBroker, topic: str) -> Producer:
    """Leave an aborted transaction on partition 0 and an open one on partition 1."""
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": topic}
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, "committed", partition=0)
    producer.produce(topic, "committed", partition=1)
    producer.commit_transaction()
    producer.begin_transaction()
    producer.produce(topic, "aborted", partition=0)
    producer.flush()
    producer.abort_transaction()
    producer.begin_transaction()
    producer.produce(topic, "open", partition=1)
    producer.flush()
    return producer


def snapshots(node: Node, *, count: int) -> list[Report]:
    """Return the progress after each of the next statistics."""
    told: list[Report] = []
    note = Partitions.update

    def tell(partitions: Partitions, *arguments: Any, **named: Any) -> None:
        note(partitions, *arguments, **named)
        told.append(node.snapshot)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Partitions, "update", tell)
        eventually(
            lambda: len(told) >= count, describe=f"statistics came {count} times"
        )
    return told[:count]


def test_busy_and_paused_partitions_are_no_stalls(kafka: KafkaBroker) -> None:
    """One whose handler takes its time is told as in flight, and as that only."""
    name = kafka.create_topic(unique("busy"), 2)
    app, gate = App(group=name), Gate()
    app.topic(name)(gate)
    for partition in range(2):
        produce(kafka.bootstrap, name, 20_000, partition=partition)
    with Node(app, settings(kafka.bootstrap, kafka=QUICK)) as node:
        gate.await_entered()
        polls = node.monitor.polls
        eventually(lambda: node.monitor.polls > polls + 20, describe="polls go on")
        eventually(
            lambda: node.snapshot.lag == 40_000, describe="what is not done is behind"
        )
        snapshot = node.snapshot
        assert (snapshot.stalled, snapshot.stalled_ms) == ((), None)
        assert len(snapshot.in_flight) == 1
        gate.open.set()
        await_committed(kafka, name, name, {0: 20_000, 1: 20_000})


def test_message_that_breaks_the_connection_is_a_stall(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker's answer is too large for the client, which drops it and asks anew."""
    log = lines_of(caplog)
    name = kafka.create_topic(
        unique("large"), 1, config={"max.message.bytes": "8000000"}
    )
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    large = {"bootstrap.servers": kafka.bootstrap, "message.max.bytes": 8_000_000}
    producer = Producer(large)
    for size in (1, 5_000_000, 1):
        producer.produce(name, b"x" * size)
    assert producer.flush(20.0) == 0
    small: dict[str, Any] = {
        "message.max.bytes": 1_000_000,
        "fetch.max.bytes": 1_000_000,
        "max.partition.fetch.bytes": 500_000,
        "receive.message.max.bytes": 1_001_000,
    }
    with Node(app, settings(kafka.bootstrap, kafka={**QUICK, **small})) as node:
        seen.await_count(1)
        eventually(
            lambda: (node.snapshot.stalled_ms or 0) > 4_000,
            within_s=60.0,
            describe="an age that does not begin anew with each connection",
        )
        assert node.snapshot.stalled == (f"{name}/0",)
        assert len(log("kafka_trouble ", "about=brokers")) == 1
        assert len(log("kafka_trouble ", "receive.message.max.bytes")) == 1
