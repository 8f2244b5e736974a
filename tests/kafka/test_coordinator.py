"""The group's coordinator moves to another broker, under load; real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kafka.cluster import FIRST, SECOND, KafkaCluster
from tests.kafka.ledgered import NODES, KafkaSwarm, supervised

pytestmark = pytest.mark.process


@pytest.fixture
def cluster(kafka_home: Callable[[], Path]) -> Iterator[KafkaCluster]:
    """Two brokers."""
    with KafkaCluster(kafka_home()) as cluster:
        yield cluster


def test_coordinator_moves_under_load(cluster: KafkaCluster) -> None:
    """Its broker stopped, another elected, its broker killed: nobody notices.

    0 restarts, 0 lost, 0 repeated, no rebalance; two lines a move at most on average,
    where a broker goes: that it is away, and that it is back.
    """
    moves = [
        (cluster.second.stop, FIRST),
        (cluster.second.start, FIRST),
        (cluster.give_back, SECOND),
        (cluster.second.kill, FIRST),
    ]
    with supervised(cluster.first, max_messages=50) as swarm:
        swarm.await_settled()
        pids, let_go = swarm.pids(), [swarm.let_go(node) for node in range(NODES)]
        with swarm.ledger.producing(per_s=300):
            for move, coordinator in moves:
                move()
                cluster.await_coordinator(coordinator)
                swarm.await_work(*range(NODES))
        assert swarm.unharmed(pids).duplicates == []
        assert [swarm.let_go(node) for node in range(NODES)] == let_go
        for node in range(NODES):
            told = troubles(swarm, node)
            assert len(told) <= 2 * len(moves), "\n".join(told)


def troubles(swarm: KafkaSwarm, node: int) -> list[str]:
    """Return the lines of a node that are about Kafka."""
    return [line for line in swarm.log(node).splitlines() if "kafka_trouble" in line]
