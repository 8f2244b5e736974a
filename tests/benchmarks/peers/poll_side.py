"""The bare loop with the least latency: ``poll()``, one message at a time."""

from confluent_kafka import Consumer

from tests.benchmarks.peers.stopwatch import ORDERS, Stopwatch


def main() -> None:
    """Consume until killed."""
    consumer = Consumer(
        {
            "bootstrap.servers": ORDERS["bootstrap"],
            "group.id": ORDERS["group"],
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([ORDERS["topic"]])
    stopwatch = Stopwatch()
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            value = message.value()
            if value != b"slow":
                stopwatch.stop(value)


if __name__ == "__main__":
    main()
