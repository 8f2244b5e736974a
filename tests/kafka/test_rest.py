"""Partitions that are done: where the next owner begins when all has been seen."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    PROTOCOLS,
    Node,
    Seen,
    produce,
    settings,
    unique,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("waits_for_commit", [True, False])
def test_what_comes_while_a_node_is_away_is_handled_whatever_the_reset(
    kafka: KafkaBroker, protocol: str, *, waits_for_commit: bool
) -> None:
    """With ``latest``, too, and of partitions of which nothing had come before."""
    name = kafka.create_topic(unique("latest"), 2)
    produce(kafka.bootstrap, name, 3)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    told = {**PROTOCOLS[protocol], "auto.offset.reset": "latest"}
    node = settings(kafka.bootstrap, kafka=told, static=False)
    with Node(app, node) as first:
        first.await_assigned(2)
        lanes = first.consumers[0].group.lanes
        eventually(
            lambda: all(lane.end_offset >= 0 for lane in lanes.table.all()),
            describe="both logs are read to their ends",
        )
        if waits_for_commit:
            await_committed(kafka, name, name, {0: 3, 1: 0})
    for partition in (0, 1):
        produce(kafka.bootstrap, name, 4, partition=partition, first=9)
    with Node(app, node):
        seen.await_count(8)
    assert sorted(seen.offsets) == [(0, o) for o in (3, 4, 5, 6)] + [
        (1, o) for o in (0, 1, 2, 3)
    ]


@pytest.mark.parametrize("ends", ["commit", "abort"])
def test_the_offset_moves_behind_what_nobody_is_given(
    kafka: KafkaBroker, ends: str
) -> None:
    """The mark of a transaction, and all of one that was aborted.

    Retention takes them away: an offset that stands before them is then out of range.
    """
    name = kafka.create_topic(unique("marks"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap)) as node:
        transact(kafka, name, 3, ends="commit")
        seen.await_count(3)
        await_committed(kafka, name, name, {0: 4})
        transact(kafka, name, 2, ends=ends)
        await_committed(kafka, name, name, {0: 7})
        eventually(lambda: node.snapshot.lag == 0, describe="a lag of 0")
        assert len(seen.offsets) == (5 if ends == "commit" else 3)


def transact(kafka: KafkaBroker, name: str, count: int, *, ends: str) -> None:
    """Produce messages in a transaction of their own."""
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap, "transactional.id": name}
    )
    producer.init_transactions()
    producer.begin_transaction()
    for _ in range(count):
        producer.produce(name, b"x", partition=0)
    producer.flush()
    if ends == "commit":
        producer.commit_transaction()
    else:
        producer.abort_transaction()


def test_a_message_without_an_acknowledged_letter_is_not_passed(
    kafka: KafkaBroker,
) -> None:
    """The last of its log, given up, and no topic for it: a stop leaves it there."""
    name = kafka.create_topic(unique("last"), 1)
    app, tries = App(group=name), []

    @app.topic(
        name,
        max_retries=0,
        dead_letter=f"{name}.missing",
        dead_letter_after=0,
        max_messages=1,
    )
    def handle(batch: Batch) -> None:
        if batch[0].offset() == 2:
            tries.append(2)
            raise ValueError("never")

    produce(kafka.bootstrap, name, 3)
    with Node(app, settings(kafka.bootstrap)) as node:
        (lane,) = eventually(node.consumers[0].group.lanes.table.all, describe="a lane")
        eventually(lambda: tries, describe="the last message is tried")
        eventually(lambda: lane.end_offset == 3, describe="its log is read to its end")
    assert kafka.committed(name, name) == {0: 2}
