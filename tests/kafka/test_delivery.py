"""What is handled and what is committed, on real Kafka."""

import signal
import threading
from pathlib import Path

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.lone_node import lone_node
from tests.kafka.nodes import (
    QUICK,
    Gate,
    Node,
    Seen,
    produce,
    settings,
    unique,
)


def test_graceful_stop_repeats_nothing(kafka: KafkaBroker) -> None:
    """A node that is stopped in full work and started again repeats no message."""
    name = kafka.create_topic(unique("graceful"), 3)
    app, seen, never = App(group=name), Seen(), threading.Event()
    batch_takes_s = [0.3]  # longer than a poll: one is in flight when the end begins

    @app.topic(name, max_messages=10)
    def handle(batch: Batch) -> None:
        seen(batch)
        never.wait(batch_takes_s[0])

    for partition in range(3):
        produce(kafka.bootstrap, name, 3000, partition=partition)
    with Node(app, settings(kafka.bootstrap)):
        seen.await_count(50)
    stopped_at = len(seen.offsets)
    assert stopped_at < 9000, "stopped before it was through"
    assert sum(kafka.committed(name, name).values()) == stopped_at

    batch_takes_s[0] = 0.0
    with Node(app, settings(kafka.bootstrap)):
        seen.await_count(9000)
    assert seen.duplicates == 0
    assert kafka.committed(name, name) == {0: 3000, 1: 3000, 2: 3000}


def test_commits_follow_handlers(kafka: KafkaBroker) -> None:
    """What is done is committed while the node runs; what is in flight is not."""
    name = kafka.create_topic(unique("commits"), 2)
    app, gate, seen = App(group=name), Gate(), Seen()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        (gate if batch.partition else seen)(batch)

    produce(kafka.bootstrap, name, 5, partition=0)
    produce(kafka.bootstrap, name, 5, partition=1)
    with Node(app, settings(kafka.bootstrap, concurrency=2)):
        gate.await_entered()
        await_committed(kafka, name, name, {0: 5})
        gate.open.set()
        await_committed(kafka, name, name, {0: 5, 1: 5})


def test_order_within_each_partition(kafka: KafkaBroker) -> None:
    """Each partition's messages come in order, one batch at a time, none left out."""
    name = kafka.create_topic(unique("order"), 4)
    app, seen = App(group=name), Seen()
    busy: set[int] = set()
    overlaps: list[int] = []

    @app.topic(name, max_messages=7)
    def handle(batch: Batch) -> None:
        overlaps.extend({batch.partition} & busy)
        busy.add(batch.partition)
        seen(batch)
        busy.discard(batch.partition)

    for partition in range(4):
        produce(kafka.bootstrap, name, 2000, partition=partition)
    with Node(app, settings(kafka.bootstrap, concurrency=4)):
        seen.await_count(8000)
    for partition in range(4):
        of_partition = [o for p, o in seen.offsets if p == partition]
        assert of_partition == list(range(2000))
    assert overlaps == []


def test_lone_messages_pass_busy_partitions(kafka: KafkaBroker) -> None:
    """A lone message waits neither for a fuller batch nor behind busy partitions."""
    name = kafka.create_topic(unique("lone"), 3)
    app, gate, seen = App(group=name), Gate(), Seen()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        (gate if batch.partition else seen)(batch)

    with Node(app, settings(kafka.bootstrap, concurrency=3)):
        for partition in (1, 2):
            produce(kafka.bootstrap, name, 20_000, partition=partition)
        gate.await_entered(2)
        for number in range(20):
            produce(kafka.bootstrap, name, 1, first=number)
            seen.await_count(number + 1)
        assert [size for _, _, size in seen.batches] == [1] * 20
        assert gate.left == []
        gate.open.set()


def test_slow_partition_does_not_hold_up_another(kafka: KafkaBroker) -> None:
    """While a partition's handler hangs with a large backlog, another is worked off."""
    name = kafka.create_topic(unique("slow"), 2)
    app, gate, seen = App(group=name), Gate(), Seen()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        (gate if batch.partition else seen)(batch)

    produce(kafka.bootstrap, name, 30_000, partition=1)
    with Node(app, settings(kafka.bootstrap, concurrency=2)):
        gate.await_entered()
        produce(kafka.bootstrap, name, 30_000, partition=0)
        seen.await_count(30_000)
        assert gate.left == []
        gate.open.set()
        await_committed(kafka, name, name, {0: 30_000, 1: 30_000})


def test_killed_node_repeats_at_most_what_was_in_flight(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """After KILL nothing is lost; repeated is a batch in flight and a second's work."""
    name = kafka.create_topic(unique("killed"), 1)
    produce(kafka.bootstrap, name, 400)
    handled = tmp_path / "handled"
    node = lone_node(kafka, name, handled, batch=10, batch_takes_s=0.05)
    try:
        eventually(lambda: len(offsets_in(handled)) >= 150, describe="150 handled")
    finally:
        node.send_signal(signal.SIGKILL)
        node.wait(10.0)
    before = offsets_in(handled)
    committed = kafka.committed(name, name).get(0, 0)
    assert committed <= len(set(before)), "never past what was handled"
    # 20 batches a second: a second's work, the batch in flight, and the poll's share.
    assert len(set(before)) - committed <= 10 * 20 + 10

    node = lone_node(kafka, name, handled, batch=10, batch_takes_s=0.0)
    try:
        await_committed(kafka, name, name, {0: 400}, within_s=30.0)
    finally:
        node.terminate()
        assert node.wait(20.0) == 0
    after = offsets_in(handled)
    assert set(after) == set(range(400)), "nothing lost"
    assert len(after) - len(set(after)) <= len(before) - committed + 10


def test_marks_bound_what_a_kill_repeats(kafka: KafkaBroker) -> None:
    """Messages marked done in a batch that is still in flight are committed."""
    name = kafka.create_topic(unique("marks"), 1)
    app = App(group=name)
    marked, go = Gate(), Gate()

    @app.topic(name)
    def handle(batch: Batch) -> None:
        for message in batch:
            if message.offset() == 3:
                marked.entered.append((0, 3))
                go(batch)
            batch.mark_done(message)

    produce(kafka.bootstrap, name, 5)
    with Node(app, settings(kafka.bootstrap)):
        await_committed(kafka, name, name, {0: 3})
        go.open.set()
        await_committed(kafka, name, name, {0: 5})


def test_frozen_node_comes_back_without_its_partition(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """A node that sleeps past its session stores nothing of what it then finishes."""
    name = kafka.create_topic(unique("lost"), 1)
    produce(kafka.bootstrap, name, 10)
    short = {"session.timeout.ms": 1_500}
    handled = tmp_path / "handled"
    frozen = lone_node(kafka, name, handled, batch=3, batch_takes_s=0.5, own=short)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    try:
        eventually(lambda: offsets_in(handled), describe="it is at work")
        frozen.send_signal(signal.SIGSTOP)
        with Node(app, settings(kafka.bootstrap, kafka={**QUICK, **short}, node=1)):
            await_committed(kafka, name, name, {0: 10}, within_s=20.0)
            before = len(offsets_in(handled))
            frozen.send_signal(signal.SIGCONT)
            eventually(
                lambda: len(offsets_in(handled)) > before,
                describe="it finishes the batch that it had",
            )
            produce(kafka.bootstrap, name, 1, first=10)
            await_committed(kafka, name, name, {0: 11})
    finally:
        frozen.send_signal(signal.SIGCONT)
        frozen.terminate()
        assert frozen.wait(20.0) == 0
    assert kafka.committed(name, name) == {0: 11}, "also after its close"
    assert set(seen.offsets) | {(0, o) for o in offsets_in(handled)} == {
        (0, o) for o in range(11)
    }


def offsets_in(handled: Path) -> list[int]:
    """Offsets that nodes have appended, in the order of handling."""
    return (
        [int(line) for line in handled.read_text().split()] if handled.exists() else []
    )
