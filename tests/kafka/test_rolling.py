"""Restarts in order and under load, on real Kafka: nobody notices, nothing repeats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import CLASSIC, KIP_848, NODES, KafkaSwarm, supervised
from tests.process import scenes

pytestmark = pytest.mark.process

# Two thirds of what the handlers manage, in batches of up to 0.8 s: a node that is told
# to stop has some in flight.
PER_S = 480
SLEEP_MS = 16
PROTOCOLS = {"classic": CLASSIC, "consumer": KIP_848}


@contextmanager
def under_load(kafka: KafkaBroker, **options: Any) -> Iterator[KafkaSwarm]:
    """Run a swarm that works; in the end nothing was lost, repeated or moved."""
    with supervised(kafka, max_messages=50, sleep_ms=SLEEP_MS, **options) as swarm:
        swarm.await_settled()
        with swarm.ledger.sampling(), swarm.ledger.producing(per_s=PER_S):
            yield swarm
        swarm.ledger.await_done()
        verdict = swarm.ledger.verdict()
        assert verdict.faults() == {}, str(verdict)
        assert verdict.duplicates == []
        assert swarm.lives.overlaps == []
        assert all(len(nodes) == 1 for nodes in swarm.owners().values()), (
            f"no partition has changed hands: {swarm.owners()}"
        )


def let_go_by_others(swarm: KafkaSwarm, before: dict[int, tuple[int, int]]) -> int:
    """Count losses of partitions that were no end of the node's own."""
    return sum(
        (swarm.let_go(node) - let_go) - (swarm.ends(node) - ends)
        for node, (let_go, ends) in before.items()
    )


def counts(swarm: KafkaSwarm) -> dict[int, tuple[int, int]]:
    """Return how often each node lost partitions, and ended in order."""
    return {node: (swarm.let_go(node), swarm.ends(node)) for node in range(NODES)}


def most_down_at_once(swarm: KafkaSwarm) -> int:
    """Return how many slots were without a process at once, once all had one."""
    changes: list[tuple[float, int]] = []
    for node in range(NODES):
        lives = swarm.lives.all(swarm.name(node))
        for life, successor in pairwise(lives):
            assert life.gone_at_s is not None
            changes += [(life.gone_at_s, 1), (successor.seen_at_s, -1)]
    down = most = 0
    for _, change in sorted(changes):
        down += change
        most = max(most, down)
    return most


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_restart_of_one_node_after_the_other_disturbs_nobody(
    kafka: KafkaBroker, protocol: str
) -> None:
    """One five times within its session, then all: 0 revokes, 0 lost, 0 repeated."""
    with under_load(kafka, properties=PROTOCOLS[protocol]) as swarm:
        before = counts(swarm)
        for node in [1] * 5 + list(range(NODES)):
            pid = swarm.swarm.pid(node)
            told = swarm.supervisorctl("restart", swarm.name(node))
            assert "started" in told
            swarm.await_back(node, than=pid)
        ended = {node: swarm.ends(node) - before[node][1] for node in range(NODES)}
        assert ended == {0: 1, 1: 6, 2: 1, 3: 1}
        assert let_go_by_others(swarm, before) == 0
        assert most_down_at_once(swarm) <= 1  # 0: between two looks at /proc


def test_roll_restarts_all_and_repeats_nothing(kafka: KafkaBroker) -> None:
    """``supervisorctl swarm roll``: each once, one at a time, nobody else revoked."""
    with under_load(kafka) as swarm:
        before, pids = counts(swarm), swarm.pids()
        told = swarm.supervisorctl("swarm", "roll", "w")
        assert "roll done" in told, told
        swarm.await_settled()
        assert not set(pids.values()) & set(swarm.pids().values())
        assert {node: swarm.ends(node) - before[node][1] for node in range(NODES)} == (
            dict.fromkeys(range(NODES), 1)
        )
        assert let_go_by_others(swarm, before) == 0
        assert most_down_at_once(swarm) <= 1  # 0: between two looks at /proc


def test_new_code_that_crashes_at_import_halts_the_roll_after_one_node(
    kafka: KafkaBroker,
) -> None:
    """The others work on with the old code; mended code ends the trouble by itself."""

    def deploy(folder: Path, text: str) -> None:
        scenes.replace_text(folder / "deployed.py", text)

    good = "from tests.apps.ledger_app import app as app\n"
    with under_load(
        kafka, app="deployed:app", prepare=lambda folder: deploy(folder, good)
    ) as swarm:
        folder, pids = swarm.swarm.daemon.folder, swarm.pids()
        deploy(folder, "raise RuntimeError('new code')\n")
        told = swarm.supervisorctl("swarm", "roll", "w", "--timeout", "10")
        assert f"ERROR ({swarm.name(0)}" in told, told
        assert "RuntimeError: new code" in swarm.log(0)
        deploy(folder, good)
        eventually(
            lambda: swarm.swarm.daemon.state(swarm.name(0)) == "RUNNING",
            within_s=20.0,
            describe="the first node runs again",
        )
        swarm.await_settled()
        later = swarm.pids()
        assert later[0] != pids[0]
        assert {n: later[n] for n in (1, 2, 3)} == {n: pids[n] for n in (1, 2, 3)}
        assert most_down_at_once(swarm) <= 1  # 0: between two looks at /proc
