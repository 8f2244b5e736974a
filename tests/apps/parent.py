"""An app whose handler starts children that ignore TERM; runs without Kafka.

``CHILDREN`` names the handler's children: ``waited_for``, ``left`` (the handler
returns), ``own_session`` (is nobody's business), ``own_group``, ``bare`` (without an
environment), ``forks`` (starts others all the time), ``forked`` (by the handler
itself). Each appends its name and pid to the file ``children``.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from swarm_worker import App, Batch
from tests.apps import standin

__all__ = ["standin"]

# They end by themselves, should a test fail to see to it.
STUBBORN = "trap '' TERM; sleep 60; :"
FORKS = "trap '' TERM; for i in {1..300}; do sleep 20 & sleep 0.1; done"

app = App(group="parents")


def start(name: str, script: str = STUBBORN, **how: object) -> subprocess.Popen[bytes]:
    """Start a shell, and tell of it."""
    child = subprocess.Popen(["/bin/bash", "-c", script], **how)  # type: ignore[call-overload]  # as told
    tell(name, child.pid)
    assert isinstance(child, subprocess.Popen)
    return child


def tell(name: str, pid: int) -> None:
    """Append a child to the file."""
    with Path("children").open("a", encoding="ascii") as file:
        file.write(f"{name} {pid}\n")


def waited_for() -> None:
    """Wait for a child, as most handlers do."""
    child = start("waited_for")
    child.wait()
    sys.stderr.write("the handler saw its child end\n")


def forked() -> None:
    """Fork a child that does not come back."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Event().wait()
    tell("forked", child)


KINDS: dict[str, Callable[[], object]] = {
    "left": lambda: start("left"),
    "own_session": lambda: start("own_session", start_new_session=True),
    "own_group": lambda: start("own_group", process_group=0),
    "bare": lambda: start("bare", env={}),
    "forks": lambda: start("forks", FORKS),
    "forked": forked,
    "waited_for": waited_for,
}


@app.topic("orders")
def handle(batch: Batch) -> None:
    """Start what is told, with the first message."""
    if batch[0].offset() == 0:
        for name in os.environ["CHILDREN"].split(","):
            KINDS[name]()
