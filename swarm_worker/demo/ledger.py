"""A record kept outside the nodes: messages acknowledged, and messages processed.

Nodes append one line per message to one file, each by a single O_APPEND write before
the message counts as done. The kernel puts the lines of all processes into one order,
and a node that is killed takes none of them along. Nobody's log is believed.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path


class Ledger:
    """What the lines and the acknowledgements come to."""

    def __init__(self, path: Path) -> None:
        self.acknowledged: set[int] = set()  # messages that the broker has taken over
        self.processed: Counter[int] = Counter()  # how often each message was
        self.pids: dict[int, int] = {}  # by node, of the process that did it last
        self.consumed_at_s: dict[int, float] = {}  # by node, when that was seen
        self._path = path
        self._read_bytes = 0
        path.touch()

    def read(self) -> None:
        """Enter the lines that were appended since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]  # a node may be in its write
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            node, pid, number = map(int, line.split())
            self.processed[number] += 1
            self.pids[node] = pid
            self.consumed_at_s[node] = time.monotonic()

    def sums(self) -> dict[str, int]:
        """Return how many messages are in which state, as ``--json`` tells it."""
        return {
            "produced": len(self.acknowledged),
            "processed": len(self.processed),
            "lost": len(self.acknowledged - self.processed.keys()),  # or not done yet
            "duplicates": self.processed.total() - len(self.processed),
        }
