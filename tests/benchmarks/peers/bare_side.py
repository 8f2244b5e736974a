"""The bare loop: ``consume(1000)`` of confluent-kafka, offsets committed on its timer.

Not even errors are looked at: nothing that does the work does less. ``extra`` of the
orders are properties of the consumer; without them it has librdkafka's defaults.
"""

from json import loads

from confluent_kafka import Consumer

from tests.benchmarks.peers.window import ORDERS, Window


def main() -> None:
    """Consume until killed."""
    consumer = Consumer(
        {
            "bootstrap.servers": ORDERS["bootstrap"],
            "group.id": ORDERS["group"],
            "auto.offset.reset": "earliest",
            **ORDERS["extra"],
        }
    )
    consumer.subscribe([ORDERS["topic"]])
    parses = ORDERS["work"] == "json"
    window = Window()
    while True:
        messages = consumer.consume(1000, 1.0)
        if parses:
            for message in messages:
                loads(message.value())  # type: ignore[arg-type] # none is a tombstone
        window.saw(len(messages))


if __name__ == "__main__":
    main()
