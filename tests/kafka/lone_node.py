"""``lone_node.py BOOTSTRAP NAME FILE BATCH SECONDS KAFKA``: a node to be killed.

Consumes topic NAME as group NAME in batches of at most BATCH messages, each of which
takes SECONDS, and appends the offsets of each to FILE when it is done. KAFKA is JSON,
properties of its own. Ends on TERM.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import QUICK, Node, settings

ROOT = Path(__file__).parents[2]
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


def lone_node(
    kafka: KafkaBroker,
    name: str,
    handled: Path,
    *,
    batch: int,
    batch_takes_s: float,
    own: Mapping[str, Any] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    """Start a node in a process of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, __file__, kafka.bootstrap, name, str(handled),
         str(batch), str(batch_takes_s), json.dumps(dict(own))],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main(*sys.argv[1:])
