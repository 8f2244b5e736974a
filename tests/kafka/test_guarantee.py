""".8 of the design on real Kafka, under a real supervisord and the real listener.

Another seed by ``SOAK_SEED=7 pytest tests/kafka/test_guarantee.py``; the long form is
``python -m tests.kafka.soak --seed S --kills N``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.eventually import eventually
from tests.faults.book import Book
from tests.faults.bound import charges
from tests.faults.run import Length, run
from tests.faults.scenarios import SOAKS
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import NODES, KafkaSwarm, supervised
from tests.kafka.witness import Ledger

OwnKafka = Callable[..., KafkaBroker]

pytestmark = pytest.mark.process

SEED = 2  # all kinds of faults are in it
ENDS = 60
MANY = 100_000
BATCH = 100


@pytest.mark.timeout(300)
def test_sixty_ends_lose_nothing_and_repeat_no_more_than_the_bound(
    own_kafka: OwnKafka,
) -> None:
    """TERM, KILL, STOP and CONT, listener KILL, broker restart, in a seed's order."""
    seed = int(os.environ.get("SOAK_SEED", SEED))
    soak = SOAKS["classic"]
    outcome = run(soak, seed=seed, length=Length(kills=ENDS), kafka=own_kafka())

    assert len(outcome.evidence.book.ended) >= ENDS
    assert outcome.evidence.charges, "a KILL that repeats nothing proves no bound"
    assert outcome.samples > 100


def restart(swarm: KafkaSwarm, node: int) -> str:
    """Restart a node as an operator does."""
    return swarm.supervisorctl("restart", swarm.name(node))


def stop_and_start(swarm: KafkaSwarm, node: int) -> str:
    """Stop a node and start it again, as an operator does."""
    stopped = swarm.supervisorctl("stop", swarm.name(node))
    return stopped + swarm.supervisorctl("start", swarm.name(node))


def term(swarm: KafkaSwarm, node: int) -> str:
    """Send TERM, as anybody may."""
    return str(swarm.signal(node, signal.SIGTERM))


def test_hundred_thousand_messages_through_term_and_kill(
    kafka: KafkaBroker,
) -> None:
    """0 lost; 0 repeated for any way of TERM; what a KILL repeats is in bounds."""
    book = Book()
    with supervised(kafka, sleep_ms=0, max_messages=BATCH) as swarm:
        swarm.await_settled()
        ledger = swarm.ledger
        with ledger.sampling(), ledger.producing(per_s=6_000):
            for node, end in enumerate([restart, term, stop_and_start, term]):
                swarm.await_work(node)
                pid = swarm.swarm.pid(node)
                end(swarm, node)
                swarm.await_back(node, than=pid)
            for node in range(NODES):
                swarm.await_work(node)
                before = swarm.pids()
                pid = swarm.signal(node, signal.SIGKILL)
                book.killed_at_s[pid] = time.monotonic()
                swarm.await_back(node, than=pid)
                after = swarm.pids()
                assert {n for n in after if after[n] != before[n]} == {node}
        ledger.produce(max(0, MANY - len(ledger.produced)))
        swarm.ledger.await_done()
        verdict = ledger.verdict()
        found = charges(verdict, ledger.processed.read(), book, batch=BATCH)
        assert verdict.produced_count >= MANY
        assert verdict.faults() == {}, str(verdict)
        assert [charge for charge in found if charge.excess] == []
        assert swarm.lives.overlaps == []
        assert swarm.swarm.records() == [], "no rule was broken"


def await_commit(ledger: Ledger) -> None:
    """Wait until an offset is seen that was not committed yet."""
    known = {(row.partition, row.offset) for row in ledger.committed}
    eventually(
        lambda: {(row.partition, row.offset) for row in ledger.committed} - known,
        describe="a commit",
    )


@pytest.mark.parametrize(
    ("fault", "convicted_of"),
    [
        # What was committed and not done is lost where the node is killed meanwhile.
        ("commits-before", {"committed too far", "lost"}),
        ("skips", {"committed too far", "gaps", "lost"}),
    ],
)
def test_faulty_app_is_convicted(
    kafka: KafkaBroker, fault: str, convicted_of: set[str]
) -> None:
    """An app that commits before it works, or passes something over, is found out."""
    with supervised(
        kafka,
        app="tests.apps.ledger_faulty:app",
        fault=fault,
        sleep_ms=20,
        max_messages=100,
    ) as swarm:
        swarm.await_settled()
        ledger = swarm.ledger
        ledger.produce(12 * 300)
        with ledger.sampling(every_s=0.02):
            for node in range(NODES):
                swarm.await_work(node)
                await_commit(ledger)  # of what it has in hand
                swarm.signal(node, signal.SIGKILL)
            swarm.await_settled()
            ledger.await_committed(within_s=90.0)
        faults = ledger.verdict().faults()

    assert faults.keys() >= convicted_of
    assert "strangers" not in faults
