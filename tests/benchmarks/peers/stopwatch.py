"""What both sides of the latency figures measure with: from produce to handler.

A message is ``KIND NANOSECONDS``: when it was produced, by the monotonic clock, which
all processes of a machine share. Of kind ``warm`` it only shows that the side is there.
A file with suffix ``.first`` tells of the first; the result is written when as many as
the orders say have come.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

ORDERS: Final[dict[str, Any]] = json.loads(Path(os.environ["SIDE"]).read_text())


class Stopwatch:
    """Latencies by kind, in seconds. Thread-safe."""

    def __init__(self) -> None:
        """Wait for the first message."""
        self._result = Path(ORDERS["result"])
        self._lock = threading.Lock()
        self._found: dict[str, list[float]] = defaultdict(list)
        self._missing = int(ORDERS["expected"])

    def stop(self, value: bytes | None) -> None:
        """A message has come to its handler, just now."""
        now_ns = time.monotonic_ns()
        kind, sent_ns = (value or b"").split()
        if kind == b"warm":
            self._result.with_suffix(".first").touch()
            return
        with self._lock:
            self._found[kind.decode()].append((now_ns - int(sent_ns)) / 1e9)
            self._missing -= 1
            if not self._missing:
                self._write()

    def _write(self) -> None:
        unfinished = self._result.with_suffix(".part")
        unfinished.write_text(json.dumps(self._found) + "\n", encoding="utf-8")
        unfinished.replace(self._result)
