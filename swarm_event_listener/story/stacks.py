"""Stacks as people read them: who waits for work is counted, the others are shown."""

from __future__ import annotations

import re
from typing import Final

from swarm_event_listener.story.stack_dumps import Dump, Frame, Thread

# Of the standard library, wherever that is installed: where a thread waits, by module.
_LIBRARY: Final = re.compile(
    r"(?:^|/)python3\.\d+t?/((?:concurrent/futures/|logging/|asyncio/)?\w+)\.py$"
)
_WAITS: Final = {
    "threading": {"wait", "join", "_wait_for_tstate_lock"},
    "queue": {"get"},
    "selectors": {"select"},
    "concurrent/futures/thread": {"_worker"},
    "logging/handlers": {"dequeue"},
}
_BASES: Final = frozenset({*_WAITS, "asyncio/base_events", "asyncio/runners"})

# Of a node itself: its main thread waits for signals, its handlers for work.
_OURS: Final = re.compile(r"(?:^|/)swarm_worker/((?:\w+/)*\w+)\.py$")
_OUR_WAITS: Final = {
    "process/signals": {"wait"},
    "processing/handlers": {"_run"},
}
_NAMED: Final = re.compile(r"(swarm-[\w.-]+)$")  # a thread's first frame, in a node
_MAIN: Final = frozenset({"<module>", "_run_module_as_main"})
_ENTRY: Final = re.compile(r"/swarm-worker$|^<frozen runpy>$")


def render(dump: Dump) -> list[str]:
    """Return lines: the threads that do something, how many are idle, the memory."""
    idle = [thread for thread in dump.threads if is_idle(thread)]
    parts = [_shown(thread) for thread in dump.threads if thread not in idle]
    if idle:
        parts.append([f"{len(idle)} idle thread{'s' if len(idle) > 1 else ''}"])
    if dump.allocations:
        places = [f"  {line}" for line in dump.allocations]
        parts.append(["memory, by where it was allocated:", *places])
    return "\n\n".join("\n".join(part) for part in parts).split("\n")


def is_idle(thread: Thread) -> bool:
    """Whether a thread waits for work, with nothing of an app's on its stack.

    A wait that an app's code has called may well be the reason why nothing goes on.
    """
    if not thread.frames:
        return False
    return _waits(thread) and all(map(_is_base, thread.frames))


def _waits(thread: Thread) -> bool:
    innermost = thread.frames[0]
    library, own = _LIBRARY.search(innermost.file), _OURS.search(innermost.file)
    if library:
        return innermost.function in _WAITS.get(library[1], ())
    if own is None:
        return False
    is_first = _NAMED.match(innermost.function) is not None
    function = "_run" if is_first else innermost.function
    return function in _OUR_WAITS.get(own[1], ())


def _is_base(frame: Frame) -> bool:
    """Whether a frame is of a node or of what threads are made of."""
    library = _LIBRARY.search(frame.file)
    if library:
        return library[1] in _BASES
    return bool(_OURS.search(frame.file) or _ENTRY.search(frame.file))


def _shown(thread: Thread) -> list[str]:
    """Return a thread's stack, without the frames that began it."""
    frames = list(thread.frames)
    while len(frames) > 1 and _is_of_threading(frames[-1]):
        frames.pop()
    title = name_of(thread) or (f"{thread.id:#x}" if thread.id else "C")
    lines = [f"thread {title}:"]
    return lines + [f"  {f.file}:{f.line} in {f.function}" for f in frames]


def _is_of_threading(frame: Frame) -> bool:
    library = _LIBRARY.search(frame.file)
    return library is not None and library[1] == "threading"


def name_of(thread: Thread) -> str | None:
    """Return a thread's name: as its process says, or by its first frame."""
    if thread.name:
        return thread.name
    if thread.frames and thread.frames[-1].function in _MAIN:
        return "MainThread"
    for frame in reversed(thread.frames):
        if not _is_of_threading(frame):
            named = _NAMED.match(frame.function)
            return named[1] if named else None
    return None
