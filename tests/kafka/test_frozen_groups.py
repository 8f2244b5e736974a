"""A group that is frozen in one join state, and those that only seem to be."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from swarm_worker.app.app import App
from tests.awaits import (
    await_committed,
    await_new_pid,
    await_reports,
    await_restarted,
    await_seconds,
)
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import Node, Seen, produce, settings, unique
from tests.kafka.supervised import deadly_swarm
from tests.kafka.test_rebalances import OWN, partitions_of, sleeper
from tests.process.scenes import name_of

STABILITY_MS = 3_000


@pytest.mark.process
def test_node_of_a_frozen_group_is_restarted(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """A member never rejoins: status 4. When it does, the group is as ever."""
    name = kafka.create_topic(unique("frozen-group"), 2)
    produce(kafka.bootstrap, name, 5)
    # Kafka waits for the sleeper for as long as its session lasts.
    own = {**OWN, "session.timeout.ms": 45_000}
    with sleeper(kafka, name, tmp_path, own=own) as sleeping:
        await_committed(kafka, name, name, {0: 5}, within_s=20.0)
        os.kill(sleeping.pid, signal.SIGSTOP)
        limits = {"stability_ttl": STABILITY_MS}
        with deadly_swarm(kafka, name, nodes=1, own=own, limits=limits) as swarm:
            await_reports(swarm, 1)
            pid = swarm.pid(0)
            await_new_pid(swarm.daemon, name_of(0), than=pid, within_s=25.0)
            os.kill(sleeping.pid, signal.SIGCONT)
            await_restarted(swarm, 0, than=pid)  # over as soon as the group lets it in
            record = swarm.records()[0]
            assert (record["status"], record["node"]) == (4, name_of(0))
            assert record["reason"].startswith("stability_ttl: ")
            assert record["recovered_at"]
            for partition in range(2):
                produce(kafka.bootstrap, name, 5, partition=partition, first=5)
            expected = {0: 10, 1: 5}
            await_committed(kafka, name, name, expected, within_s=20.0)


def test_rebalance_that_makes_progress_is_not_frozen(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """One member after the other joins, each is waited for: longer than the limit."""
    name = kafka.create_topic(unique("progress"), 4)
    app = App(group=name)
    app.topic(name)(Seen())
    ages_ms: list[int | None] = []
    ended = threading.Event()

    with sleeper(kafka, name, tmp_path) as sleeping, ExitStack() as nodes:
        node = nodes.enter_context(
            Node(app, settings(kafka.bootstrap, kafka=OWN, node=1, nodes=9))
        )
        partitions_of(node)

        def watch() -> None:
            while not ended.wait(0.05):
                ages_ms.append(node.snapshot.unsteady_ms)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for number in range(2, 5):
                os.kill(sleeping.pid, signal.SIGSTOP)
                told = settings(kafka.bootstrap, kafka=OWN, node=number, nodes=9)
                nodes.enter_context(Node(app, told))
                await_seconds(STABILITY_MS / 2000)
                os.kill(sleeping.pid, signal.SIGCONT)
                eventually(
                    lambda: (node.snapshot.unsteady_ms or 0) < STABILITY_MS / 3,
                    every_s=0.02,
                    describe="the rebalance goes on",
                )
        finally:
            ended.set()
            watcher.join()
    unsteady = [age for age in ages_ms if age is not None]
    assert 0.05 * len(unsteady) > STABILITY_MS / 1000, "unsteady for longer in all"
    assert max(unsteady) < STABILITY_MS
