"""``own_loop.py BOOTSTRAP GROUP TOPIC``: an own confluent-kafka loop that reports.

A worked example for people who keep their loop: all that is added for the swarm is
the ``with`` block and the two calls in it.
"""

import signal
import sys

from confluent_kafka import Consumer, Message

from swarm_worker import Liveness

MAX_POLL_INTERVAL_MS = 60_000


def handle(message: Message) -> None:
    """Do the work; here: tell the value."""
    print((message.value() or b"").decode(), flush=True)  # noqa: T201 - an example


def main(bootstrap: str, group: str, topic: str) -> None:
    """Consume until TERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        }
    )
    consumer.subscribe([topic])
    with Liveness(max_poll_interval_ms=MAX_POLL_INTERVAL_MS) as liveness:
        while running:
            message = consumer.poll(0.5)
            liveness.polled()
            if message is None or message.error():
                continue
            place = f"{message.topic()}/{message.partition()}@{message.offset()}"
            with liveness.consuming(place):
                handle(message)
            consumer.store_offsets(message)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
