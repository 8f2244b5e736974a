"""``loop_confluent.py BOOTSTRAP GROUP TOPIC``: a confluent-kafka loop that reports.

What is added for the swarm is the ``with`` block and the two calls in it.
"""

import os
import signal
import socket
import sys

from confluent_kafka import Consumer, Message

from swarm_worker import Liveness

MAX_POLL_INTERVAL_MS = 300_000


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
    name = os.environ.get("SUPERVISOR_PROCESS_NAME", "by-hand")
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            # A restarted process gets its own partitions back, without a rebalance.
            "group.instance.id": f"{socket.gethostname()}-{group}-{name}",
            "auto.offset.reset": "earliest",
            # An offset counts once its message is handled; see store_offsets.
            "enable.auto.offset.store": False,
            "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        }
    )
    consumer.subscribe([topic])
    with Liveness(max_poll_interval_ms=MAX_POLL_INTERVAL_MS) as liveness:
        while running:
            message = consumer.poll(0.5)
            liveness.polled()
            if message is None:
                continue
            if error := message.error():
                # Fatal errors come once, and the client is dead from then on.
                if error.code() == error._FATAL:
                    raise SystemExit(error.str())
                continue
            place = f"{message.topic()}/{message.partition()}@{message.offset()}"
            with liveness.consuming(place):
                handle(message)
            consumer.store_offsets(message)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
