"""More and fewer nodes while they work: ``swarm scale`` on real Kafka."""

from __future__ import annotations

import pytest

from tests.awaits import await_committed, await_reports
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import PROTOCOLS, produce, unique
from tests.kafka.supervised import deadly_swarm, handled
from tests.process.scenes import ctl, pids
from tests.process.swarms import Swarm

NODES = 4
PARTITIONS = 4


def scale(swarm: Swarm, *words: str) -> tuple[int, str]:
    """Run the command; return its exit status and the last line."""
    done = ctl(swarm, "swarm", "scale", "w", *words)
    return done.returncode, done.stdout.splitlines()[-1]


def await_shared_out(swarm: Swarm) -> None:
    """Wait until somebody holds each partition."""
    eventually(
        lambda: swarm.status()["scale"]["w"]["partitions"] == PARTITIONS,
        within_s=30.0,
        describe=f"{PARTITIONS} partitions held",
    )


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_others_take_over_at_once_and_give_back(kafka: KafkaBroker, kind: str) -> None:
    """Each message is handled once, whoever has its partition; those that stay stay."""
    name = kafka.create_topic(unique(f"scale-{kind}"), PARTITIONS)
    with deadly_swarm(kafka, name, nodes=NODES, own=PROTOCOLS[kind]) as swarm:
        await_reports(swarm, NODES)
        await_shared_out(swarm)
        stay = {node: pid for node, pid in pids(swarm, NODES).items() if node < 2}

        for round_, (number, line) in enumerate(
            (
                ("2", "w: 2 of 4 nodes run, partitions: 4"),
                ("+2", "w: 4 of 4 nodes run, partitions: 4"),
                ("-1", "w: 3 of 4 nodes run, partitions: 4"),
            )
        ):
            for partition in range(PARTITIONS):
                first = round_ * 5
                produce(kafka.bootstrap, name, 5, partition=partition, first=first)
            assert scale(swarm, number) == (0, line)
            done = dict.fromkeys(range(PARTITIONS), (round_ + 1) * 5)
            await_committed(kafka, name, name, done, within_s=30.0)

        assert stay.items() <= pids(swarm, NODES).items()
        assert len(handled(swarm)) == len(set(handled(swarm))) == 15 * PARTITIONS
        assert swarm.records() == []
        assert swarm.deaths() == []
