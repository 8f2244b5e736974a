"""The node's clock: the monotonic one without the times when the node was frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

# A thread that only waits is never that late while its process runs and the GIL is
# free: the process was stopped, or the machine suspended or starved.
LATE_S: Final = 2.0
BUSY_SHARE: Final = 0.5


class NodeClock:
    """Seconds for ages. Nothing ages while the node is frozen.

    A node that was stopped for a minute and continued is not a minute behind with its
    polls; it must not be restarted for that.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Follow ``monotonic``."""
        self._monotonic = monotonic
        self._frozen_s = 0.0

    def __call__(self) -> float:
        """Return the node's time. Any thread may ask."""
        return self._monotonic() - self._frozen_s

    def woke(self, *, late_s: float, busy_s: float) -> None:
        """Record that a wait ended later than it should have.

        Only one thread may call this. A time that another thread read since is then
        ahead of the clock: an age is never less than 0.

        Args:
            late_s: By how much.
            busy_s: CPU time of the process meanwhile. A process that used much of it
                was not frozen: a handler held the GIL, and that does count.
        """
        if late_s > LATE_S and busy_s < late_s * BUSY_SHARE:
            self._frozen_s += late_s


def age_ms(moments_s: Iterable[float | None], *, now_s: float) -> int | None:
    """Return the age of the oldest moment; None where none is known.

    A clock that another thread read may be ahead: an age is never less than 0.
    """
    known = [moment_s for moment_s in moments_s if moment_s is not None]
    return max(0, round((now_s - min(known)) * 1000)) if known else None
