"""Why a listener hears nothing although it reads: what supervisord's log says of it."""

from __future__ import annotations

from typing import Final

LOG_END_BYTES: Final = 262_144  # three lines for each start of a node, of 20 s

PRINTED: Final = (
    "something was printed on its stdout, where supervisord then ignores it for good: "
    "by a sitecustomize, a .pth file, or a wrapper in command=; supervisorctl swarm "
    "doctor shows what"
)
HANGS: Final = "supervisord hangs, or TICK_5 is not among the events= of this listener"


def is_ignored(log: str, *, name: str, pid: int) -> bool:
    """Whether supervisord says that it sends a process no events any more.

    Args:
        log: The end of supervisord's log.
        name: The process, without its group.
        pid: That of this life: what was said of an earlier one does not count.
    """
    _, spawned, since = log.rpartition(f"spawned: '{name}' with pid {pid}\n")
    return bool(spawned) and f" {name}: has entered the UNKNOWN state" in since


def cause(*, has_heard: bool, answers: bool, ignored: bool) -> str:
    """Return the likeliest reason, and what else it may be.

    Args:
        has_heard: An event has come in this life.
        answers: supervisord answers calls.
        ignored: See `is_ignored`.
    """
    if ignored:
        return PRINTED
    if has_heard or not answers:
        return HANGS
    return f"nothing has come at all: {PRINTED}; or {HANGS}"
