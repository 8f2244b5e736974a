"""The bare loop: ``consume(1000)`` of confluent-kafka, offsets committed on its timer.

Not even errors are looked at: nothing that does the work does less. ``extra`` of the
orders are properties of the consumer; without them it has librdkafka's defaults.
``collect_after`` is a threshold of the garbage collector; null for Python's own.
"""

import gc
import json
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer

from tests.benchmarks.peers.window import ORDERS, Window


def parser(work: str) -> Callable[[Any], Any] | None:
    """Return what is done with each message; None for nothing."""
    if work == "orjson":
        import orjson

        parse: Callable[[Any], Any] = orjson.loads
        return parse
    return json.loads if work == "json" else None


def main() -> None:
    """Consume until killed."""
    if ORDERS["collect_after"] is not None:
        gc.set_threshold(ORDERS["collect_after"])
    consumer = Consumer(
        {
            "bootstrap.servers": ORDERS["bootstrap"],
            "group.id": ORDERS["group"],
            "auto.offset.reset": "earliest",
            **ORDERS["extra"],
        }
    )
    consumer.subscribe([ORDERS["topic"]])
    loads = parser(ORDERS["work"])
    window = Window()
    while True:
        messages = consumer.consume(1000, 1.0)
        if loads is not None:
            for message in messages:
                loads(message.value())
        window.saw(len(messages))


if __name__ == "__main__":
    main()
