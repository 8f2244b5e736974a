"""A group that rebalances while a topic is away, whose members do not see it missing.

Their partitions are paused, so that nothing comes of them: a client that asks for
messages of a topic that is gone is told so, looks, and joins anew by itself.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from swarm_worker.app.app import App
from swarm_worker.kafka.closing import leave_group
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    PROTOCOLS,
    SESSION_MS,
    Gate,
    Node,
    Seen,
    lines_of,
    produce,
    settings,
    unique,
)

OLD, NEW = 5, 30


def quiet_nodes(kafka: KafkaBroker, name: str, nodes: list[Node], seen: Seen) -> None:
    """Wait until all is handled and committed of a topic, and nothing more is asked."""
    for partition in range(2):
        produce(kafka.bootstrap, name, OLD, partition=partition)
    seen.await_count(2 * OLD)
    await_committed(kafka, name, name, {0: OLD, 1: OLD})
    for node in nodes:
        node.consumers[0].quiet()
    lanes = [
        lane for node in nodes for lane in node.consumers[0].group.lanes.table.all()
    ]
    assert len(lanes) == 2
    eventually(lambda: all(lane.paused for lane in lanes), describe="all is paused")


def comes_back(kafka: KafkaBroker, name: str, nodes: list[Node], seen: Seen) -> None:
    """Make the topic anew; wait until all that is in it is handled and committed."""
    kafka.create_topic(name, 2)
    seen.offsets.clear()
    for partition in range(2):
        produce(kafka.bootstrap, name, NEW, partition=partition)
    for node in nodes:
        node.consumers[0].resume()
    seen.await_count(2 * NEW, within_s=40.0)
    await_committed(kafka, name, name, {0: NEW, 1: NEW}, within_s=20.0)
    assert seen.duplicates == 0


def members_of(admin: AdminClient, group: str) -> list[Any]:
    """Return the members that a group has."""
    asked = admin.describe_consumer_groups([group], request_timeout=10.0)
    return list(asked[group].result(10.0).members)


def test_one_of_the_nodes_has_the_group_rebalance_again(
    kafka: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """By leaving, as static members else do not; the others see that it has.

    The topic goes while nodes wait for one that is slow to join: they hold nothing.
    """
    log = lines_of(caplog)
    name = kafka.create_topic(unique("unshared"), 2)
    beside = kafka.create_topic(unique("beside"), 2)
    app, others, seen, gate = App(group=name), App(group=name), Seen(), Gate()
    app.topic(name)(seen)
    others.topic(beside)(gate)
    with ExitStack() as stack:

        def start(told: App, number: int) -> Node:
            node = Node(told, settings(kafka.bootstrap, node=number))
            return stack.enter_context(node)

        nodes = [start(app, 0).await_assigned(2), start(app, 1).await_assigned(1)]
        slow = start(others, 2).await_assigned(2)
        quiet_nodes(kafka, name, nodes, seen)
        produce(kafka.bootstrap, beside, 1)
        gate.await_entered()
        newcomer = start(others, 3)
        for node in nodes:
            node.await_assigned(0)
        before = len(log("partitions_assigned", " count=0 "))
        kafka.delete_topic(name)
        gate.open.set()
        for node in (slow, newcomer):
            node.await_assigned(1)
        eventually(
            lambda: len(log("partitions_assigned", " count=0 ")) == before + 2,
            describe="nodes were told that nothing is theirs",
        )
        comes_back(kafka, name, nodes, seen)
    assert len(log("client_replaced", name)) == 1
    assert log("group_not_left") == []


@pytest.mark.parametrize(
    ("protocol", "why_not"), [("eager", "no answer"), ("cooperative", None)]
)
def test_a_lone_node_that_has_lost_its_session_meanwhile_joins_anew_once_more(
    kafka: KafkaBroker,
    protocol: str,
    why_not: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It comes to its group without partitions: in a cooperative group it kept them.

    Where it cannot leave, that is said; it goes on all the same, here by its close.
    """
    log, admin = lines_of(caplog), AdminClient({"bootstrap.servers": kafka.bootstrap})
    name = kafka.create_topic(unique(f"lost-{protocol}"), 2)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    own = {**PROTOCOLS[protocol], "max.poll.interval.ms": SESSION_MS}
    with Node(app, settings(kafka.bootstrap, kafka=own, static=False)) as node:
        quiet_nodes(kafka, name, [node], seen)
        goes_on = threading.Event()
        try:
            with monkeypatch.context() as patch:
                patch.setattr(node.monitor, "polled", lambda: goes_on.wait(60.0))
                eventually(
                    lambda: not members_of(admin, name),
                    within_s=20.0,
                    describe="it has left: nobody has polled",
                )
                kafka.delete_topic(name)
        finally:
            goes_on.set()
        if why_not is not None:
            monkeypatch.setattr(leave_group, "leave", lambda *_, **__: why_not)
        eventually(
            lambda: log("partitions_assigned", " count=0 "),
            within_s=20.0,
            describe="it was told that nothing is its",
        )
        comes_back(kafka, name, [node], seen)
    assert len(log("client_replaced", name)) == 1
    told = log("group_not_left", "nobody may have the topic")
    assert len(told) == (why_not is not None)
