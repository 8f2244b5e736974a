"""A node that its group does not let in does no work: it says so, and why."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer

from swarm_worker.app.app import App
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
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
from tests.kafka.supervised import deadly_swarm
from tests.process.scenes import name_of, supervisorctl

# Meant as seconds, as some clients have it.
IN_SECONDS = {**QUICK, "session.timeout.ms": 45, "heartbeat.interval.ms": 15}


@contextmanager
def foreign_member(kafka: KafkaBroker, group: str, topic: str) -> Iterator[None]:
    """Have a member in the group that knows of no strategy but ``range``."""
    client = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": group,
            "partition.assignment.strategy": "range",
        }
    )
    joined, stop = threading.Event(), threading.Event()
    client.subscribe([topic], on_assign=lambda *_: joined.set())

    def poll() -> None:
        while not stop.is_set():
            client.poll(0.1)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        assert joined.wait(20.0), "the foreign member is in"
        yield
    finally:
        stop.set()
        thread.join()
        client.close()


def node_of(kafka: KafkaBroker, name: str, own: dict[str, Any], **more: Any) -> Node:
    """Make a node whose group and topic have one name."""
    app = App(group=name)
    app.topic(name)(Seen())
    return Node(app, settings(kafka.bootstrap, kafka=own, **more))


@pytest.mark.parametrize("case", ["strategy", "session"])
def test_refused_join_is_no_membership(
    kafka: KafkaBroker, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Polls go on, and nothing else: the report has the reason, and rule 4 an age."""
    log = lines_of(caplog)
    name = kafka.create_topic(unique("refused"), 1)
    own = dict(PROTOCOLS["cooperative"]) if case == "strategy" else IN_SECONDS
    words = {"strategy": "Inconsistent group protocol", "session": "session timeout"}
    with ExitStack() as stack:
        if case == "strategy":
            stack.enter_context(foreign_member(kafka, name, name))
        node = stack.enter_context(node_of(kafka, name, own))
        eventually(
            lambda: words[case] in node.snapshot.not_joined, describe="the reason"
        )
        eventually(
            lambda: (node.snapshot.unsteady_ms or 0) > 4_000,
            within_s=30.0,
            describe="an age that begins anew with no try",
        )
        assert node.snapshot.not_joined.startswith(f"group {name}: JoinGroup failed")
        (line,) = log("kafka_trouble ", name)
        assert "about=join" in line


def test_member_that_is_let_in_after_all(kafka: KafkaBroker) -> None:
    """When the foreign member is gone nothing is left of it."""
    name = kafka.create_topic(unique("let-in"), 1)
    produce(kafka.bootstrap, name, 5)
    with ExitStack() as stack:
        with foreign_member(kafka, name, name):
            own = dict(PROTOCOLS["cooperative"])
            node = stack.enter_context(node_of(kafka, name, own))
            eventually(lambda: "JoinGroup" in node.snapshot.not_joined, describe="out")
        await_committed(kafka, name, name, {0: 5}, within_s=20.0)
        eventually(
            lambda: (node.snapshot.not_joined, node.snapshot.unsteady_ms) == ("", None),
            describe="let in",
        )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_member_without_partitions_is_let_in(kafka: KafkaBroker, protocol: str) -> None:
    """Of more nodes than partitions each is well, also the one that holds nothing."""
    name = kafka.create_topic(unique("spare"), 1)
    own = dict(PROTOCOLS[protocol])
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(node_of(kafka, name, own, node=number, nodes=3))
            for number in range(3)
        ]
        eventually(
            lambda: [node.snapshot.not_joined for node in nodes] == [""] * 3,
            within_s=30.0,
            describe="all are let in",
        )
        eventually(
            lambda: sum(node.snapshot.assigned for node in nodes) == 1,
            within_s=30.0,
            describe="one has the partition",
        )


@pytest.mark.parametrize("assigned", ["eager", "consumer", "directly"])
def test_topic_that_does_not_exist_yet_is_waited_for(
    kafka: KafkaBroker, assigned: str
) -> None:
    """The reason names it, no rule counts; once it is there the node works."""
    name = unique("later")
    app, seen = App(group=name), Seen()
    partitions = {0: [0]} if assigned == "directly" else None
    app.topic(name, partitions=partitions)(seen)
    own = PROTOCOLS["eager" if assigned == "directly" else assigned]
    with Node(app, settings(kafka.bootstrap, kafka=own, nodes=1)) as node:
        eventually(
            lambda: name in node.snapshot.not_joined.partition(": ")[2],
            describe="the topic is named",
        )
        polls = node.monitor.polls
        eventually(
            lambda: node.monitor.polls > polls + 70,
            within_s=30.0,
            describe="more polls than fit into the seconds of a settled member",
        )
        assert name in node.snapshot.not_joined.partition(": ")[2]
        assert node.snapshot.unsteady_ms is None
        kafka.create_topic(name, 1)
        produce(kafka.bootstrap, name, 5)
        seen.await_count(5, within_s=60.0)
        eventually(lambda: node.snapshot.not_joined == "", describe="let in")


@pytest.mark.process
def test_status_tells_of_a_node_that_is_not_let_in(kafka: KafkaBroker) -> None:
    """Booting, with Kafka's reason, and no exit 0; in the end rule 4 restarts it."""
    name = kafka.create_topic(unique("out"), 1)
    limits = {"stability_ttl": 6_000}
    with deadly_swarm(kafka, name, nodes=1, own=IN_SECONDS, limits=limits) as swarm:
        told = eventually(
            lambda: (
                status
                if "JoinGroup" in (status := supervisorctl(swarm, "swarm", "status"))
                else None
            ),
            within_s=20.0,
            describe="the status has the reason",
        )
        assert "1 booting" in told
        assert "session.timeout.ms" in told
        intent = eventually(
            lambda: swarm.intents().get(name_of(0)),
            within_s=20.0,
            describe="it is restarted",
        )
        assert intent["record"]["status"] == 4
        assert "Invalid session timeout" in intent["record"]["reason"]
