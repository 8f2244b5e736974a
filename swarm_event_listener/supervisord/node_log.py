"""A node's stderr log: from the file where that can be read, else from supervisord."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)

TAIL_BYTES: Final = 256 * 1024
REMOTE_TAIL_BYTES: Final = 64 * 1024
_OVERLAP: Final = 500  # characters that tell where one tail goes on in the next


class NodeLog:
    """The log of one node."""

    def __init__(self, name: str, path: str, remote_tail: Callable[[str], str]) -> None:
        """Read a node's file; where that cannot be read, by ``remote_tail``."""
        self._name = name
        self._path = Path(path)
        self._remote_tail = remote_tail

    def tail(self) -> str:
        """Return the end of the log; empty where it cannot be read at all."""
        size = self._size()
        if size is None:
            return self._remote_tail(self._name)
        return self._read(max(0, size - TAIL_BYTES))

    def mark(self) -> int | str:
        """Return a mark of where the log ends now."""
        size = self._size()
        return self._remote_tail(self._name) if size is None else size

    def since(self, mark: int | str) -> str:
        """Return what came after a mark; all of a file that was begun anew."""
        if isinstance(mark, int):
            return self._read(mark if (self._size() or 0) >= mark else 0)
        now = self._remote_tail(self._name)
        if now.startswith(mark):
            return now[len(mark) :]
        return now.rpartition(mark[-_OVERLAP:])[2]

    def _size(self) -> int | None:
        """Return the size of the file; None where it cannot be read."""
        try:
            with self._path.open("rb") as file:
                return file.seek(0, 2)
        except OSError:
            return None

    def _read(self, start: int) -> str:
        try:
            with self._path.open("rb") as file:
                file.seek(start)
                return file.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""


def log_of(name: str, supervisor: Supervisor) -> NodeLog:
    """Return the log of a node; one that cannot be found is empty."""

    def tail(name: str) -> str:
        with suppress(SupervisorFault, SupervisorUnreachable):
            return supervisor.stderr_end(name, REMOTE_TAIL_BYTES)
        return ""

    path = ""
    with suppress(SupervisorFault, SupervisorUnreachable):
        path = supervisor.stderr_log(name)
    return NodeLog(name, path, tail)
