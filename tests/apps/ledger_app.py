"""An app that tells the ledger of each message: ``tests.apps.ledger_app:app``.

Needs the repository's root on ``PYTHONPATH``. Read from the environment:

LEDGER_PATH       file to append to; required
LEDGER_TOPICS     topics, separated by commas (default: orders)
LEDGER_GROUP      Kafka group (default: ledger)
LEDGER_SLEEP_MS   how long a message takes, milliseconds (default: 0)
"""

import os
import threading
import time

from confluent_kafka import Message

from swarm_worker import App, Batch
from tests.apps.processed import append_processed, number_in

PATH = os.environ["LEDGER_PATH"]
TOPICS = os.environ.get("LEDGER_TOPICS", "orders").split(",")
SLEEP_S = float(os.environ.get("LEDGER_SLEEP_MS", "0")) / 1000
NEVER = threading.Event()

app = App()


def work_on(message: Message, batch: Batch) -> None:
    """Work on a message, then tell that it is done."""
    begun_at_s = time.monotonic()
    if SLEEP_S:
        NEVER.wait(SLEEP_S)
    append_processed(
        PATH,
        node=batch.node,
        topic=batch.topic,
        partition=batch.partition,
        messages=[(message.offset() or 0, number_in(message.value()))],
        begun_at_s=begun_at_s,
    )


@app.topic(*TOPICS, group=os.environ.get("LEDGER_GROUP", "ledger"))
def tell(batch: Batch) -> None:
    """Work on each message."""
    for message in batch:
        work_on(message, batch)
