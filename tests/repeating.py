"""What tests do all the while, in a thread: produce, sample, look."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic


@contextmanager
def repeating(act: Callable[[], None], *, every_s: float, name: str) -> Iterator[None]:
    """Call ``act`` at a steady pace in a thread; the block's end raises its error.

    A call that took too long is followed by the next ones at once, until the pace is
    caught up.
    """
    ended = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        next_at_s = monotonic()
        try:
            while not ended.wait(max(0.0, next_at_s - monotonic())):
                act()
                next_at_s += every_s
        except BaseException as error:  # noqa: BLE001 - handed over to the test's thread
            failed.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]
