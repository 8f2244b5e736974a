"""The files that say which process owns an id in Kafka, beside the slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swarm_worker.shared.state_files import lock_files

SUFFIX: Final = ".id"
FILE_MAX: Final = 4096  # bytes
_NAME_MAX: Final = 200  # bytes of a file's name, of the 255 that there are


@dataclass(frozen=True, slots=True)
class Signature:
    """What such a file says.

    Attributes:
        owner: supervisord's ``group:name`` of the process.
        at_s: CLOCK_MONOTONIC when it last said so.
    """

    owner: str
    at_s: int

    def __str__(self) -> str:
        """Return the text of the file."""
        return f"{self.owner}\n{self.at_s}\n"


def file_name(instance_id: str) -> str:
    """Return the name of an id's file."""
    return f"{lock_files.file_name(instance_id, most=_NAME_MAX)}{SUFFIX}"


def signature(text: str) -> Signature | None:
    """Read a file's text; None where it is none, or half of one."""
    owner, _, at_s = text.strip().partition("\n")
    return Signature(owner, int(at_s)) if owner and at_s.isdecimal() else None
