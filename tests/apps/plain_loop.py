"""A loop of its own without Kafka, which reports: what `Liveness` is made for.

``plain_loop.py WHAT``: ``work`` polls and works, ``boot`` never polls, ``stuck`` hangs
in its work, ``fail`` raises in it, ``crash_in_c`` crashes as an extension does. TERM
ends the loop, a second one the process.
"""

import ctypes
import signal
import sys
import threading

from swarm_worker import Liveness


def main(what: str) -> None:
    """Run until TERM, and close until the next."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    print("before the loop", flush=True)  # noqa: T201 - that is what is tried
    with Liveness(max_poll_interval_ms=7_000, liveness_interval_ms=500) as liveness:
        print("in the loop")  # noqa: T201 - the same
        while not stopping.wait(0.05):
            if what == "boot":
                continue
            liveness.polled()
            with liveness.consuming("orders/0@1"):
                if what == "stuck":
                    stopping.wait()
                if what == "crash_in_c":
                    ctypes.string_at(0)
                if what == "fail":
                    raise RuntimeError(what)
    stopping.clear()
    stopping.wait()


if __name__ == "__main__":
    main(sys.argv[1])
