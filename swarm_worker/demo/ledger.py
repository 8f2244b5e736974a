"""The outside witness: which messages were acknowledged, and which were processed.

Nodes append one line per message to one file, each by a single O_APPEND write before
the handler returns. The kernel puts the lines of all processes into one order, and a
node that is killed takes none of them along. Nobody's log is believed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Processed:
    """One message that a handler has finished."""

    node: int
    pid: int
    number: int


def append(path: Path, processed: Processed) -> None:
    """Write one line.

    Raises:
        OSError: It could not be written: the message is not processed then.
    """
    line = f"{processed.node} {processed.pid} {processed.number}\n".encode("ascii")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


class LedgerFile:
    """Reads the lines as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0

    def read(self) -> list[Processed]:
        """Give what was appended since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return [Processed(*map(int, line.split())) for line in whole.splitlines()]


@dataclass(slots=True)
class Ledger:
    """What the lines and the acknowledgements come to.

    Attributes:
        acknowledged: Numbers that the broker has taken over; they must be processed.
        processed: How often each number was.
        last: The newest line of each node.
        by_node: Messages processed by each node, in all its lives.
    """

    acknowledged: set[int] = field(default_factory=set)
    processed: Counter[int] = field(default_factory=Counter)
    last: dict[int, Processed] = field(default_factory=dict)
    by_node: Counter[int] = field(default_factory=Counter)

    def take(self, lines: Iterable[Processed]) -> None:
        """Enter what was processed."""
        for line in lines:
            self.processed[line.number] += 1
            self.last[line.node] = line
            self.by_node[line.node] += 1

    @property
    def lost_count(self) -> int:
        """Messages that were acknowledged and are not processed (yet)."""
        return sum(number not in self.processed for number in set(self.acknowledged))

    @property
    def duplicate_count(self) -> int:
        """Messages processed once more than needed, each time counted."""
        return self.processed.total() - len(self.processed)
