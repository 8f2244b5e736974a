"""The ledger's app, whose handler can be made to hang: ``tests.compat.app:app``.

Nodes of both versions run it, so it uses of the package only what users may. While the
file ``hangs`` in the working directory holds the id of the process, no batch returns.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from swarm_worker import App, Batch
from tests.apps import ledger_app

HANGS: Final = Path("hangs")
LOOK_EVERY_S: Final = 0.1

app = App()


@app.topic(*ledger_app.TOPICS, group=os.environ["LEDGER_GROUP"])
def tell(batch: Batch) -> None:
    """Work on each message, tell that it is done, and hang if told to."""
    ledger_app.tell(batch)
    while HANGS.read_text() == str(os.getpid()):
        ledger_app.NEVER.wait(LOOK_EVERY_S)
