"""A topic that is deleted and created again; real Kafka. The long form: `made_anew`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka import topic_ids
from swarm_worker.kafka.topic_ids import topic_id_in
from swarm_worker.kafka.topics.topic_asker import Question
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.made_anew import Case, play
from tests.kafka.nodes import (
    PROTOCOLS,
    QUICK,
    Node,
    Seen,
    lines_of,
    produce,
    settings,
    unique,
)

OLD, NEW = 20, 60


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask each second, not each half minute."""
    monkeypatch.setattr(topic_ids, "ASK_EVERY_S", 1.0)


def make_anew(kafka: KafkaBroker, name: str, *, messages: int) -> None:
    """Delete a topic, create it again and produce."""
    kafka.delete_topic(name)
    kafka.create_topic(name, 1)
    produce(kafka.bootstrap, name, messages, first=1_000)


def committed_with(kafka: KafkaBroker, name: str) -> tuple[int, str | None]:
    """Return the offset of partition 0, and the id of the topic that it is of."""
    reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name})
    try:
        (at,) = reader.committed([TopicPartition(name, 0)], timeout=10.0)
    finally:
        reader.close()
    return at.offset, topic_id_in(at.metadata)


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize("kind", [*PROTOCOLS, "direct"])
@pytest.mark.parametrize(
    ("reset", "new"), [("earliest", NEW), ("latest", 5), ("error", 5), ("error", NEW)]
)
def test_a_running_node_begins_the_new_log_at_its_first_offset(
    kafka: KafkaBroker,
    kind: str,
    reset: str,
    new: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Be it longer or shorter than the old one, and whatever the reset says.

    It is said, and committed with the new id.
    """
    log = lines_of(caplog)
    name = kafka.create_topic(unique(f"anew-{kind}"), 1)
    produce(kafka.bootstrap, name, OLD)
    set_begin(kafka, name)
    app, seen = App(group=name), list[str]()

    @app.topic(name, partitions={0: [0]} if kind == "direct" else None)
    def handle(batch: Batch) -> None:
        seen.extend((message.value() or b"").decode() for message in batch)

    told = {**PROTOCOLS.get(kind, QUICK), "auto.offset.reset": reset}
    with Node(app, settings(kafka.bootstrap, kafka=told)):
        await_committed(kafka, name, name, {0: OLD})
        _, old_id = committed_with(kafka, name)
        make_anew(kafka, name, messages=new)
        there = {str(1_000 + number) for number in range(new)}
        eventually(lambda: there <= set(seen), within_s=30.0, describe="all is handled")
        eventually(lambda: log("topic_made_anew", name), describe="it is said")
        (line,) = log("topic_made_anew", name)
        new_id = line.partition(" is=")[2].partition(" ")[0]
        eventually(
            lambda: committed_with(kafka, name) == (new, new_id),
            within_s=30.0,
            describe="it is committed",
        )
        assert old_id not in {None, new_id}
        assert f"was={old_id} is={new_id}" in line


def set_begin(kafka: KafkaBroker, name: str, *, metadata: str = "") -> None:
    """Commit 0 in partition 0, as somebody who knows of no ids."""
    writer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name})
    try:
        at = TopicPartition(name, 0, 0, metadata)
        writer.commit(offsets=[at], asynchronous=False)
    finally:
        writer.close()


def deaf(question: Question) -> None:
    """Answer nothing."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_gets_the_partition_next_knows_of_which_log_its_offset_is(
    kafka: KafkaBroker, protocol: str
) -> None:
    """The first node has worked on in the new log, and ends before it has noticed."""
    name = kafka.create_topic(unique("next"), 1)
    app, seen = App(group=name), list[str]()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        seen.extend((message.value() or b"").decode() for message in batch)

    node = settings(kafka.bootstrap, kafka=PROTOCOLS[protocol], static=False)
    produce(kafka.bootstrap, name, OLD)
    with Node(app, node) as first:
        await_committed(kafka, name, name, {0: OLD})
        _, old_id = committed_with(kafka, name)
        # As if the last look was just over.
        first.consumers[0]._asker.ask = deaf  # type: ignore[method-assign]
        make_anew(kafka, name, messages=NEW)
    # What such a node leaves, if it was quick enough: Kafka has let go of the offset,
    # and it was committed once more.
    writer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name})
    metadata = topic_ids.metadata_of(old_id)
    writer.commit(offsets=[TopicPartition(name, 0, 40, metadata)], asynchronous=False)
    writer.close()
    seen.clear()
    with Node(app, node):
        eventually(lambda: len(set(seen)) >= NEW, within_s=30.0, describe="all")
    assert set(seen) == {str(1_000 + number) for number in range(NEW)}


@pytest.mark.usefixtures("looks_often")
def test_what_is_in_flight_of_the_old_log_is_not_committed_in_the_new_one(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Its batch ends first; then the new log is begun, in order."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("flight"), 1)
    app, seen, gate = App(group=name), Seen(), threading.Event()

    @app.topic(name, max_messages=5)
    def handle(batch: Batch) -> None:
        if batch[0].offset() == 5 and not gate.is_set():
            assert gate.wait(30.0)
        seen(batch)

    with Node(app, settings(kafka.bootstrap)):
        produce(kafka.bootstrap, name, OLD)
        eventually(lambda: seen.offsets[-1:] == [(0, 4)], describe="it is in flight")
        make_anew(kafka, name, messages=3)
        eventually(
            lambda: log("topic_made_anew", name) or log("partitions_revoked", name),
            within_s=20.0,
            describe="it is noticed",
        )
        assert kafka.committed(name, name).get(0, 0) <= 5
        gate.set()
        await_committed(kafka, name, name, {0: 3}, within_s=30.0)
    assert [offset for _, offset in seen.offsets][-3:] == [0, 1, 2]


@pytest.mark.parametrize("metadata", ["", "a note of somebody's"])
def test_an_offset_with_nobodys_id_is_believed(
    kafka: KafkaBroker, metadata: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A node of an earlier version has left it, or a tool: its id is learnt."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("believed"), 1)
    produce(kafka.bootstrap, name, 4)
    writer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name})
    writer.commit(offsets=[TopicPartition(name, 0, 3, metadata)], asynchronous=False)
    writer.close()
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap)):
        await_committed(kafka, name, name, {0: 4})
        eventually(lambda: committed_with(kafka, name)[1], describe="it has an id")
    assert seen.offsets == [(0, 3)]
    assert log("topic_made_anew", name) == []


def test_a_broker_that_leaves_no_room_for_ids_takes_offsets(
    own_kafka: Callable[..., KafkaBroker], caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, and all goes on as before."""
    log = lines_of(caplog)
    kafka = own_kafka(config={"offset.metadata.max.bytes": "10"})
    name = kafka.create_topic(unique("room"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap)):
        for count in (5, 10):
            produce(kafka.bootstrap, name, 5, first=count)
            await_committed(kafka, name, name, {0: count}, within_s=20.0)
    (line,) = log("kafka_trouble ", name)
    assert "about=topic_ids" in line
    assert "offset.metadata.max.bytes" in line
    assert seen.duplicates == 0


@pytest.mark.parametrize(
    "case",
    [
        Case(how="running", protocol="cooperative", away_s=3.0, old="short"),
        Case(how="restart", protocol="eager", away_s=0.5, old="short"),
        Case(how="move", protocol="consumer", away_s=0.5, old="short"),
        Case(
            how="down", protocol="cooperative", away_s=0.5, old="long", reset="latest",
            ends_by=signal.SIGKILL,
        ),
    ],
    ids=str,
)  # fmt: skip
def test_nothing_is_lost(kafka: KafkaBroker, case: Case, tmp_path: Path) -> None:
    """With real processes, and a producer that goes on all the while."""
    play(kafka, case, tmp_path)
