"""``light_node.py reports FILE | beats PORT | nothing``: a process to be watched.

Runs with ``python -I -S`` and imports next to nothing, so that hundreds fit into a
small machine. Each second all three take some memory or give it back, so that none of
what watches finds the reading of before; and each five seconds

* ``reports`` writes a report as a node does, at multiples of the interval; FILE has
  one that `swarm_worker.shared.report` encoded, with a 0 as seq and at_ms,
* ``beats`` sends what circus' watchdog wants to hear, each process at a moment of its
  own: hundreds at once would not fit into the buffer of a UDP socket,
* ``nothing`` does nothing.

It ends when the parent does.
"""

import mmap
import os
import select
import sys
import time
from collections.abc import Callable

EVERY = 5  # wake-ups
EARLY_S = 0.1  # a wait that ended early has still come to its multiple
# More than the kernel leaves uncounted in a reading of the resident pages.
BREATH_BYTES = 128 * mmap.PAGESIZE


def main(what: str, told: str = "") -> None:
    """Do it for as long as the parent lives."""
    parent_pid = os.getppid()
    tell = {"reports": _reports, "beats": _beats, "nothing": _silence}[what](told)
    phase_s = os.getpid() % 500 / 100 if what == "beats" else 0.0
    tell(0)
    count = 1
    period = (time.monotonic() - phase_s) // EVERY
    held = None
    while os.getppid() == parent_pid:
        now_s = time.monotonic() - phase_s
        next_s = (now_s + EARLY_S) // 1 + 1
        select.select([], [], [], next_s - now_s)
        held = _breathe(held)
        if next_s // EVERY > period:  # also where a wake-up was missed
            period = next_s // EVERY
            tell(count)
            count += 1


def _breathe(held: mmap.mmap | None) -> mmap.mmap | None:
    """Give back what is held, or take as much anew; a map comes and goes at once."""
    if held is not None:
        held.close()
        return None
    taken = mmap.mmap(-1, BREATH_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, BREATH_BYTES, mmap.PAGESIZE):
        taken[page] = 1
    return taken


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
