"""The ledger app, at fault on purpose: a control that the ledger must convict.

``tests.apps.ledger_faulty:app``; the environment is `tests.apps.ledger_app`'s, and

LEDGER_FAULT      ``commits-before``: a batch is marked done before it is worked on;
                  ``skips``: each tenth message is passed over
"""

import os
import time

from swarm_worker import App, Batch
from tests.apps import ledger_app
from tests.apps.processed import append_processed, number_in

FAULT = os.environ["LEDGER_FAULT"]

app = App()


@app.topic(*ledger_app.TOPICS, group=os.environ.get("LEDGER_GROUP", "ledger"))
def tell(batch: Batch) -> None:
    """Work on the messages of a batch as the fault has it."""
    if FAULT == "commits-before":
        for message in batch:
            batch.mark_done(message)
    for message in batch:
        if FAULT == "skips" and (message.offset() or 0) % 10 == 9:
            continue
        begun_at_s = time.monotonic()
        ledger_app.NEVER.wait(ledger_app.SLEEP_S)
        append_processed(
            ledger_app.PATH,
            node=batch.node,
            topic=batch.topic,
            partition=batch.partition,
            messages=[(message.offset() or 0, number_in(message.value()))],
            begun_at_s=begun_at_s,
        )
