"""While a group rebalances Kafka takes no commits; on real Kafka."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.processing.commits import COMMIT_WITHIN_S
from tests.awaits import await_committed, await_seconds
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
from tests.supervisord import ROOT

OWN = PROTOCOLS["cooperative"]


def test_stop_during_a_rebalance_commits_what_was_done(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Kafka takes no commit until a sleeping member has rejoined, then none of before.

    A member that has asked to join gets no answer, also to its commits, before all have
    asked. The first answer is that the commit is of a generation that is over.
    """
    name = kafka.create_topic(unique("between"), 4)
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with sleeper(kafka, name, tmp_path) as sleeping:
        stopping = Node(app, settings(kafka.bootstrap, kafka=OWN, node=1)).start()
        try:
            mine = partitions_of(stopping)
            os.kill(sleeping.pid, signal.SIGSTOP)
            with Node(app, settings(kafka.bootstrap, kafka=OWN, node=2)):
                eventually(
                    lambda: stopping.snapshot.unsteady_ms is not None,
                    describe="the rebalance has begun",
                )
                for partition in mine:
                    produce(kafka.bootstrap, name, 10, partition=partition)
                seen.await_count(20)
                stop = threading.Thread(target=stopping.stop)
                stop.start()
                await_seconds(1.0)  # it asks for its commit before that is possible
                os.kill(sleeping.pid, signal.SIGCONT)
                stop.join()
                await_committed(kafka, name, name, dict.fromkeys(mine, 10))
            assert seen.duplicates == 0
        finally:
            stopping.stop()


def test_handlers_wait_while_no_commit_is_taken(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """What a KILL in a long rebalance repeats is a second's work, and nothing stalls.

    With data at hand the whole time. When the rebalance is over all goes on, once.
    """
    name = kafka.create_topic(unique("owing"), 4)
    app, done_at_s = App(group=name), dict[tuple[int, int], float]()
    repeated, never = list[tuple[int, int]](), threading.Event()

    @app.topic(name, max_messages=1)
    def handle(batch: Batch) -> None:
        never.wait(0.002)
        place = batch.partition, batch[0].offset() or 0
        if place in done_at_s:
            repeated.append(place)
        done_at_s[place] = time.monotonic()

    with sleeper(kafka, name, tmp_path) as sleeping:
        told = settings(kafka.bootstrap, kafka=OWN, node=1, concurrency=2)
        with Node(app, told) as node:
            mine = partitions_of(node)
            for partition in mine:
                produce(kafka.bootstrap, name, 2_000, partition=partition)
            os.kill(sleeping.pid, signal.SIGSTOP)
            newcomer = settings(kafka.bootstrap, kafka=OWN, node=2)
            with Node(app, newcomer):
                eventually(
                    lambda: (node.snapshot.unsteady_ms or 0) > 3_000,
                    every_s=0.1,
                    describe="the rebalance takes 3 s",
                )
                committed = kafka.committed(name, name)
                at_stake = {
                    partition: [
                        at_s
                        for (p, offset), at_s in list(done_at_s.items())
                        if p == partition and offset >= committed.get(partition, 0)
                    ]
                    for partition in mine
                }
                assert node.snapshot.stalled == ()
                os.kill(sleeping.pid, signal.SIGCONT)
                expected = dict.fromkeys(mine, 2_000)
                await_committed(kafka, name, name, expected, within_s=30.0)
    for moments_s in at_stake.values():
        assert len(moments_s) > 100, "it had a second's work at hand"
        assert max(moments_s) - min(moments_s) < COMMIT_WITHIN_S + 0.2
    assert repeated == []


@pytest.mark.parametrize("protocol", ["cooperative", "consumer"])
def test_other_partitions_go_on_while_one_that_must_go_ends_its_batch(
    kafka: KafkaBroker, protocol: str
) -> None:
    """Their work is committed in the middle of the revoke, so they need not wait.

    Partitions 0 and 3 have a batch that takes long, and the newcomer gets one of them.
    """
    name = kafka.create_topic(unique(f"going-{protocol}"), 4)
    app, others, gate = App(group=name), App(group=name), threading.Event()
    done, own = Counter[int](), PROTOCOLS[protocol]
    others.topic(name)(Seen())

    @app.topic(name, max_messages=1)
    def handle(batch: Batch) -> None:
        gate.wait(20.0 if batch.partition in (0, 3) else 0.005)
        done[batch.partition] += 1

    for partition in range(4):
        produce(kafka.bootstrap, name, 2_000, partition=partition)
    told = settings(kafka.bootstrap, kafka=own, concurrency=4)
    with Node(app, told) as node:
        eventually(lambda: len(done) == 2, describe="it has begun")
        with Node(others, settings(kafka.bootstrap, kafka=own, node=1)):
            eventually(
                lambda: (node.snapshot.poll_age_ms or 0) > 1_500,
                within_s=20.0,
                describe="it waits in its revoke for longer than work may wait",
            )
            before = max(done[1], done[2])
            eventually(
                lambda: max(kafka.committed(name, name).values()) > before + 200,
                within_s=5.0,
                every_s=0.1,
                describe="another partition goes on, and is committed",
            )
            assert (node.snapshot.poll_age_ms or 0) > 1_500, "in the same revoke"
            gate.set()
            await_committed(
                kafka, name, name, dict.fromkeys(range(4), 2_000), within_s=30.0
            )


@contextmanager
def sleeper(
    kafka: KafkaBroker, name: str, folder: Path, *, own: Mapping[str, Any] = OWN
) -> Iterator[subprocess.Popen[bytes]]:
    """Run node 0 of a group in a process of its own, to be put to sleep."""
    program = [sys.executable, "-m", "tests.kafka.lone_node", kafka.bootstrap, name]
    arguments = [str(folder / "offsets"), "10", "0", json.dumps(dict(own))]
    with subprocess.Popen([*program, *arguments], cwd=ROOT) as process:
        try:
            yield process
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()


def partitions_of(node: Node) -> list[int]:
    """Return what a node holds when it has half of four partitions."""
    node.await_assigned(2)
    return [lane.partition for lane in node.consumers[0].group.lanes.table.all()]
