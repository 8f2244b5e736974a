"""``loop_kafka_python.py BOOTSTRAP GROUP TOPIC``: a kafka-python loop that reports."""

import os
import signal
import socket
import sys
from typing import Any

from kafka import KafkaConsumer
from kafka.structs import OffsetAndMetadata

from swarm_worker import Liveness

MAX_POLL_INTERVAL_MS = 300_000


def handle(message: Any) -> None:
    """Do the work; here: tell the value."""
    print((message.value or b"").decode(), flush=True)  # noqa: T201 - an example


def main(bootstrap: str, group: str, topic: str) -> None:
    """Consume until TERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    name = os.environ.get("SUPERVISOR_PROCESS_NAME", "by-hand")
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        # A restarted process gets its own partitions back, without a rebalance.
        group_instance_id=f"{socket.gethostname()}-{group}-{name}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
    )
    with Liveness(max_poll_interval_ms=MAX_POLL_INTERVAL_MS) as liveness:
        while running:
            batches = consumer.poll(timeout_ms=500, max_records=100)
            liveness.polled()
            for at, messages in batches.items():
                place = f"{at.topic}/{at.partition}@{messages[0].offset}"
                with liveness.consuming(place):
                    for message in messages:
                        handle(message)
                consumer.commit(
                    {at: OffsetAndMetadata(messages[-1].offset + 1, "", -1)}
                )
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
