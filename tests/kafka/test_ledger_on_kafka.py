"""On real Kafka, the ledger acquits an honest consumer and convicts the controls."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.broker import KafkaBroker
from tests.kafka.witness import Ledger
from tests.ledger import Verdict

MESSAGES = 60


def run(kafka: KafkaBroker, tmp_path: Path, *, fault: str) -> Verdict:
    """Let a bare consumer work through a topic of two partitions, sampled."""
    ledger = Ledger(
        bootstrap=kafka.bootstrap,
        topic=kafka.create_topic(f"ledger-{fault}", 2),
        partitions=2,
        group=f"ledger-{fault}",
        path=tmp_path / "processed",
    )
    ledger.produce(MESSAGES)
    consumer = [sys.executable, "-m", "tests.apps.ledger_control", ledger.bootstrap]
    arguments = [ledger.topic, ledger.group, str(ledger.path), str(MESSAGES), fault]
    with ledger.sampling(every_s=0.005):
        subprocess.run([*consumer, *arguments], check=True, timeout=60)
    ledger.await_committed(within_s=10)
    assert ledger.missed_samples == 0
    return ledger.verdict()


def test_honest_consumer_is_acquitted(kafka: KafkaBroker, tmp_path: Path) -> None:
    """All produced, each processed once, nothing committed too far."""
    verdict = run(kafka, tmp_path, fault="none")

    assert verdict.faults() == {}
    assert verdict.produced_count == verdict.processed_count == MESSAGES
    assert verdict.duplicates == []


@pytest.mark.parametrize(
    ("fault", "convicted_of"),
    [
        ("commits-before", {"committed too far"}),
        ("skips", {"lost", "gaps", "committed too far"}),
    ],
)
def test_control_is_convicted(
    kafka: KafkaBroker, tmp_path: Path, fault: str, convicted_of: set[str]
) -> None:
    """A consumer that is at fault on purpose is found out, for just that."""
    verdict = run(kafka, tmp_path, fault=fault)

    assert verdict.faults().keys() == convicted_of
