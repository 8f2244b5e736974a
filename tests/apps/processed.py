"""What a node says it has processed: lines appended to one file by many processes.

Standard library only, so that any test app can import it. A line is one ``write`` to a
descriptor opened with ``O_APPEND``: the kernel puts the lines of all processes into one
order, and that order is the witness. Who appends must do so *before* the handler
returns, so that a line precedes the commit that it allows.

A process killed in the middle of its write may leave a torn line. Each line therefore
also begins with a newline: what is torn spoils nothing but itself. Its message then
counts as not processed, which is right: its handler has not returned.
"""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BORN_AT_S = time.monotonic()


@dataclass(frozen=True, slots=True, order=True)
class Life:
    """One process of one node, told apart from others even if the pid is reused."""

    node: int
    pid: int
    born_at_s: float

    def __str__(self) -> str:
        return f"node {self.node} pid {self.pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """One message that a handler has finished.

    Times are ``CLOCK_MONOTONIC``, which all processes of a machine share.
    """

    life: Life
    topic: str
    partition: int
    offset: int
    id: int
    begun_at_s: float
    done_at_s: float


def number_in(value: bytes | None) -> int:
    """Return the number under which a message of this value was produced."""
    number: int = json.loads(value or b"")["id"]
    return number


def append_processed(
    path: str | os.PathLike[str],
    *,
    node: int,
    topic: str,
    partition: int,
    messages: Iterable[tuple[int, int]],
    begun_at_s: float,
) -> None:
    """Append one line for messages, each ``(offset, id)``, done by now.

    ``begun_at_s`` is ``time.monotonic()`` from before the first of them was touched.

    Raises:
        OSError: The line could not be written, or not wholly.
    """
    row = {
        "life": [node, os.getpid(), BORN_AT_S],
        "at": [topic, partition],
        "took": [begun_at_s, time.monotonic()],  # before the write, see tests.ledger
        "messages": list(messages),
    }
    line = b"\n%s\n" % json.dumps(row, separators=(",", ":")).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written != len(line):
        raise OSError(f"{path}: {written} of {len(line)} bytes written")


class ProcessedFile:
    """Reads the lines as they come, in their order.

    Attributes:
        rows: All messages read so far.
        torn_count: Lines that are no rows: their writer was killed meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Processed] = []
        self.torn_count = 0
        self._read_bytes = 0

    def read(self) -> list[Processed]:
        """Read what was appended since the last call; return all rows so far."""
        if not self.path.exists():
            return self.rows
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            if line:
                self._take(line)
        return self.rows

    def _take(self, line: bytes) -> None:
        try:
            self.rows.extend(parse(line))
        except (ValueError, KeyError, TypeError):
            self.torn_count += 1


def parse(line: bytes) -> list[Processed]:
    """Turn one line into its messages.

    Raises:
        ValueError, KeyError, TypeError: The line is no row.
    """
    row = json.loads(line)
    life, (topic, partition), (begun_at_s, done_at_s) = (
        Life(*row["life"]),
        row["at"],
        row["took"],
    )
    return [
        Processed(
            life=life,
            topic=topic,
            partition=partition,
            offset=offset,
            id=number,
            begun_at_s=begun_at_s,
            done_at_s=done_at_s,
        )
        for offset, number in row["messages"]
    ]
