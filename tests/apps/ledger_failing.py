"""The ledger app, whose handler needs what may be away: its `app` is the one to name.

The environment is `tests.apps.ledger_app`'s, and

LEDGER_LETTERS    topic for dead letters; required
LEDGER_POISON     ``partition@offset``, with spaces between: messages that always fail

While there is a file "away" beside LEDGER_PATH, each call fails.
"""

import os
from pathlib import Path

from swarm_worker import App, Batch
from tests.apps import ledger_app

AWAY = Path(ledger_app.PATH).with_name("away")
POISON = os.environ.get("LEDGER_POISON", "").split()

app = App()


@app.topic(
    *ledger_app.TOPICS,
    group=os.environ.get("LEDGER_GROUP", "ledger"),
    dead_letter=os.environ["LEDGER_LETTERS"],
)
def tell(batch: Batch) -> None:
    """Work on each message, or fail."""
    for message in batch:
        if AWAY.exists() or f"{batch.partition}@{message.offset()}" in POISON:
            raise ConnectionError("the shop's database")
        ledger_app.work_on(message, batch)
        batch.mark_done(message)
