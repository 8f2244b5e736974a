"""The ledger app, whose handler needs what may be away: its `app` is the one to name.

The environment is `tests.apps.ledger_app`'s, and

LEDGER_LETTERS    topic for dead letters; required
LEDGER_POISON     ``partition@offset``, with spaces between: messages that always fail

While there is a file "away" beside LEDGER_PATH, each call fails.
"""

import os
import time
from pathlib import Path

from swarm_worker import App, Batch
from tests.apps import ledger_app
from tests.apps.processed import append_processed

AWAY = Path(ledger_app.PATH).with_name("away")
POISON = os.environ.get("LEDGER_POISON", "").split()

app = App()


@app.topic(
    *ledger_app.TOPICS,
    group=os.environ.get("LEDGER_GROUP", "ledger"),
    dead_letter=os.environ["LEDGER_LETTERS"],
)
def tell(batch: Batch) -> None:
    """Work on each message, then tell that it is done, or fail."""
    for message in batch:
        begun_at_s = time.monotonic()
        ledger_app.NEVER.wait(ledger_app.SLEEP_S)
        if AWAY.exists() or f"{batch.partition}@{message.offset()}" in POISON:
            raise ConnectionError("the shop's database")
        append_processed(
            ledger_app.PATH,
            node=batch.node,
            topic=batch.topic,
            partition=batch.partition,
            messages=[(message.offset() or 0, ledger_app.number_of(message))],
            begun_at_s=begun_at_s,
        )
        batch.mark_done(message)
