"""The app that the nodes of the demo run: ``swarm_worker.demo.app:app``.

The handler is as anybody would write it, but for the faults that it has when the demo
orders one.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Final, NoReturn

from swarm_worker import App, Batch
from swarm_worker.kafka.monitoring.monitor import Monitor

TOPIC: Final = os.environ["SWARM_DEMO_TOPIC"]
NODE: Final = int(os.environ["SUPERVISOR_PROCESS_NAME"].rpartition("_")[2])

app = App(group=TOPIC)


@app.topic(TOPIC)
def note(batch: Batch) -> None:
    """Write each message into the ledger."""
    if is_ordered("hangs"):
        wait_for_ever()
    if is_ordered("leaks"):
        threading.Thread(target=leak, daemon=True).start()
    if is_ordered("deaf"):
        wedge_the_poll_loop()
    if is_ordered("silent"):
        hold_the_gil()
    with Path("processed").open("ab", buffering=0) as ledger:
        for message in batch:
            number = int(message.value() or b"")
            ledger.write(f"{NODE} {os.getpid()} {number}\n".encode("ascii"))
            batch.mark_done(message)


def is_ordered(fault: str) -> bool:
    """Whether this node shall misbehave now; only once for each order."""
    try:
        Path(f"{NODE}.{fault}").unlink()
    except FileNotFoundError:
        return False
    return True


def wait_for_ever() -> NoReturn:
    """Block this thread; the others of the process go on."""
    while True:
        threading.Event().wait()


def wedge_the_poll_loop() -> None:
    """Have the thread that polls wait for ever; no code of an app runs on it."""
    setattr(Monitor, "polled", lambda _: wait_for_ever())  # noqa: B010 - not typed so


def leak() -> None:
    """Fill the memory, step by step, while the node goes on consuming."""
    kept = []
    pause = threading.Event()
    for _ in range(128):  # 1 GB at most: nobody's machine is to suffer
        kept.append(b"x" * 8 * 2**20)  # written to: zeros cost no memory
        pause.wait(0.1)
    wait_for_ever()


def hold_the_gil() -> None:
    """Block the interpreter for ever: no thread of this process runs Python again.

    A mutex locked twice, through a library handle that does not release the GIL. A
    sleep would not do: the first signal ends it.
    """
    python = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(128)  # zeros are an unlocked pthread_mutex_t
    python.pthread_mutex_lock(mutex)
    python.pthread_mutex_lock(mutex)
