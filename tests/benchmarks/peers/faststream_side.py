"""FastStream on Kafka: a batch subscriber, or one message at a time.

Sources: docs/docs/en/kafka/Subscriber/batch_subscriber.md of FastStream, and its own
benchmark, benchmarks/kafka_cases/test_basic.py, "Consume Any Message", whose settings
these are: no line logged for each message, and no model to validate the decoded JSON
by. Its documentation shows ``faststream.kafka``, on aiokafka, first. A batch has at
most 500 messages, as ours; with 1,000 or no limit it was no faster. ``plain`` turns off
types, contexts and dependencies as well (``apply_types=False``).
"""

import asyncio
from typing import Any

from faststream import FastStream
from faststream.kafka import KafkaBroker

from tests.benchmarks.peers.window import ORDERS, Window

broker = KafkaBroker(
    ORDERS["bootstrap"], logger=None, apply_types=ORDERS["work"] != "plain"
)
app = FastStream(broker)
window = Window()
subscription: dict[str, Any] = {
    "group_id": ORDERS["group"],
    "auto_offset_reset": "earliest",
}

if ORDERS["work"] == "json in batches":

    @broker.subscriber(ORDERS["topic"], batch=True, max_records=500, **subscription)  # type: ignore[untyped-decorator]
    async def handle_batch(orders: Any) -> None:
        """Get a list of orders that are decoded."""
        window.saw(len(orders))

else:

    @broker.subscriber(ORDERS["topic"], **subscription)  # type: ignore[untyped-decorator]
    async def handle(order: Any) -> None:  # noqa: ARG001 - it is decoded by now
        """Get an order that is decoded."""
        window.saw(1)


if __name__ == "__main__":
    asyncio.run(app.run())
