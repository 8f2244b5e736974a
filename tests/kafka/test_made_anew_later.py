"""A topic that is made anew after its broker was away: its leaders count from 0 again.

With each outage of a broker the epoch of its partitions' leaders rises. librdkafka
takes a lower one for outdated, also that of another topic of the same name (issue
4898), and would fetch nothing of it. One broker for all: it is killed once, before any
node starts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path

import pytest

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka import topic_ids
from swarm_worker.kafka.monitoring import partitions as of_partitions
from swarm_worker.kafka.topics import topic_changes
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.conftest import watched
from tests.kafka.nodes import PROTOCOLS, QUICK, Node, lines_of, produce, settings
from tests.kafka.test_stalls import snapshots

OLD, NEW = 20, 60
KINDS = (*PROTOCOLS, "direct")
OTHERS = ("two", "beside", "named", "gone")  # topics of single tests


@pytest.fixture(scope="module")
def old_kafka(
    kafka_home: Callable[[], Path], pytestconfig: pytest.Config
) -> Iterator[KafkaBroker]:
    """A broker that was killed and started since its topics were made."""
    with watched(KafkaBroker(kafka_home()), pytestconfig) as broker:
        for name in (*KINDS, *OTHERS):
            broker.create_topic(name, 1)
        broker.kill()
        broker.start()
        yield broker


@pytest.fixture(autouse=True)
def asks_at_leisure(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is by default, or later: what the client is not told is reason to ask."""
    monkeypatch.setattr(topic_ids, "ASK_EVERY_S", 120.0)


class Epochs:
    """A handler that remembers values, and the epochs of the leaders they are of."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.epochs: list[int | None] = []

    def __call__(self, batch: Batch) -> None:
        """Remember."""
        self.values += [(message.value() or b"").decode() for message in batch]
        self.epochs += [message.leader_epoch() for message in batch]


def make_anew(kafka: KafkaBroker, name: str) -> set[str]:
    """Delete a topic, create it again and produce; give what is in it."""
    kafka.delete_topic(name)
    kafka.create_topic(name, 1)
    produce(kafka.bootstrap, name, NEW, first=1_000)
    return {str(1_000 + number) for number in range(NEW)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_node_goes_on_with_the_new_topic(
    old_kafka: KafkaBroker, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With another client, which has known no other; it is said."""
    log = lines_of(caplog)
    app, seen = App(group=kind), Epochs()
    app.topic(kind, partitions={0: [0]} if kind == "direct" else None)(seen)
    produce(old_kafka.bootstrap, kind, OLD)
    with Node(app, settings(old_kafka.bootstrap, kafka=PROTOCOLS.get(kind, QUICK))):
        await_committed(old_kafka, kind, kind, {0: OLD})
        assert min(epoch or 0 for epoch in seen.epochs) > 0, "the broker was away"
        there = make_anew(old_kafka, kind)
        eventually(
            lambda: there <= set(seen.values), within_s=40.0, describe="all is handled"
        )
        await_committed(old_kafka, kind, kind, {0: NEW}, within_s=30.0)
    assert seen.epochs[-1] == 0, "its leaders count anew"
    assert len(log("client_replaced", kind)) == 1
    assert len(seen.values) == OLD + NEW


def test_what_is_in_flight_of_another_topic_ends_and_is_committed_first(
    old_kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The other client gets nothing of it twice, nor beside it."""
    log = lines_of(caplog)
    app, seen, gate = App(group="two"), Epochs(), threading.Event()
    beside: list[int | None] = []
    app.topic("two")(seen)

    @app.topic("beside", max_messages=1)
    def wait(batch: Batch) -> None:
        beside.append(batch[0].offset())
        assert gate.wait(60.0)

    with Node(app, settings(old_kafka.bootstrap, concurrency=2)):
        for name in ("two", "beside"):
            produce(old_kafka.bootstrap, name, OLD)
        await_committed(old_kafka, "two", "two", {0: OLD})
        eventually(lambda: beside, describe="a batch is in flight")
        there = make_anew(old_kafka, "two")
        eventually(
            lambda: log("client_replaced", "two"), within_s=40.0, describe="it is said"
        )
        assert len(log("partitions_assigned", "two")) == 1, "it is waited for"
        assert not there & set(seen.values)
        gate.set()
        await_committed(old_kafka, "two", "beside", {0: OLD}, within_s=30.0)
        eventually(lambda: there <= set(seen.values), within_s=30.0, describe="all")
    assert beside == list(range(OLD))


def test_partition_of_which_nothing_is_told_is_named(
    old_kafka: KafkaBroker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the reason: here one that another client would mend."""
    monkeypatch.setattr(topic_changes, "OUTDATED_S", inf)
    monkeypatch.setattr(of_partitions, "NO_ANSWER_S", 1.0)
    log = lines_of(caplog)
    app, seen = App(group="named"), Epochs()
    app.topic("named")(seen)
    produce(old_kafka.bootstrap, "named", OLD)
    with Node(app, settings(old_kafka.bootstrap)) as node:
        await_committed(old_kafka, "named", "named", {0: OLD})
        make_anew(old_kafka, "named")
        eventually(
            lambda: (node.snapshot.stalled_ms or 0) > 2_000,
            within_s=40.0,
            describe="the report says so",
        )
        assert node.snapshot.stalled == ("named/0",)
        assert len(log("kafka_trouble ", "about=fetch")) == 1
    assert len(seen.values) == OLD


def test_topic_that_is_gone_is_no_stall(old_kafka: KafkaBroker) -> None:
    """Nothing is told of it either, and no restart brings it back."""
    app, seen = App(group="gone"), Epochs()
    app.topic("gone")(seen)
    produce(old_kafka.bootstrap, "gone", OLD)
    with Node(app, settings(old_kafka.bootstrap)) as node:
        await_committed(old_kafka, "gone", "gone", {0: OLD})
        old_kafka.delete_topic("gone")
        stalls = node.monitor.partitions.stalls
        eventually(
            lambda: "gone" not in stalls.there, within_s=30.0, describe="it is known"
        )
        assert [s.stalled_ms for s in snapshots(node, count=9)][1:] == [None] * 8
