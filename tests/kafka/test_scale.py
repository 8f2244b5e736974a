"""More or fewer nodes, by an order, on real Kafka and under load: nothing repeats."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient

from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import (
    CLASSIC,
    KIP_848,
    PARTITIONS,
    SESSION_MS,
    KafkaSwarm,
    supervised,
)
from tests.process.orders import order

pytestmark = pytest.mark.process

MOST: Final = 6
EAGER: Final = {**CLASSIC, "partition.assignment.strategy": "range"}
PROTOCOLS: Final = {"eager": EAGER, "classic": CLASSIC, "consumer": KIP_848}
# SCALE_ORDERS=50 for a long look.
ORDERS: Final = int(os.environ.get("SCALE_ORDERS", "8"))
# Batches of up to 0.8 s: a node that is to leave has some in flight.
PER_S: Final = 240
SLEEP_MS: Final = 16


@contextmanager
def of_most(kafka: KafkaBroker, *, run: int, **options: Any) -> Iterator[KafkaSwarm]:
    """Run so many nodes of those that there may be, and wait until they work."""
    with supervised(
        kafka,
        nodes=MOST,
        max_messages=50,
        sleep_ms=SLEEP_MS,
        prepare=lambda folder: order(folder, run),
        **options,
    ) as swarm:
        await_scaled(swarm, run)
        yield swarm


def states(swarm: KafkaSwarm) -> list[tuple[str, int]]:
    """Return state and exit code of each node; the code of what runs is left out."""
    known = {info.name: info for info in swarm.swarm.daemon.rpc.processes()}
    nodes = [known[swarm.name(node)] for node in range(MOST)]
    return [(one.state, one.exit_code * (one.state == "EXITED")) for one in nodes]


def await_scaled(swarm: KafkaSwarm, run: int) -> None:
    """Wait until so many run and share all partitions, and the others are spares."""
    as_ordered = [("RUNNING", 0)] * run + [("EXITED", 6)] * (MOST - run)

    def is_scaled() -> bool:
        held = [swarm.holds(node) or 0 for node in range(run)]
        return (
            states(swarm) == as_ordered
            and sum(held) == PARTITIONS
            and max(held) - min(held) <= 1
        )

    eventually(is_scaled, within_s=60.0, describe=f"{run} of {MOST} nodes work")


def scale(swarm: KafkaSwarm, run: int) -> None:
    """Give an order as an operator may: the file, then a start of who is missing."""
    known = enumerate(states(swarm))
    down = [swarm.name(node) for node, (state, _) in known if state == "EXITED"]
    order(swarm.swarm.daemon.folder, run)
    if missing := down[: max(0, run - (MOST - len(down)))]:
        swarm.supervisorctl("start", *missing)


def members(swarm: KafkaSwarm) -> set[str]:
    """Return the static ids of the group's members, as the broker tells them."""
    group = swarm.ledger.group
    admin = AdminClient({"bootstrap.servers": swarm.kafka.bootstrap})
    told = admin.describe_consumer_groups([group])[group].result(10.0)
    return {member.group_instance_id for member in told.members}


def ids_of(members: set[str]) -> list[int]:
    """Return the ids of nodes, which end their static ids."""
    return sorted(int(member.rpartition("-")[2]) for member in members)


@pytest.mark.timeout(120 + 10 * ORDERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_orders_up_and_down_lose_and_repeat_nothing(
    kafka: KafkaBroker, protocol: str
) -> None:
    """The group has those members that are to run, after each order."""
    chance = random.Random(ORDERS)
    with of_most(kafka, run=4, properties=PROTOCOLS[protocol]) as swarm:
        assert ids_of(members(swarm)) == [0, 1, 2, 3]
        assert "partitions_" not in swarm.log(4) + swarm.log(5)
        run = 4
        with swarm.ledger.sampling(), swarm.ledger.producing(per_s=PER_S):
            for _ in range(ORDERS):
                run = chance.choice([n for n in range(1, MOST + 1) if n != run])
                scale(swarm, run)
                await_scaled(swarm, run)
                assert ids_of(members(swarm)) == list(range(run))
        swarm.ledger.await_done()
        verdict = swarm.ledger.verdict()
        assert verdict.faults() == {}, str(verdict)
        assert verdict.duplicates == []
        assert swarm.lives.overlaps == []
        assert swarm.swarm.deaths() == []
        # The listener starts whom `supervisorctl` has not started within 3 s.
        assert {record["pid"] for record in swarm.swarm.records()} <= {None}


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_node_that_is_killed_as_it_leaves_stays_away(
    kafka: KafkaBroker, protocol: str
) -> None:
    """supervisord starts it, and it is a spare: others have its work after a session.

    No more than the batch that it had in hand is repeated in a partition.
    """
    own = PROTOCOLS[protocol]
    with of_most(kafka, run=6, properties=own, session_ms=SESSION_MS) as swarm:
        with swarm.ledger.sampling(), swarm.ledger.producing(per_s=PER_S):
            swarm.await_work(5)
            pid = swarm.swarm.pid(5)
            order(swarm.swarm.daemon.folder, 5)
            eventually(
                lambda: "node_stopping" in swarm.log(5), describe="it is leaving"
            )
            os.kill(pid, signal.SIGKILL)
            await_scaled(swarm, 5)
        assert swarm.log(5).count("node_started") == 1
        swarm.ledger.await_done()
        verdict = swarm.ledger.verdict()
        assert verdict.faults() == {}, str(verdict)
        assert {one.earlier.pid for one in verdict.duplicates} <= {pid}
        assert swarm.lives.overlaps == []
