"""Finds the stacks that a node wrote to its log when it was asked for them (TTIN)."""

from __future__ import annotations

import re
from typing import Final

# What Python's faulthandler writes: a header for each thread, its frames indented
# below, and an empty line between threads.
_HEADER: Final = re.compile(
    r"(?:(?:Current thread|Thread) (0x[0-9a-f]+)|Current thread's C stack trace).*"
    r"\(most recent call first\):$"
)


def dumps(text: str) -> tuple[str, ...]:
    """Return each dump of all threads, oldest first.

    A dump ends with a line of another kind, or where a thread comes again.
    """
    found: list[str] = []
    dump: list[str] = []
    threads: set[str] = set()
    for line in [*text.splitlines(), "end"]:
        header = _HEADER.match(line)
        is_frame = line.startswith("  ") or not line
        is_again = header is not None and header[1] in threads
        if dump and (is_again or not (header or is_frame)):
            found.append("\n".join(dump).strip())
            dump, threads = [], set()
        if header or (dump and is_frame):
            dump.append(line)
        if header and header[1]:
            threads.add(header[1])
    return tuple(found)
