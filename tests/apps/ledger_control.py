"""A bare consumer for the ledger's own tests: honest, or at fault on purpose.

``python -m tests.apps.ledger_control BOOTSTRAP TOPIC GROUP PATH COUNT FAULT``, where
FAULT is ``none``, ``commits-before`` (the offset is committed before the message is
worked on) or ``skips`` (each tenth message is passed over). Ends after COUNT messages.
"""

import sys
import threading
import time

from confluent_kafka import Consumer, Message

from tests.apps.processed import append_processed, number_in

WORK_S = 0.02
NEVER = threading.Event()


def work(path: str, message: Message) -> None:
    """Take some time, then tell."""
    begun_at_s = time.monotonic()
    NEVER.wait(WORK_S)
    append_processed(
        path,
        node=0,
        topic=message.topic() or "",
        partition=message.partition() or 0,
        messages=[(message.offset() or 0, number_in(message.value()))],
        begun_at_s=begun_at_s,
    )


def main(  # noqa: PLR0917 - the command line, in its order
    bootstrap: str, topic: str, group: str, path: str, count: str, fault: str
) -> None:
    """Consume so many messages, one commit for each."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    seen = 0
    while seen < int(count):
        message = consumer.poll(1.0)
        if message is None or message.error() is not None:
            continue
        seen += 1
        if fault == "commits-before":
            consumer.commit(message=message, asynchronous=False)
        if fault != "skips" or seen % 10:
            work(path, message)
        consumer.commit(message=message, asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
