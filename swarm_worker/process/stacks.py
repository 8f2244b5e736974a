"""The stacks that a process writes on TTIN, and of which process and moment they are.

faulthandler writes them in C, also while a handler holds the GIL for good, but says
neither whose they are nor when. So the reporter, a thread that every supervised process
has, calls its turns under a name with the pid and the moment (`signed`): it stands in
each dump, a crash's, too. Where Python runs, a line after the dump has the exact moment
and the names of all threads, and, while ``tracemalloc`` runs, what holds most memory.
"""

from __future__ import annotations

import _tracemalloc
import faulthandler
import os
import re
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType, FunctionType
from typing import TYPE_CHECKING, Final, TypeVar, cast

if TYPE_CHECKING:
    from tracemalloc import Snapshot

C = TypeVar("C", bound=Callable[..., object])

TOP: Final = 10  # places that hold most memory
LINE_MAX: Final = 4096  # PIPE_BUF: written whole, or not at all
_NAME_MAX: Final = 40
_PATH_MAX: Final = 200
_STDERR: Final = 2
_WRITABLE_WITHIN_S: Final = (
    0.5  # a pipe that nobody reads keeps the main thread so long
)

# Of tracemalloc's own memory: 0.7 million blocks. To copy them holds the GIL for 0.2 s
# and needs twice as much for a moment, in a process that may be short of it; to count
# them takes 1.5 s of a thread.
_TRACES_BYTES_MAX: Final = 32 * 2**20
_UNFIT: Final = re.compile(r"[^!-+\-.-<>-~]")  # not printable ASCII, or "," or "="
_COUNTING: Final = "swarm-allocations"


def write_when_asked() -> None:
    """Write the stacks of all threads on TTIN; names need a call on the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    faulthandler.unregister(signal.SIGTTIN)  # else it would not see our handler
    if is_main:
        signal.signal(signal.SIGTTIN, _describe)
    # In C: it prints although an import hangs, or a handler holds the GIL.
    faulthandler.register(signal.SIGTTIN, file=_STDERR, all_threads=True, chain=is_main)


def finish(within_s: float) -> None:
    """Wait for what is still counted of the memory, for so long at most."""
    for thread in _counting():
        thread.join(within_s)


def signed(turn: C) -> C:
    """Return a function under a name that says in a dump of which process it is.

    And of which moment: the dump is of a later one.
    """
    return named(turn, f"reporter_of_pid_{os.getpid()}_at_{_now():%Y%m%dT%H%M%S.%fZ}")


def named(function: C, name: str) -> C:
    """Return a plain function whose frame has another name in a dump."""
    plain = cast("FunctionType", function)
    code = plain.__code__.replace(co_name=name)
    made = FunctionType(
        code, plain.__globals__, name, plain.__defaults__, plain.__closure__
    )
    return cast("C", made)


def _now() -> datetime:
    return datetime.now(UTC)


def _describe(number: int, frame: FrameType | None) -> None:
    """Write, after the dump, whose and of when it is. Runs once Python does."""
    del number, frame
    _write(_signature())
    if _tracemalloc.is_tracing() and not _counting():
        counting = threading.Thread(
            target=_write_allocations, name=_COUNTING, daemon=True
        )
        with suppress(RuntimeError):  # the system gives no thread
            counting.start()


def _counting() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == _COUNTING]


def _write(text: str) -> None:
    line = text.encode("ascii", "backslashreplace")
    with suppress(OSError, ValueError):
        if select.select((), (_STDERR,), (), _WRITABLE_WITHIN_S)[1]:
            os.write(_STDERR, line)


def _signature() -> str:
    """Return the line that says whose stacks these are, of when, and who is who."""
    head = f"swarm_stacks pid={os.getpid()} at={_now().isoformat()} threads="
    names: list[str] = []
    left = LINE_MAX - len(head) - 1
    for thread in threading.enumerate():
        name = f"{thread.ident or 0:#x}={_plain(thread.name)}"
        left -= len(name) + 1
        if left < 0:
            break
        names.append(name)
    return f"{head}{','.join(names)}\n"


def _plain(name: str) -> str:
    """Return a thread's name, which anybody may choose, as one short word."""
    return _UNFIT.sub("_", name)[:_NAME_MAX]


# --- memory ---------------------------------------------------------------------------


def _write_allocations() -> None:
    import tracemalloc  # noqa: PLC0415 - a node whose memory is not traced needs it never

    head = f"swarm_allocations pid={os.getpid()} at={_now().isoformat()}"
    if tracemalloc.get_tracemalloc_memory() > _TRACES_BYTES_MAX:
        _write(f"{head} why='too many blocks to look through'\n")
        return
    lines = [head, *top_allocations(tracemalloc.take_snapshot())]
    _write("".join(f"{line}\n" for line in lines))


def top_allocations(snapshot: Snapshot) -> Iterator[str]:
    """Yield a line for each place that holds much memory, the most first."""
    for place in snapshot.statistics("lineno")[:TOP]:
        frame = place.traceback[-1]
        where = f"{frame.filename[-_PATH_MAX:]}:{frame.lineno}"
        yield f"  {place.size / 2**20:.1f} MB in {place.count} blocks at {where}"
