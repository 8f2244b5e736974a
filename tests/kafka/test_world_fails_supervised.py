"""Nodes that are killed and restarted in an outage of what their handler calls."""

from __future__ import annotations

import signal

import pytest

from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import NODES, PARTITIONS, KafkaSwarm, supervised
from tests.kafka.nodes import unique
from tests.process.scenes import ctl

pytestmark = pytest.mark.process

ALIKE = "all messages fail alike (ConnectionError)"
POISON = [(0, 12), (7, 12)]


@pytest.mark.timeout(240)
def test_an_outage_with_kills_and_restarts_makes_no_dead_letters(
    kafka: KafkaBroker,
) -> None:
    """One KILL of each node, and a restart; two bad messages are given up after it."""
    letters = kafka.create_topic(unique("letters"), 1)
    with supervised(
        kafka,
        app="tests.apps.ledger_failing:app",
        environ={
            "LEDGER_LETTERS": letters,
            "LEDGER_POISON": " ".join(f"{p}@{offset}" for p, offset in POISON),
        },
        sleep_ms=0,
    ) as swarm:
        swarm.await_settled()
        ledger, away = swarm.ledger, swarm.swarm.daemon.folder / "away"
        with ledger.sampling():
            ledger.produce(PARTITIONS * 10)
            ledger.await_done()
            away.touch()
            ledger.produce(PARTITIONS * 10)
            await_alike(swarm)
            for node in range(NODES):
                pid = swarm.signal(node, signal.SIGKILL)
                swarm.await_back(node, than=pid)
            swarm.supervisorctl("restart", swarm.name(0))
            await_alike(swarm)
            status = ctl(swarm.swarm, "swarm", "status")
            assert (status.returncode, f"fails: {ALIKE}, " in status.stdout) == (
                1,
                True,
            )
            assert kafka.end_offsets(letters) == {0: 0}
            away.unlink()
            ledger.await_committed(within_s=90.0)
        verdict = ledger.verdict(set_aside=tuple((ledger.topic, *p) for p in POISON))
        assert verdict.faults() == {}, str(verdict)
        assert {row["cause"] for row in swarm.swarm.records()} <= {"died", "exited"}
    assert kafka.end_offsets(letters) == {0: len(POISON)}


def await_alike(swarm: KafkaSwarm) -> None:
    """Wait until each partition of each node waits for the end of the outage."""

    def is_alike() -> bool:
        nodes = swarm.swarm.status().get("nodes", [])
        reports = [node["report"] for node in nodes if node["report"]]
        failing = [each for report in reports for each in report["failing"]]
        count = sum(report["failing_count"] for report in reports)
        return count == PARTITIONS and all(each["error"] == ALIKE for each in failing)

    eventually(is_alike, within_s=60.0, describe="all messages fail alike")
