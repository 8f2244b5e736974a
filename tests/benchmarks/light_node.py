"""``light_node.py reports FILE | beats PORT | nothing``: a process to be watched.

Runs with ``python -I -S`` and imports next to nothing, so that hundreds fit into a
small machine. All three wake up each five seconds:

* ``reports`` writes a report as a node does, at multiples of the interval; FILE has
  one that `swarm_worker.report` encoded, with a 0 as seq and at_ms,
* ``beats`` sends what circus' watchdog wants to hear, each process at a moment of its
  own: hundreds at once would not fit into the buffer of a UDP socket,
* ``nothing`` does nothing.

It ends when the parent does.
"""

import os
import select
import sys
import time
from collections.abc import Callable

EVERY_S = 5.0
EARLY_S = 0.1  # a wait that ended early has still come to its multiple


def main(what: str, told: str = "") -> None:
    """Do it for as long as the parent lives."""
    parent_pid = os.getppid()
    tell = {"reports": _reports, "beats": _beats, "nothing": _silence}[what](told)
    phase_s = os.getpid() % 500 / 100 if what == "beats" else 0.0
    count = 0
    while os.getppid() == parent_pid:
        tell(count)
        count += 1
        now_s = time.monotonic() - phase_s
        next_s = ((now_s + EARLY_S) // EVERY_S + 1) * EVERY_S
        select.select([], [], [], next_s - now_s)


def _reports(file: str) -> Callable[[int], object]:
    with open(file, "rb") as lines:  # noqa: PTH123 - pathlib is not light
        frame = lines.read()

    def tell(count: int) -> None:
        at_ms = round(time.monotonic() * 1000)
        numbered = frame.replace(b'"seq":0', b'"seq":%d' % count, 1)
        os.write(1, numbered.replace(b'"at_ms":0', b'"at_ms":%d' % at_ms, 1))

    return tell


def _beats(port: str) -> Callable[[int], object]:
    import socket

    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    text = b"%d;%d"

    def tell(_: int) -> None:
        now = round(time.clock_gettime(time.CLOCK_REALTIME))
        sender.sendto(text % (os.getpid(), now), ("127.0.0.1", int(port)))

    return tell


def _silence(_: str) -> Callable[[int], object]:
    return lambda _: None


if __name__ == "__main__":
    main(*sys.argv[1:])
