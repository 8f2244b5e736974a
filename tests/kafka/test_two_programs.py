"""Two programs of a machine whose handlers share a group, on real Kafka."""

from __future__ import annotations

import os
import signal

import pytest

from tests.awaits import await_committed, await_new_pid
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import PROTOCOLS, produce, unique
from tests.kafka.supervised import COMMAND, deadly_swarm, handled
from tests.process.scenes import name_of, program_section, supervisorctl
from tests.process.swarms import Swarm

NODES = 2
OTHER = "v"


@pytest.mark.timeout(150)
@pytest.mark.parametrize("kind", PROTOCOLS)
def test_programs_that_share_a_group_share_its_partitions(
    kafka: KafkaBroker, kind: str
) -> None:
    """Nobody is fenced; a restart and a KILL of one throw the other's out no more."""
    topic = kafka.create_topic(unique(f"two-{kind}"), 2 * NODES)
    environment = f'DEADLY_TOPIC="{topic}",DEADLY_PATH="{{folder}}/handled"'
    second = program_section(
        OTHER, command=COMMAND, numprocs=str(NODES), environment=environment
    )
    with deadly_swarm(
        kafka,
        topic,
        nodes=NODES,
        own=PROTOCOLS[kind],
        limits={"groups": ["w", OTHER]},
        more=second,
    ) as swarm:
        names = [name_of(i, group=g) for g in ("w", OTHER) for i in range(NODES)]
        await_each_has_one(swarm, names)
        produce_each(kafka, topic, first=0)

        supervisorctl(swarm, "restart", names[2])
        killed = swarm.daemon.pid(names[0])
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await_new_pid(swarm.daemon, names[0], than=killed)
        await_each_has_one(swarm, names)
        produce_each(kafka, topic, first=5)

        assert {swarm.daemon.state(name) for name in names} == {"RUNNING"}
        assert {(row[0], row[1]) for row in handled(swarm)} == {
            (partition, offset)
            for partition in range(2 * NODES)
            for offset in range(10)
        }


def produce_each(kafka: KafkaBroker, topic: str, *, first: int) -> None:
    """Produce five messages to each partition, and wait until they are committed."""
    for partition in range(2 * NODES):
        produce(kafka.bootstrap, topic, 5, partition=partition, first=first)
    ends = dict.fromkeys(range(2 * NODES), first + 5)
    await_committed(kafka, topic, topic, ends, within_s=60.0)


def await_each_has_one(swarm: Swarm, names: list[str]) -> None:
    """Wait until each process that runs now tells of one partition."""

    def told() -> dict[str, tuple[int | None, int]]:
        reports = {n["node"]: n["report"] for n in swarm.status().get("nodes", ())}
        return {
            name: (report["pid"], report["assigned"])
            for name, report in reports.items()
            if report
        }

    eventually(
        lambda: told() == {name: (swarm.daemon.pid(name), 1) for name in names},
        within_s=60.0,
        describe="each process of both programs has a partition",
    )
