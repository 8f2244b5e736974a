"""The app of the ledger, whose handler may fall ill: ``tests.faults.ledger_app:app``.

The file ``<process name>.json`` in the working directory may hold ``pid`` (for that
process only) and ``fault``: one of `FAULTS`, done once in the life of a process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from swarm_worker import App, Batch
from tests.apps import ledger_app
from tests.process.faults import forge, hold_gil, told_once

FAULTS: Final[dict[str, Callable[[], object]]] = {
    "hold_gil": hold_gil,
    "forge": forge,
    "hang": ledger_app.NEVER.wait,
    "exit": lambda: os._exit(1),
}
app = App()


@app.topic(*ledger_app.TOPICS, group=os.environ["LEDGER_GROUP"])
def tell(batch: Batch) -> None:
    """Fall ill if told to; else work on each message and tell that it is done."""
    told_once(FAULTS)
    ledger_app.tell(batch)
