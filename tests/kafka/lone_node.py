"""``lone_node.py BOOTSTRAP NAME FILE BATCH SECONDS KAFKA``: a node to be killed.

Consumes topic NAME as group NAME in batches of at most BATCH messages, each of which
takes SECONDS, and appends the offsets of each to FILE when it is done. KAFKA is JSON,
properties of its own. Ends on TERM.
"""

import json
import os
import signal
import sys
import threading

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.kafka.nodes import QUICK, Node, settings

NEVER = threading.Event()


def main(  # noqa: PLR0917 - the command line, in its order
    bootstrap: str, name: str, path: str, size: str, seconds: str, kafka: str
) -> None:
    """Consume until TERM."""
    app = App(group=name)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    @app.topic(name, max_messages=int(size))
    def handle(batch: Batch) -> None:
        NEVER.wait(float(seconds))
        os.write(file, "".join(f"{m.offset()}\n" for m in batch).encode())

    with Node(app, settings(bootstrap, kafka={**QUICK, **json.loads(kafka)})):
        signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main(*sys.argv[1:])
