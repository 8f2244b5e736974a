"""When a window of a measurement may begin (pure)."""

from __future__ import annotations

import math
from typing import Final

MINUTE_S: Final = 60.0

# Seconds of the minute at which a window of a minute begins: what happens at the full
# minute is then far from its ends.
FROM_S: Final = 20.0
TO_S: Final = 40.0


def begins_in_s(
    monotonic_s: float, wall_s: float, *, interval_s: float, with_minute: bool
) -> float:
    """Return how long to wait until a window may begin.

    Args:
        monotonic_s: Now, by the clock at whose multiples of ``interval_s`` nodes
            report: a window begins in the middle between two, so that each has the
            same number of them.
        wall_s: Now, by the clock of supervisord's ticks.
        interval_s: Between reports; a minute is a multiple of it.
        with_minute: Each window lasts a minute and has to have one full minute.
    """
    phase_s = monotonic_s % interval_s
    in_s = interval_s / 2 - phase_s
    in_s += math.ceil(-in_s / interval_s) * interval_s
    while with_minute and not FROM_S <= (wall_s + in_s) % MINUTE_S < TO_S:
        in_s += interval_s
    return in_s
