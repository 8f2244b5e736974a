"""Topics and partitions as they are, or are not (yet); on real Kafka."""

import threading

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka.client import making
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    MODERN,
    PROTOCOLS,
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

BY_HAND = {**QUICK, "topic.metadata.refresh.interval.ms": 1_000}


def test_direct_assignment(kafka: KafkaBroker) -> None:
    """A node gets exactly its partitions, commits under the group, goes on there."""
    name = kafka.create_topic(unique("direct"), 4)
    app, seen = App(group=name), Seen()
    app.topic(name, partitions={0: [0, 2], 1: [1]})(seen)
    for partition in range(4):
        produce(kafka.bootstrap, name, 10, partition=partition)
    with Node(app, settings(kafka.bootstrap, node=0)) as node:
        seen.await_count(20)
        assert node.snapshot.assigned == 2
        await_committed(kafka, name, name, {0: 10, 2: 10})
        assert node.snapshot.unsteady_ms is None
        produce(kafka.bootstrap, name, 5)
        seen.await_count(25)
    assert kafka.committed(name, name) == {0: 15, 2: 10}, "also by close"
    with Node(app, settings(kafka.bootstrap, node=0)):
        produce(kafka.bootstrap, name, 1)
        seen.await_count(26)
    assert seen.duplicates == 0
    assert {p for p, _ in seen.offsets} == {0, 2}


def test_partition_beyond_the_topic_is_refused(kafka: KafkaBroker) -> None:
    """Exit 78, naming handler, partition and topic."""
    name = kafka.create_topic(unique("beyond"), 2)
    app = App(group=name)
    app.topic(name, partitions={0: [1, 2]})(Seen())
    with Node(app, settings(kafka.bootstrap)) as node:
        eventually(lambda: node.failures, describe="the node is told")
        assert node.failures[0].exit_code == 78
        assert f"partition 2 of topic {name}, which has 2" in str(node.failures[0])


@pytest.mark.parametrize("kind", ["eager", "consumer", "direct"])
def test_missing_topic_is_waited_for(
    kafka: KafkaBroker, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says that it is missing; when it appears it is consumed."""
    log = lines_of(caplog)
    name = unique(f"missing-{kind}")
    app, seen = App(group=name), Seen()
    app.topic(name, partitions={0: [0]} if kind == "direct" else None)(seen)
    told = {**PROTOCOLS.get(kind, QUICK), "topic.metadata.refresh.interval.ms": 500}
    with Node(app, settings(kafka.bootstrap, kafka=told)) as node:
        eventually(lambda: log("kafka_trouble ", name), describe="it is said")
        eventually(lambda: node.snapshot.brokers_up, describe="statistics came")
        assert node.snapshot.unsteady_ms is None
        kafka.create_topic(name, 1)
        produce(kafka.bootstrap, name, 1)
        await_committed(kafka, name, name, {0: 1}, within_s=20.0)
        assert node.failures == []
        if kind == "consumer":
            eventually(lambda: log("kafka_trouble_over", name), describe="it is over")
        assert (
            len(log("kafka_trouble ", name))
            == len(log("kafka_trouble_over", name))
            == 1
        )
        assert name in log("kafka_trouble ", name)[0]


def test_added_partitions_are_consumed(kafka: KafkaBroker) -> None:
    """Also by nodes that were there before; nothing of them is left out."""
    name = kafka.create_topic(unique("added"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap, kafka=BY_HAND)) as node:
        node.await_assigned(1)
        kafka.add_partitions(name, 3)
        for partition in range(3):
            produce(kafka.bootstrap, name, 2, partition=partition)
        await_committed(kafka, name, name, {0: 2, 1: 2, 2: 2}, within_s=20.0)
    assert seen.duplicates == 0


def test_recreated_topic_is_consumed_again(kafka: KafkaBroker) -> None:
    """A topic that is deleted and created again neither ends nor blocks a node."""
    name = kafka.create_topic(unique("recreated"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap, kafka=BY_HAND)) as node:
        produce(kafka.bootstrap, name, 5)
        await_committed(kafka, name, name, {0: 5})
        kafka.delete_topic(name)
        node.await_assigned(0)
        kafka.create_topic(name, 1)
        produce(kafka.bootstrap, name, 3)
        await_committed(kafka, name, name, {0: 3}, within_s=30.0)
        assert node.failures == []
    assert seen.offsets == [(0, o) for o in [0, 1, 2, 3, 4, 0, 1, 2]]


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_log_that_begins_anew_is_committed_from_its_begin(
    kafka: KafkaBroker, protocol: str
) -> None:
    """Without a rebalance, as when librdkafka resets an offset that is gone.

    A restart would else skip what the new log has below the offset of the old one.
    """
    name = kafka.create_topic(unique(f"reset-{protocol}"), 1)
    app, seen, third = App(group=name), list[int](), threading.Event()

    @app.topic(name, max_messages=1)
    def handle(batch: Batch) -> None:
        seen.append(batch[0].offset() or 0)
        if seen[20:] == [0, 1, 2, 3]:
            third.wait(20.0)

    told = settings(kafka.bootstrap, kafka=PROTOCOLS[protocol])
    with Node(app, told):
        produce(kafka.bootstrap, name, 20)
        await_committed(kafka, name, name, {0: 20})
        on_poll_thread(lambda client: client.seek(TopicPartition(name, 0, 0)))
        await_committed(kafka, name, name, {0: 3}, within_s=5.0)
        third.set()
        await_committed(kafka, name, name, {0: 20})
    assert seen == [*range(20), *range(20)]


@pytest.mark.parametrize("protocol", ["eager", "consumer"])
def test_offset_out_of_range_never_jumps(
    kafka: KafkaBroker, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With auto.offset.reset=error the partition stands, is told of, is no stall."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique(f"range-{protocol}"), 2)
    commit(kafka, name, {0: 100, 1: 0})
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    for partition in range(2):
        produce(kafka.bootstrap, name, 5, partition=partition)
    told = {**PROTOCOLS[protocol], "auto.offset.reset": "error"}
    with Node(app, settings(kafka.bootstrap, kafka=told)) as node:
        await_committed(kafka, name, name, {0: 100, 1: 5})
        eventually(lambda: node.snapshot.stalled, describe="the report names it")
        assert node.snapshot.stalled == (f"{name}/0",)
        assert node.snapshot.stalled_ms is None, "no restart would help"
        (line,) = log("kafka_trouble ", name)
        assert f"{name}/0: offset 100 is not on the broker" in line
        assert "reset-offsets" in line
        assert node.failures == []
    assert kafka.committed(name, name) == {0: 100, 1: 5}


def test_no_committed_offset_is_told(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a committed offset and without auto.offset.reset nothing is guessed."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("never"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    produce(kafka.bootstrap, name, 5)
    told = {name: value for name, value in QUICK.items() if "reset" not in name}
    with Node(app, settings(kafka.bootstrap, kafka=told)):
        eventually(lambda: log("kafka_trouble ", name), describe="it is said")
        (line,) = log("kafka_trouble ", name)
        assert "has no committed offset" in line
        assert "set [kafka] auto.offset.reset" in line
    assert seen.offsets == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_quiet_node_begins_nothing_and_stays(
    kafka: KafkaBroker, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in flight ends and is committed; polls go on; resume takes up work."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique(f"quiet-{protocol}"), 2)
    app, gate = App(group=name), Gate()
    app.topic(name, max_messages=2)(gate)
    produce(kafka.bootstrap, name, 6)
    told = {**PROTOCOLS[protocol], "max.poll.interval.ms": 6_000}
    with Node(app, settings(kafka.bootstrap, kafka=told)) as node:
        gate.await_entered()
        node.consumers[0].quiet()
        gate.open.set()
        await_committed(kafka, name, name, {0: 2})
        produce(kafka.bootstrap, name, 10, partition=1)
        polled_s = node.monitor.polls
        eventually(
            lambda: node.monitor.polls > polled_s + 10,
            describe="polls go on",
        )
        assert gate.entered == [(0, 0)]
        assert node.snapshot.stalled == ()
        node.consumers[0].resume()
        await_committed(kafka, name, name, {0: 6, 1: 10})
        assert log("partitions_revoked", name) == []


def test_quiet_node_stops(kafka: KafkaBroker) -> None:
    """TERM after TSTP: no handler call in between, also of what was fetched before."""
    name = kafka.create_topic(unique("quiet-stop"), 1)
    app, gate = App(group=name), Gate()
    app.topic(name, max_messages=2)(gate)
    produce(kafka.bootstrap, name, 6)
    with Node(app, settings(kafka.bootstrap, kafka=MODERN)) as node:
        gate.await_entered()
        node.consumers[0].quiet()
        produce(kafka.bootstrap, name, 3, first=6)
        gate.open.set()
        await_committed(kafka, name, name, {0: 2})
    assert gate.entered == [(0, 0)]
    assert kafka.committed(name, name) == {0: 2}


def test_quiet_node_blocks_in_no_poll(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can wake a poll: a stop that follows would wait for the end of one."""
    patiences: list[float] = []

    class Noting(Consumer):
        def poll(self, timeout: float = -1.0) -> Message | None:
            patiences.append(timeout)
            return super().poll(timeout)

    monkeypatch.setattr(making, "Consumer", Noting)
    name = kafka.create_topic(unique("quiet-poll"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with Node(app, settings(kafka.bootstrap)) as node:
        node.await_assigned(1)
        assert any(patiences), "a node at work waits for messages"
        node.consumers[0].quiet()
        first = len(patiences) + 1  # one may be under way
        eventually(lambda: len(patiences) > first + 5, describe="polls go on")
        assert not any(patiences[first:])
        node.consumers[0].resume()
        eventually(lambda: patiences[-1] > 0, describe="it waits for messages again")


def test_groups_of_one_node_are_apart(kafka: KafkaBroker) -> None:
    """Each group reads all of a topic; the report is about both."""
    name = kafka.create_topic(unique("groups"), 2)
    app, one, two = App(), Seen(), Seen()
    app.topic(name, group=f"{name}-1")(one)
    app.topic(name, group=f"{name}-2")(two)
    produce(kafka.bootstrap, name, 10)
    with Node(app, settings(kafka.bootstrap, concurrency=2)) as node:
        for group in (f"{name}-1", f"{name}-2"):
            await_committed(kafka, group, name, {0: 10})
        assert node.snapshot.assigned == 4
        assert node.snapshot.messages == 20
    assert one.offsets == two.offsets == [(0, o) for o in range(10)]


def test_report_is_about_the_group_that_is_worst_off(kafka: KafkaBroker) -> None:
    """Ages are those of the group that hangs, counters and lag the sum of both."""
    name = kafka.create_topic(unique("worst"), 1)
    app, hangs, works, wedge = App(), Gate(), Seen(), Gate()
    app.topic(name, group=f"{name}-1")(works)
    app.topic(name, group=f"{name}-2")(hangs)
    with Node(app, settings(kafka.bootstrap, concurrency=2)) as node:
        node.await_assigned(2)
        produce(kafka.bootstrap, name, 10)
        hangs.await_entered()
        for number in range(10, 20):
            produce(kafka.bootstrap, name, 1, first=number)
            works.await_count(number + 1)
        eventually(
            lambda: (node.snapshot.consume_age_ms or 0) > 1_000,
            describe="the batch of one group ages",
        )
        eventually(lambda: node.snapshot.lag == 20, describe="a lag of one group")
        snapshot = node.snapshot
        assert snapshot.in_flight == (f"{name}/0@{hangs.entered[0][1]}",)
        assert snapshot.messages == 20
        assert (snapshot.poll_age_ms or 0) < 1_000

        node.monitor.polled = lambda: wedge.open.wait(20.0)  # type: ignore[method-assign,assignment]
        produce(kafka.bootstrap, name, 1, first=20)
        polls = node.consumers[1].group.monitor.polls
        eventually(
            lambda: (node.snapshot.poll_age_ms or 0) > 1_000,
            describe="the polls of one group age",
        )
        assert node.consumers[1].group.monitor.polls > polls, "the other polls"
        wedge.open.set()
        hangs.open.set()


def commit(kafka: KafkaBroker, name: str, offsets: dict[int, int]) -> None:
    """Commit offsets for a group that has no members."""
    client = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name})
    client.commit(
        offsets=[TopicPartition(name, p, o) for p, o in offsets.items()],
        asynchronous=False,
    )
    client.close()
