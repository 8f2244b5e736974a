"""An event listener that only records: a witness that shares no code with ours.

``python -m tests.recorder FILE`` appends one JSON object a line: the event's name, its
payload, the pool's serial number and CLOCK_MONOTONIC of its arrival.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path


def main(path: str) -> None:
    """Record until supervisord closes the stream."""
    events = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="")
    with Path(path).open("a", encoding="ascii", buffering=1) as record:
        os.write(1, b"READY\n")
        while header := events.readline():
            tokens = dict(token.partition(":")[::2] for token in header.split())
            payload = events.read(int(tokens["len"]))
            line = {
                "event": tokens["eventname"],
                "pool_serial": int(tokens["poolserial"]),
                "payload": payload,
                "at_s": time.monotonic(),
            }
            record.write(json.dumps(line) + "\n")
            os.write(1, b"RESULT 2\nOKREADY\n")


if __name__ == "__main__":
    main(sys.argv[1])
