"""How a process died that nobody had stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from swarm_worker.shared.settings import EXIT_CONFIG, EXIT_FATAL, EXIT_SPARE


class OutOfMemory(StrEnum):
    """Whether the kernel has killed a process for want of memory."""

    NO = "no"  # or nothing tells of it
    PERHAPS = "perhaps"  # it has killed a process of the machine in that moment
    YES = "yes"  # it has killed one of that cgroup


class DeathCause(StrEnum):
    """What a process died of, in a word."""

    OOM = "oom"
    KILL = "kill"
    SIGNAL = "signal"
    EXIT = "exit"
    UNKNOWN = "unknown"


# For people and for metrics.
DEATHS: Final[Mapping[DeathCause, str]] = {
    DeathCause.OOM: "killed since memory was short",
    DeathCause.KILL: "killed (SIGKILL)",
    DeathCause.SIGNAL: "ended by another signal, such as a crash in C",
    DeathCause.EXIT: "exited by itself",
    DeathCause.UNKNOWN: "ended, cause not known",
}
_EXITS: Final = {
    EXIT_CONFIG: ", since what it was given cannot work",
    EXIT_FATAL: ", fenced by Kafka or refused for good",
    EXIT_SPARE: ", as a spare, although it is to run",
}
_OOM: Final = {
    OutOfMemory.NO: "",
    OutOfMemory.PERHAPS: ", perhaps since memory was short",
    OutOfMemory.YES: ", since memory was short (OOM)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The end of one process.

    Attributes:
        pid: The process; None where it ended before its pid was told.
        exit_code: With which it exited; None for a signal, or not known.
        signal: What ended it, such as SIGKILL; None for an exit, or not known.
        out_of_memory: Whether the kernel did.
        is_told: All that can be known of it is known.
        is_seen: supervisord said that it ended; else only that another process is
            there now, which an operator may have wanted.
    """

    pid: int | None
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: OutOfMemory = OutOfMemory.NO
    is_told: bool = False
    is_seen: bool = True

    @property
    def cause(self) -> DeathCause:
        """What it died of."""
        if self.out_of_memory is OutOfMemory.YES:
            return DeathCause.OOM
        if self.signal is not None:
            is_kill = self.signal == "SIGKILL"
            return DeathCause.KILL if is_kill else DeathCause.SIGNAL
        return DeathCause.UNKNOWN if self.exit_code is None else DeathCause.EXIT

    def __str__(self) -> str:
        """Return how it died, for people."""
        if self.pid is None and self.cause is DeathCause.UNKNOWN:
            return "its process ended as it began, or could not be started"
        who = "its process" if self.pid is None else f"pid {self.pid}"
        if self.signal is not None:
            return f"{who} was ended by {self.signal}{_OOM[self.out_of_memory]}"
        if self.exit_code is not None:
            return f"{who} exited with {self.exit_code}{_EXITS.get(self.exit_code, '')}"
        return f"{who} {DEATHS[DeathCause.UNKNOWN]}"

    def as_json(self) -> dict[str, Any]:
        """Return it as it is shown to programs."""
        return {
            "pid": self.pid,
            "cause": self.cause.value,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "out_of_memory": self.out_of_memory.value,
        }
