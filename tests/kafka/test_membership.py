"""Assignments come and go: batches in flight, static ids, fencing; on real Kafka."""

import dataclasses
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarm_worker.app.app import App
from swarm_worker.kafka.closing import leave_group
from tests.awaits import await_committed, await_seconds
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.lone_node import lone_node
from tests.kafka.nodes import (
    PROTOCOLS,
    Gate,
    Log,
    Node,
    Seen,
    lines_of,
    produce,
    settings,
    unique,
)

PARTITIONS = 4
# Long enough that a test which waits for its end fails.
LONG_SESSION = {
    kind: {"session.timeout.ms": 45_000} for kind in ("eager", "cooperative")
}


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    """Each way in which a group hands out partitions."""
    return str(request.param)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """Return the lines of an event that nodes of this process have logged."""
    return lines_of(caplog)


def test_revoke_waits_for_the_batch_in_flight(
    kafka: KafkaBroker, protocol: str
) -> None:
    """Nodes that join get a partition once its batch is over; nothing is repeated."""
    name = kafka.create_topic(unique(f"revoke-{protocol}"), PARTITIONS)
    app, gate, others = App(group=name), Gate(), App(group=name)
    seen = Seen()
    app.topic(name)(gate)
    others.topic(name)(seen)
    for partition in range(PARTITIONS):
        produce(kafka.bootstrap, name, 3, partition=partition)
    told = [
        settings(kafka.bootstrap, kafka=PROTOCOLS[protocol], node=node, concurrency=4)
        for node in (0, 1)
    ]
    with Node(app, told[0]) as first:
        gate.await_entered(PARTITIONS)
        with Node(others, told[1]) as second:
            # The first one is asked to give some up, and waits.
            eventually(
                lambda: (first.snapshot.poll_age_ms or 0) > 500,
                within_s=20.0,
                describe="the first node waits in its revoke",
            )
            gate.open.set()
            second.await_assigned(PARTITIONS // 2)
            expected = dict.fromkeys(range(PARTITIONS), 3)
            await_committed(kafka, name, name, expected)
            produce(kafka.bootstrap, name, 1, partition=0, first=3)
            produce(kafka.bootstrap, name, 1, partition=3, first=3)
            await_committed(kafka, name, name, {**expected, 0: 4, 3: 4})
    assert len(gate.left) - PARTITIONS + len(seen.offsets) == 2


def test_batch_that_outlives_the_revoke_is_not_stored(kafka: KafkaBroker) -> None:
    """A revoke does not wait for ever; what comes too late counts for nothing.

    The partition comes back to the node while the old batch is still in its handler:
    the new one begins only after that.
    """
    name = kafka.create_topic(unique("late"), 2)
    app, gate = App(group=name), Gate()
    app.topic(name)(gate)
    others = App(group=name)
    others.topic(name)(Seen())
    for partition in range(2):
        produce(kafka.bootstrap, name, 3, partition=partition)
    told = [
        settings(kafka.bootstrap, node=n, concurrency=4, shutdown_timeout_s=1.0)
        for n in (0, 1)
    ]
    with Node(app, told[0]) as first:
        gate.await_entered(2)
        with Node(
            others,
            told[1],
        ) as second:
            second.await_assigned(1)
            first.await_assigned(1)
            # The other works its partition off, the first is still at its old batch.
            eventually(
                lambda: list(kafka.committed(name, name).values()) == [3],
                describe="the node that joined has committed",
            )
            assert len(gate.entered) == 2, "the old batches are not over"
        gate.open.set()
        expected = {0: 3, 1: 3}
        await_committed(kafka, name, name, expected)


def test_batch_longer_than_the_poll_interval_keeps_its_partition(
    kafka: KafkaBroker, protocol: str, log: Log
) -> None:
    """Three times max.poll.interval.ms: no rebalance, handled and committed once."""
    name = kafka.create_topic(unique(f"long-{protocol}"), 1)
    app, gate = App(group=name), Gate()
    app.topic(name)(gate)
    interval = {"max.poll.interval.ms": 1_500}
    if protocol != "consumer":
        interval |= {"session.timeout.ms": 1_500}
    produce(kafka.bootstrap, name, 1)
    told = settings(kafka.bootstrap, kafka={**PROTOCOLS[protocol], **interval})
    with Node(app, told) as node:
        gate.await_entered()
        eventually(
            lambda: (node.snapshot.consume_age_ms or 0) > 3 * 1_500,
            describe="the batch takes three poll intervals",
        )
        assert (node.snapshot.poll_age_ms or 0) < 1_500
        gate.open.set()
        await_committed(kafka, name, name, {0: 1})
        assert gate.entered == [(0, 0)]
        assert log("partitions_revoked", name) == log("partitions_lost", name) == []


def test_static_restart_revokes_nothing_of_others(
    kafka: KafkaBroker, protocol: str, log: Log
) -> None:
    """A node stopped and started five times within the session disturbs nobody."""
    name = kafka.create_topic(unique(f"static-{protocol}"), PARTITIONS)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    told = [
        settings(kafka.bootstrap, kafka=PROTOCOLS[protocol], node=n) for n in (0, 1)
    ]
    with Node(app, told[0]) as stays:
        restarted = Node(app, told[1]).start()
        restarted.await_assigned(PARTITIONS // 2)
        stays.await_assigned(PARTITIONS // 2)
        assigned = len(log("partitions_assigned", name))
        revoked = len(log("partitions_revoked", name))
        for count in range(1, 6):
            restarted.stop()
            restarted = Node(app, told[1]).start()
            restarted.await_assigned(PARTITIONS // 2)
            for partition in range(PARTITIONS):
                produce(kafka.bootstrap, name, 1, partition=partition, first=count)
            seen.await_count(count * PARTITIONS)
        # Five closes and five joins of one node, nothing of the other.
        assert len(log("partitions_assigned", name)) == assigned + 5
        assert len(log("partitions_revoked", name)) == revoked + 5
        restarted.stop()
    assert seen.duplicates == 0


def test_second_holder_of_an_id_fences_the_first(kafka: KafkaBroker) -> None:
    """Classic protocol: the later process works on, the earlier one fails with 5."""
    name = kafka.create_topic(unique("fenced"), 1)
    app, gate, seen = App(group=name), Gate(), Seen()
    app.topic(name)(gate)
    later = App(group=name)
    later.topic(name)(seen)
    produce(kafka.bootstrap, name, 3)
    told = settings(kafka.bootstrap)
    with Node(app, told) as first:
        gate.await_entered()
        with Node(later, told) as second:
            eventually(lambda: first.failures, describe="the first is fenced")
            assert first.failures[0].exit_code == 5
            assert f"instance id test-{name}-0" in str(first.failures[0])
            assert first.consumers[0].alive, "the node ends it, not its own death"
            gate.open.set()
            first.stop()
            seen.await_count(3)
            produce(kafka.bootstrap, name, 1, first=3)
            await_committed(kafka, name, name, {0: 4})
            assert second.failures == []
            assert len(first.failures) == 1, "no fight"


@pytest.mark.timeout(120)
def test_join_that_a_broker_has_forgotten_is_made_again(
    own_kafka: Callable[..., KafkaBroker], tmp_path: Path, log: Log
) -> None:
    """Killed in a rebalance, Kafka comes back with the id's last process, and fences.

    All have joined, and the leader, which is frozen, has not shared out: of this Kafka
    has nothing on its disk. The node would have exited with 5, for good.
    """
    kafka = own_kafka()
    name = kafka.create_topic(unique("forgotten"), PARTITIONS)
    app, gate, others, seen = App(group=name), Gate(), App(group=name), Seen()
    app.topic(name)(gate)
    others.topic(name)(seen)
    told = [settings(kafka.bootstrap, node=node) for node in range(4)]
    before, after = Node(others, told[2]), Node(others, told[2])
    with leading(kafka, name, tmp_path / "0") as leader, Node(app, told[1]), before:
        before.await_assigned(1)
        for partition in range(PARTITIONS):
            produce(kafka.bootstrap, name, 1, partition=partition)
        gate.await_entered()
        with Node(others, told[3]):  # a rebalance, which waits for the gate
            await_line(kafka, f"Created a new member id test-{name}-3")
            before.stop()
            with after:
                await_line(kafka, f"groupInstanceId=test-{name}-2 and unknown")
                await_seconds(2.0)  # the leader joins, of which Kafka logs nothing
                leader.send_signal(signal.SIGSTOP)
                gate.open.set()
                await_line(kafka, f"Stabilized group {name}", count=3)
                kafka.kill()
                kafka.start()
                leader.send_signal(signal.SIGCONT)
                done = dict.fromkeys(range(PARTITIONS), 1)
                await_committed(kafka, name, name, done, within_s=60)
                after.await_assigned(1)
                assert after.failures == []
                assert log("fenced_by_own_session", name)


@contextmanager
def leading(
    kafka: KafkaBroker, name: str, handled: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run node 0 in a process of its own: the first of its group, so its leader."""
    leader = lone_node(kafka, name, handled, batch=1, batch_takes_s=0)
    try:
        await_line(kafka, f"Stabilized group {name} generation 1 with 1 members")
        yield leader
    finally:
        leader.send_signal(signal.SIGCONT)
        leader.terminate()
        assert leader.wait(20.0) == 0


def await_line(kafka: KafkaBroker, text: str, *, count: int = 1) -> None:
    """Wait until Kafka has logged a text so often."""
    eventually(
        lambda: kafka.log_tail(lines=2_000).count(text) >= count,
        within_s=30,
        describe=text,
    )


def test_node_that_leaves_for_good_hands_over_at_once(
    kafka: KafkaBroker, protocol: str, log: Log
) -> None:
    """Not after its session of 45 s, and it takes nothing that it would not commit."""
    name = kafka.create_topic(unique(f"leaves-{protocol}"), 2)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    own = {**PROTOCOLS[protocol], **LONG_SESSION.get(protocol, {})}
    told = [settings(kafka.bootstrap, kafka=own, node=n) for n in (0, 1)]
    with Node(app, told[0]) as stays:
        leaves = Node(app, told[1]).start()
        leaves.await_assigned(1)
        stays.await_assigned(1)
        for partition in range(2):
            produce(kafka.bootstrap, name, 10, partition=partition)
        seen.await_count(20)
        leaves.stop(leave=True)
        for partition in range(2):
            produce(kafka.bootstrap, name, 10, partition=partition, first=10)
        stays.await_assigned(2)
        seen.await_count(40)
        assert log("group_left", name)
        # Started again it is a member like any other.
        with Node(app, told[1]) as again:
            again.await_assigned(1)
            stays.await_assigned(1)
            for partition in range(2):
                produce(kafka.bootstrap, name, 10, partition=partition, first=20)
            seen.await_count(60)
    assert seen.duplicates == 0
    assert kafka.committed(name, name) == {0: 30, 1: 30}


def test_all_may_leave_for_good(kafka: KafkaBroker, protocol: str, log: Log) -> None:
    """Together, the last one too; who comes then goes on where they ended."""
    name = kafka.create_topic(unique(f"all-leave-{protocol}"), 2)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    own = {**PROTOCOLS[protocol], **LONG_SESSION.get(protocol, {})}
    # One more than there are partitions.
    nodes = [
        Node(app, settings(kafka.bootstrap, kafka=own, node=n)).start()
        for n in (0, 1, 2)
    ]
    for partition in range(2):
        produce(kafka.bootstrap, name, 10, partition=partition)
    seen.await_count(20)
    eventually(
        lambda: sorted(node.snapshot.assigned for node in nodes) == [0, 1, 1],
        describe="all have joined",
    )
    for node in nodes:
        node.consumers[0].stop(leave=True)
    for node in nodes:
        node.stop(leave=True)
    assert len(log("group_left", name)) == 3
    assert log("group_not_left", name) == []
    with Node(app, settings(kafka.bootstrap, kafka=own, node=9, nodes=10)) as new:
        new.await_assigned(2)
        for partition in range(2):
            produce(kafka.bootstrap, name, 10, partition=partition, first=10)
        seen.await_count(40)
    assert seen.duplicates == 0


def test_leaving_where_the_broker_does_not_let(
    own_kafka: Callable[..., KafkaBroker], log: Log
) -> None:
    """Consumer protocol, migration off: one warning with the gap, and a normal end."""
    kafka = own_kafka(config={"group.consumer.migration.policy": "disabled"})
    name = kafka.create_topic(unique("cannot-leave"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    told = settings(kafka.bootstrap, kafka=PROTOCOLS["consumer"])
    produce(kafka.bootstrap, name, 5)
    node = Node(app, told).start()
    seen.await_count(5)
    node.stop(leave=True)
    (warning,) = log("group_not_left", name)
    assert "migration.policy is disabled" in warning
    assert "until its session ends" in warning
    assert kafka.committed(name, name) == {0: 5}
    with Node(app, told) as again:
        produce(kafka.bootstrap, name, 5, first=5)
        seen.await_count(10)
        assert again.failures == []
    assert seen.duplicates == 0


def test_leaving_while_no_broker_answers(
    own_kafka: Callable[..., KafkaBroker], protocol: str, log: Log
) -> None:
    """It is tried, told, and holds nothing up for long."""
    kafka = own_kafka()
    name = kafka.create_topic(unique(f"frozen-leave-{protocol}"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    own = {**PROTOCOLS[protocol], **LONG_SESSION.get(protocol, {})}
    node = Node(app, settings(kafka.bootstrap, kafka=own, shutdown_timeout_s=4.0))
    node.start()
    produce(kafka.bootstrap, name, 5)
    seen.await_count(5)
    kafka.freeze()
    node.stop(leave=True)  # 20 s at the most; a commit that waits takes 60
    assert len(log("group_not_left", name)) == 1


def test_refused_node_waits_for_its_id(kafka: KafkaBroker, log: Log) -> None:
    """Consumer protocol: while the id is held the node boots, then it goes to work."""
    name = kafka.create_topic(unique("held"), 1)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    told = settings(kafka.bootstrap, kafka=PROTOCOLS["consumer"])
    holder = Node(app, told).start()
    eventually(holder.progress.has_joined, describe="the holder has joined")
    with Node(app, told) as waits:
        eventually(
            lambda: waits.progress.has_joined() or log("kafka_trouble", name),
            every_s=0.005,
            describe="the node says so",
        )
        assert log("kafka_trouble", name), "it is booting from the first moment"
        # Refused a few times, so that the wait spans more than one try.
        eventually(lambda: waits.monitor.member.refusals > 2, describe="it tries again")
        assert waits.snapshot.awaits_id
        assert not waits.progress.has_joined()
        assert waits.failures == holder.failures == []
        holder.stop()  # gives the id back
        eventually(waits.progress.has_joined, describe="the other has joined")
        waits.await_assigned(1)
        produce(kafka.bootstrap, name, 1)
        seen.await_count(1)
        assert len(log("kafka_trouble ", name)) == 1, "one line, not one for each try"
        assert len(log("instance_id_free", name)) == 1


def test_rebalance_storm_loses_and_stores_nothing_wrong(
    kafka: KafkaBroker, protocol: str
) -> None:
    """Nodes come and go under load: all is handled, nothing is skipped or undone."""
    name = kafka.create_topic(unique(f"storm-{protocol}"), PARTITIONS)
    app, seen = App(group=name), Seen()
    app.topic(name, max_messages=20)(seen)
    for partition in range(PARTITIONS):
        produce(kafka.bootstrap, name, 5_000, partition=partition)

    def told(node: int) -> Node:
        return Node(
            app,
            settings(
                kafka.bootstrap,
                kafka={**PROTOCOLS[protocol], "max.partition.fetch.bytes": 2_000},
                node=node, static=False,
            ),
        )  # fmt: skip

    nodes = [told(0).start()]
    for number in range(1, 4):
        seen.await_count(number * 1_000)
        nodes.append(told(number).start())
        nodes[-1].await_assigned(PARTITIONS // len(nodes))
    for node in nodes[:3]:
        node.stop()
    await_committed(
        kafka, name, name, dict.fromkeys(range(PARTITIONS), 5_000), within_s=60.0
    )
    nodes[3].stop()
    assert set(seen.offsets) == {
        (p, o) for p in range(PARTITIONS) for o in range(5_000)
    }
    assert seen.duplicates == 0


@pytest.mark.parametrize("classic", ["eager", "cooperative"])
def test_a_topic_that_an_app_has_given_up_is_no_end(
    kafka: KafkaBroker, classic: str, log: Log
) -> None:
    """Nor is it kept from others: to a static member Kafka gives back what it held."""
    kept, gone = (kafka.create_topic(unique(f"{s}-{classic}"), 2) for s in "kg")
    properties = {**PROTOCOLS[classic], **LONG_SESSION[classic]}
    told = settings(kafka.bootstrap, kafka=properties, node=0)
    old, new, others = App(group=kept), App(group=kept), App(group=kept)
    seen, theirs = Seen(), Seen()
    old.topic(kept, gone)(Seen())
    new.topic(kept)(seen)
    others.topic(gone)(theirs)
    with Node(old, told) as node:
        node.await_assigned(4)

    with Node(new, told) as node:
        node.await_assigned(2)
        with Node(others, dataclasses.replace(told, node=1)) as other:
            other.await_assigned(2)
            for topic in (kept, gone):
                produce(kafka.bootstrap, topic, 3, partition=0)
            seen.await_count(3)
            theirs.await_count(3)
    (line,) = log("assignment_outdated")
    assert gone in line


@pytest.mark.parametrize("classic", ["eager", "cooperative"])
def test_a_topic_that_an_app_has_taken_up_is_handled(
    kafka: KafkaBroker, classic: str, log: Log
) -> None:
    """Kafka gives a static member what it held; without more, it would be nobody's."""
    old_topic, topic = (kafka.create_topic(unique(f"{s}-{classic}"), 2) for s in "on")
    properties = {**PROTOCOLS[classic], **LONG_SESSION[classic]}
    told = settings(kafka.bootstrap, kafka=properties, node=0)
    old, new, seen = App(group=topic), App(group=topic), Seen()
    old.topic(old_topic)(Seen())
    new.topic(old_topic, topic)(seen)
    with Node(old, told) as node:
        node.await_assigned(2)

    with Node(new, told, before=frozenset({old_topic})) as node:
        node.await_assigned(4)
        produce(kafka.bootstrap, topic, 3, partition=0)
        seen.await_count(3)
    with Node(new, told, before=frozenset({old_topic, topic})) as node:
        node.await_assigned(4)
    (line,) = log("assignment_outdated")
    assert f"topics={topic} " in line


def test_a_leave_that_fails_is_tried_again(
    kafka: KafkaBroker, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next client would take what was shared out without the new topic."""
    old_topic, topic = (kafka.create_topic(unique(f"{s}-again"), 2) for s in "on")
    properties = {**PROTOCOLS["eager"], **LONG_SESSION["eager"]}
    told = settings(kafka.bootstrap, kafka=properties, node=0)
    old, new = App(group=topic), App(group=topic)
    old.topic(old_topic)(Seen())
    new.topic(old_topic, topic)(Seen())
    with Node(old, told) as node:
        node.await_assigned(2)
    leave, failures = leave_group.leave, iter(["the group did not answer in time"])
    monkeypatch.setattr(
        leave_group,
        "leave",
        lambda *args, **how: next(failures, None) or leave(*args, **how),
    )

    with Node(new, told, before=frozenset({old_topic})) as node:
        node.await_assigned(4)

    assert len(log("assignment_outdated")) == 2
