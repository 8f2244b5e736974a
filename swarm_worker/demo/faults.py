"""The four faults: how a node is told of one, and how it then misbehaves.

The demo orders a fault by an empty file, ``NODE.KIND``. The node takes it by renaming
it, so that it strikes once: the node's next life is a healthy one.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn

LEAK_STEP_BYTES: Final = 8 * 2**20
LEAK_STEP_S: Final = 0.1
LEAK_MAX_BYTES: Final = 1024 * 2**20  # nobody's machine is to suffer

_TAKEN: Final = ".taken"


class Kind(StrEnum):
    """How a node misbehaves."""

    HANGS = "hangs"
    LEAKS = "leaks"
    DEAF = "deaf"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One act of the demo.

    Attributes:
        kind: What the node does.
        node: Which node does it.
        status: How the listener should call it.
        deed: What happens, in plain words, after "node N".
        cause: What it is like in the world outside.
    """

    kind: Kind
    node: int
    status: int
    deed: str
    cause: str


FAULTS: Final = (
    Fault(
        kind=Kind.HANGS,
        node=2,
        status=2,
        deed="hangs: its handler waits for an answer that never comes",
        cause="it still polls and reports, only its work stands still",
    ),
    Fault(
        kind=Kind.LEAKS,
        node=1,
        status=3,
        deed="leaks: 80 MB a second are allocated and never given back",
        cause="it consumes well, until the machine has no memory left",
    ),
    Fault(
        kind=Kind.DEAF,
        node=3,
        status=1,
        deed="stops polling: a callback in its poll loop does not return",
        cause="no batch is late, none comes any more; soon Kafka drops it",
    ),
    Fault(
        kind=Kind.SILENT,
        node=0,
        status=-1,
        deed="goes silent: C code holds the interpreter's lock for ever",
        cause="no thread of it runs, the one that reports neither",
    ),
)


def order(folder: Path, fault: Fault) -> None:
    """Tell a node to misbehave as soon as it has something to do."""
    _order_file(folder, fault.kind, fault.node).touch()


def is_taken(folder: Path, fault: Fault) -> bool:
    """Tell whether the node has begun to misbehave."""
    file = _order_file(folder, fault.kind, fault.node)
    return file.with_name(file.name + _TAKEN).exists()


def take(folder: Path, kind: Kind, node: int) -> bool:
    """Tell whether this node shall misbehave now; only once for each order."""
    file = _order_file(folder, kind, node)
    try:
        file.rename(file.with_name(file.name + _TAKEN))
    except FileNotFoundError:
        return False
    return True


def _order_file(folder: Path, kind: Kind, node: int) -> Path:
    return folder / f"{node}.{kind}"


# --- how a node misbehaves ------------------------------------------------------------


def wait_for_ever() -> NoReturn:
    """Block this thread; the others of the process go on."""
    while True:
        threading.Event().wait()


def leak() -> None:
    """Fill the memory in a thread of its own, and go on consuming."""
    threading.Thread(target=_leak, name="leak", daemon=True).start()


def _leak() -> None:
    kept = []
    pause = threading.Event()
    for _ in range(LEAK_MAX_BYTES // LEAK_STEP_BYTES):
        kept.append(b"x" * LEAK_STEP_BYTES)  # written to: zeros cost no memory
        pause.wait(LEAK_STEP_S)
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
