"""What a handler can do to its node, and where it is told to.

A file ``<process name>.json`` in the working directory tells it, if its ``pid`` is the
process's own or it has none.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.report import Report, State, encode

SCRIPT: Final = Path(f"{os.environ.get('SUPERVISOR_PROCESS_NAME', 'w_00')}.json")
_DONE: set[str] = set()


def script() -> dict[str, Any]:
    """Read what to do."""
    try:
        told: dict[str, Any] = json.loads(SCRIPT.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return told if told.get("pid", os.getpid()) == os.getpid() else {}


def told_once(faults: Mapping[str, Callable[[], object]]) -> None:
    """Do the fault that the script tells, once in the life of the process."""
    fault = script().get("fault", "")
    if fault and fault not in _DONE:
        _DONE.add(fault)
        faults[fault]()


def hold_gil() -> None:
    """Lock a mutex twice in C without letting go of the GIL: for ever."""
    mutex = ctypes.create_string_buffer(64)
    libc = ctypes.PyDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def forge() -> None:
    """Print what a report looks like, and tokens that would swallow one."""
    sick = Report(node=0, pid=os.getpid(), state=State.RUNNING, poll_age_ms=10**9)
    os.write(1, encode(sick))
    print("<!--XSUPERVISOR:BEGIN-->", flush=True)  # noqa: T201 - as an app may
    os.system("printf '<!--XSUPERVISOR:BEGIN-->{}'")  # noqa: S605 - a child as well
