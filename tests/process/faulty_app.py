"""An app whose handler goes wrong as it is told; runs without Kafka.

The file ``<process name>.json`` in the working directory may hold ``pid`` (for that
process only) and

* ``fault``: one of `FAULTS`, done by the handler,
* ``batch_s``: how long a batch takes,
* ``import_s``: how long the import takes; ``import``: ``"raises"`` or ``"exits"``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from swarm_worker import App, Batch
from tests.apps import standin
from tests.process.faults import forge, hold_gil, script, told_once

NEVER = threading.Event()
STEP_S = 0.1
POLL = {"fault": ""}


def leak() -> None:
    """Begin to take 50 MB of memory a second, up to 1 GB."""
    threading.Thread(target=_leak, daemon=True).start()


def _leak() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    for _ in range(200):
        libc.memset(ctypes.c_void_p(libc.malloc(5 * 2**20)), 1, 5 * 2**20)
        NEVER.wait(0.1)


def flood() -> None:
    """Print as fast as it goes, tens of MB a second, for some seconds."""
    text = ("x" * 99 + "\n") * 10_000
    until_s = time.monotonic() + 3
    while time.monotonic() < until_s:
        sys.stdout.write(text)


def close_stdout() -> None:
    """Close what reports once went through."""
    os.close(1)


def exit_well() -> None:
    """End the process as if all was well."""
    os._exit(0)


def knock() -> None:
    """Try what only root may, and tell of each what came of it."""
    sys.stderr.write(f"knocked uid={os.getuid()} {' '.join(_knocks())}\n")


def _knocks() -> Iterator[str]:
    with socket.socket(socket.AF_UNIX) as client:
        yield f"socket={_outcome(client.connect, 's')}"
    for name in ("journal.json", "journal.copy.json", "status.json"):
        yield f"{name}={_outcome(Path('run', name).read_bytes)}"


def _outcome(attempt: Callable[..., object], *arguments: object) -> str:
    try:
        attempt(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"


def die() -> None:
    """End as a crash in C does."""
    os.kill(os.getpid(), signal.SIGKILL)


FAULTS: dict[str, Callable[[], object]] = {
    "hold_gil": hold_gil,
    "sleep": NEVER.wait,
    "leak": leak,
    "flood": flood,
    "forge": forge,
    "close_stdout": close_stdout,
    "exit_well": exit_well,
    "knock": knock,
    "die": die,
    "wedge_poll": lambda: POLL.update(fault="wedge"),
    "kill_poll": lambda: POLL.update(fault="raise"),
}

_submit = standin.GroupConsumer._submit


def submit(self: standin.GroupConsumer) -> None:
    """Do what the poll thread does, or break it."""
    if POLL["fault"] == "wedge":
        NEVER.wait()
    if POLL["fault"] == "raise":
        raise RuntimeError("the poll thread was told to die")
    _submit(self)


standin.GroupConsumer._submit = submit  # type: ignore[method-assign]  # on purpose

if "import_s" in script():
    NEVER.wait(script()["import_s"])
if script().get("import") == "raises":
    raise RuntimeError("no such thing as a good import")
if script().get("import") == "exits":
    os._exit(3)

app = App()


@app.topic("orders", group="g")
def handle(_batch: Batch) -> None:
    """Do what is told, a fault only once in the life of the process."""
    for _ in range(round(script().get("batch_s", 0) / STEP_S)):
        NEVER.wait(STEP_S)  # in steps: a freeze does not shorten what is left
    told_once(FAULTS)
