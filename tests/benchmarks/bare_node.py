"""``python -m tests.benchmarks.bare_node BOOTSTRAP [--imports]``: no node, just a loop.

What one would write without us: a static member that polls, handles, and closes on
TERM, or when its parent has gone. With ``--imports`` it imports what a node imports,
and makes no use of it.
"""

import os
import signal
import sys

from tests.benchmarks.noting import GROUP, TOPIC, Handled, NotingConsumer


def main(bootstrap: str, *flags: str) -> None:
    """Consume until TERM."""
    parent_pid = os.getppid()
    if "--imports" in flags:
        import swarm_worker.kafka.client.properties
        import swarm_worker.kafka.consumer
        import swarm_worker.node.main
        import swarm_worker.processing.handlers  # noqa: F401 - only what it costs
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    handled = Handled()
    consumer = NotingConsumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": GROUP,
            "group.instance.id": f"bare-{GROUP}-0",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([TOPIC])
    while not stopped and os.getppid() == parent_pid:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            handled([message])
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
