"""What a node and a bare process both do, so that they can be compared.

They write down when they first polled and when they first had a message to handle, in a
file, as lines of ``word pid wall-clock-seconds count``. With ``BENCH_LAST`` in the
environment the moment of the last message so far is kept in a file of its own.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import confluent_kafka

NOTES: Final = Path(os.environ["BENCH_NOTES"])
TOPIC: Final = os.environ["BENCH_TOPIC"]
GROUP: Final = os.environ["BENCH_GROUP"]


def note(word: str, count: int = 0) -> None:
    """Append a line, in one write."""
    now_s = time.clock_gettime(time.CLOCK_REALTIME)
    with NOTES.open("ab", buffering=0) as lines:
        lines.write(b"%s %d %.6f %d\n" % (word.encode(), os.getpid(), now_s, count))


class Handled:
    """Counts what is handled; notes the first message, and each thousandth."""

    def __init__(self) -> None:
        self.count = 0
        self._last = _last() if "BENCH_LAST" in os.environ else None

    def __call__(self, messages: Iterable[confluent_kafka.Message]) -> None:
        """Handle some."""
        for message in messages:
            json.loads(message.value() or b"0")
            self.count += 1
            if self.count == 1:
                note("first")
            if self.count % 1000 == 0:
                note("handled", self.count)
            if self._last is not None:
                now_s = time.clock_gettime(time.CLOCK_REALTIME)
                os.pwrite(self._last, b"%.6f" % now_s, 0)  # always as long


def _last() -> int:
    path = NOTES.with_name(f"{NOTES.name}.last.{os.getpid()}")
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)


class NotingConsumer(confluent_kafka.Consumer):
    """A consumer that notes its first poll."""

    _has_polled = False

    def poll(self, timeout: float = -1.0) -> confluent_kafka.Message | None:
        """Poll."""
        if not self._has_polled:
            self._has_polled = True
            note("polled", round(time.process_time() * 1e6))  # us of CPU so far
        return super().poll(timeout)


def note_first_poll() -> None:
    """Have whoever imports the client from now on get one that notes."""
    confluent_kafka.Consumer = NotingConsumer  # type: ignore[misc]
