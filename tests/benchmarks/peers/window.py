"""What every side of a throughput figure counts with: messages, seconds, CPU.

The standard library alone: each peer has an environment of its own. A side finds its
orders in a JSON file, whose path is in the environment variable ``SIDE``, and writes
what it measured to the file that they name. It then goes on until it is killed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Final

ORDERS: Final[dict[str, Any]] = json.loads(Path(os.environ["SIDE"]).read_text())


class Window:
    """A stretch of time in the middle of a side's work.

    It begins ``warm_s`` after the first message, or, where the orders name a file
    ``go``, when that is there; it ends after ``window_s``, each time with a batch. A
    file with suffix ``.first`` tells of the first message.
    """

    def __init__(self, name: str = "") -> None:
        """Wait for the first message.

        Args:
            name: Ends the result's file name, where several processes are one side.
        """
        self._result = Path(ORDERS["result"] + name)
        self._go = Path(ORDERS["go"]) if "go" in ORDERS else None
        self._total = 0
        self._begins_at_s: float | None = None
        self._partitions: set[int] = set()
        self._began: tuple[float, float, int] | None = None  # seconds, CPU, messages
        self._is_over = False

    def saw(self, count: int, partition: int | None = None) -> None:
        """So many more messages were handled. Once a batch, on one thread."""
        self._total += count
        if self._is_over or not self._total:
            return
        now_s = time.monotonic()
        if self._total > ORDERS["most"]:  # the rest would be waiting
            self._end(now_s, *(self._began or (now_s, 0.0, 0)))
            return
        if self._began is None:
            self._begin(now_s)
            return
        if partition is not None:
            self._partitions.add(partition)
        if now_s - self._began[0] >= ORDERS["window_s"]:
            self._end(now_s, *self._began)

    def _begin(self, now_s: float) -> None:
        if self._begins_at_s is None:
            self._begins_at_s = now_s + ORDERS["warm_s"]
            self._result.with_suffix(".first").touch()
        is_time = self._go.exists() if self._go else now_s >= self._begins_at_s
        if is_time:
            self._began = time.monotonic(), time.process_time(), self._total

    def _end(self, now_s: float, began_s: float, cpu_s: float, before: int) -> None:
        self._is_over = True
        told = {
            "messages": self._total - before,
            "seconds": now_s - began_s,
            "cpu_s": time.process_time() - cpu_s,
            "total": self._total,
            "partitions": sorted(self._partitions),
        }
        unfinished = self._result.with_suffix(".part")
        unfinished.write_text(json.dumps(told) + "\n", encoding="utf-8")
        unfinished.replace(self._result)
