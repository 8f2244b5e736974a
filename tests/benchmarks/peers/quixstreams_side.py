"""Quix Streams: ``apply`` on the dataframe of a topic, its JSON deserializer.

Source: docs/quickstart.md and docs/advanced/serialization.md of Quix Streams. JSON is
its default, read by orjson, which it brings along; its consumer has
``fetch.queue.backoff.ms=100`` by default. Messages come one at a time; it has no other
way but for sinks.
"""

from typing import Any

from quixstreams import Application

from tests.benchmarks.peers.window import ORDERS, Window

window = Window()


def handle(order: dict[str, Any]) -> dict[str, Any]:
    """Get an order that is decoded."""
    window.saw(1)
    return order


def main() -> None:
    """Consume until killed."""
    app = Application(
        broker_address=ORDERS["bootstrap"],
        consumer_group=ORDERS["group"],
        auto_offset_reset="earliest",
        loglevel="WARNING",
    )
    orders = app.dataframe(app.topic(ORDERS["topic"]))
    orders.apply(handle)
    app.run()


if __name__ == "__main__":
    main()
