"""How a node ends: its exit codes, and a way out that nothing can hold up."""

from __future__ import annotations

import os
import select
import stat
import traceback
from contextlib import suppress
from typing import Final, NoReturn

from swarm_worker.shared.settings import EXIT_CONFIG, EXIT_FATAL, EXIT_SPARE

STOPPED: Final = 0  # as asked
CRASHED: Final = 1
OUTLIVED: Final = 2  # handlers did not end within shutdown_timeout
ORPHANED: Final = 3  # supervisord is gone
SLOT_HELD: Final = 4  # by another live process
FATAL: Final = EXIT_FATAL
SPARE: Final = EXIT_SPARE
CONFIG: Final = EXIT_CONFIG


def last_words(text: str) -> None:
    """Write one line to stderr, unless that would block.

    Not through logging: another thread may hold its lock for ever.
    """
    writable = select.poll()
    writable.register(2, select.POLLOUT)
    try:
        if writable.poll(0):
            os.write(2, f"{text}\n".encode("ascii", "backslashreplace"))
    except OSError:
        pass  # nobody is left to read it


def wait_no_more_for_stderr() -> None:
    """Let writes to a full stderr fail from now on: the process ends.

    A pipe's write end is shared with nobody but what this process has started.
    """
    with suppress(OSError):
        if stat.S_ISFIFO(os.fstat(2).st_mode):
            os.set_blocking(2, False)


def leave(code: int, text: str) -> NoReturn:
    """End the process at once: no destructor, no atexit hook, no other thread runs."""
    last_words(text)
    os._exit(code)


def end_fork_of(own_pid: int, error: BaseException | None = None) -> None:
    """End this process where it is a child that a handler has forked; else nothing.

    A child has none of the threads that go on in its parent, so it could not go on.
    What it raised, or that it came back, is not its parent's.
    """
    if os.getpid() == own_pid:
        return
    if error is None:
        os._exit(STOPPED)
    if isinstance(error, SystemExit) and isinstance(error.code, int | None):
        os._exit(error.code or STOPPED)
    leave(CRASHED, "".join(traceback.format_exception(error)))
