"""The app that the nodes of the demo run: ``swarm_worker.demo.app:app``.

A handler as anybody would write it, but for one line: `misbehave`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from swarm_worker import App, Batch
from swarm_worker.demo import faults, ledger
from swarm_worker.demo.faults import Kind

FOLDER: Final = Path(os.environ["SWARM_DEMO_DIR"])
TOPIC: Final = os.environ["SWARM_DEMO_TOPIC"]
PROCESSED: Final = FOLDER / "processed"
NODE: Final = int(os.environ["SUPERVISOR_PROCESS_NAME"].rpartition("_")[2])

app = App(group=TOPIC)


@app.topic(TOPIC)
def note(batch: Batch) -> None:
    """Write each message into the ledger."""
    misbehave()
    for message in batch:
        number = int(message.value() or b"")
        ledger.append(PROCESSED, ledger.Processed(batch.node, os.getpid(), number))
        batch.mark_done(message)


def misbehave() -> None:
    """Do what the demo has ordered, if it has."""
    if faults.take(FOLDER, Kind.HANGS, NODE):
        faults.wait_for_ever()
    if faults.take(FOLDER, Kind.LEAKS, NODE):
        faults.leak()
    if faults.take(FOLDER, Kind.SILENT, NODE):
        faults.hold_the_gil()


@app.configure_consumer
def with_callback() -> Mapping[str, Any]:
    """Add a callback of the app to the consumer.

    The poll loop runs no code of the app, except for what the app itself hangs into
    the client: librdkafka calls it from within ``poll``.
    """
    return {"on_commit": committed}


def committed(*_: object) -> None:
    """Hear of a commit; or be the callback that does not return."""
    if faults.take(FOLDER, Kind.DEAF, NODE):
        faults.wait_for_ever()
