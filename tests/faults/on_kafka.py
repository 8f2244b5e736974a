"""Chaos with the ledger: the same faults, and real nodes on Apache Kafka."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.core.model.events import Word
from tests.eventually import eventually
from tests.faults import mayhem, stage
from tests.faults.mayhem import Mayhem
from tests.faults.sickness import REAL
from tests.kafka import ledgered
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import unique
from tests.kafka.witness import Ledger
from tests.process import scenes

PARTITIONS: Final = 12
PER_S: Final = 200
SAMPLED_EVERY_S: Final = 0.1
SETTLED_WITHIN_S: Final = 90.0  # a stopped node's session, and its backlog

KAFKA: Final = {
    **ledgered.CLASSIC,
    # Longer than any freeze that is thawed again, see `ledgered.SESSION_MS`.
    "session.timeout.ms": ledgered.SESSION_MS,
    "heartbeat.interval.ms": 1_000,
}
WORKER: Final = {"max_messages": 5, "concurrency": 3}
LIMITS: Final[dict[str, Any]] = {
    **stage.LIMITS,
    "node_report_timeout": 4_000,
    "consuming_ttl": 5_000,
    "stability_ttl": 600_000,
}
COMMAND: Final = scenes.NODE.replace(
    "tests.process.faulty_app:app", "tests.faults.ledger_app:app"
)


@contextmanager
def mayhem_on_kafka() -> Iterator[tuple[Mayhem, Ledger]]:
    """Start a broker, a topic, a swarm of real nodes and its witnesses."""
    home = Path(tempfile.mkdtemp(prefix="chaos"))
    try:
        with KafkaBroker(home) as kafka:
            name = kafka.create_topic(unique("chaos"), PARTITIONS)
            with _swarm(kafka, name) as swarm:
                yield (
                    swarm,
                    Ledger(
                        bootstrap=kafka.bootstrap,
                        topic=name,
                        partitions=PARTITIONS,
                        group=name,
                        path=swarm.swarm.daemon.folder / "processed",
                    ),
                )
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _swarm(kafka: KafkaBroker, name: str) -> Iterator[Mayhem]:
    def configure(folder: Path) -> None:
        path = folder / "swarm.toml"
        properties = {**KAFKA, "bootstrap.servers": kafka.bootstrap}
        text = ledgered._toml(path.read_text("utf-8"), properties, WORKER)
        path.write_text(
            text.replace("shutdown_timeout = 4000", "shutdown_timeout = 1000"), "utf-8"
        )

    environment = {
        "LEDGER_PATH": "{folder}/processed",
        "LEDGER_TOPICS": name,
        "LEDGER_GROUP": name,
        "LEDGER_SLEEP_MS": "2",
    }
    with stage.staged(
        illnesses=REAL,
        limits=LIMITS,
        prepare=configure,
        command=COMMAND,
        program={
            "stopwaitsecs": "2",
            "directory": "{folder}",
            "environment": ",".join(f'{k}="{v}"' for k, v in environment.items()),
        },
    ) as swarm:
        yield swarm


@contextmanager
def under_load(ledger: Ledger) -> Iterator[None]:
    """Produce and sample for as long as the block lasts."""
    with ledger.sampling(every_s=SAMPLED_EVERY_S), ledger.producing(per_s=PER_S):
        yield


def complaints(swarm: Mayhem, ledger: Ledger) -> list[str]:
    """Have all nodes at work, wait for the last message, and judge the ledger.

    An operator's word ends here: what he has stopped is started, what he holds is
    released, since a node that is ill keeps what it has in hand.
    """
    for slot in sorted(swarm.book.held_at_s):
        swarm.order(Word.RELEASE, slot)
    for slot in sorted(swarm.book.stopped_at_s):
        swarm.swarm.daemon.rpc.start(slot)
    swarm.book.held_at_s.clear()
    swarm.book.stopped_at_s.clear()
    eventually(
        swarm.at_peace,
        within_s=mayhem.PEACE_WITHIN_S,
        every_s=0.25,
        describe="each node running once",
    )
    ledger.await_processed(within_s=SETTLED_WITHIN_S)
    ledger.await_committed(within_s=SETTLED_WITHIN_S)
    verdict = ledger.verdict()
    swarm.timeline.append(str(verdict))
    return [str(verdict)] if verdict.faults() else []
