"""The times of a client's stop, and how it leaves its group. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

# At the end of shutdown_timeout the process is ended. A coroutine that is cancelled
# still needs a moment before that, and so does the close.
CANCEL_BEFORE_S: Final = 1.0
CLOSE_BEFORE_S: Final = 0.5
CLOSE_MAX_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTimes:
    """The times of one stop, on the clock that it began by.

    Attributes:
        dead_letters_until_s: Dead letters are waited for; the rest is for the close.
        cancel_at_s: Coroutine handlers are cancelled.
        give_up_at_s: The close is left behind.
    """

    dead_letters_until_s: float
    cancel_at_s: float
    give_up_at_s: float

    def leave_within_s(self, now_s: float) -> float:
        """Return how long leaving before the close may take; the rest is for that."""
        return (self.give_up_at_s - now_s) / 2

    def close_within_s(self, now_s: float) -> float:
        """Return how long the close may take."""
        return max(CLOSE_BEFORE_S, min(self.give_up_at_s - now_s, CLOSE_MAX_S))


def stop_times(*, began_at_s: float, timeout_s: float) -> StopTimes:
    """Return the times of a stop; half of a short timeout is for the handlers."""
    half_s = timeout_s / 2
    return StopTimes(
        dead_letters_until_s=began_at_s + half_s,
        cancel_at_s=began_at_s + max(half_s, timeout_s - CANCEL_BEFORE_S),
        give_up_at_s=began_at_s + max(half_s, timeout_s - CLOSE_BEFORE_S),
    )


class WayOut(Enum):
    """What a client does beside its close."""

    CLOSE_ALONE = auto()  # a static member keeps its partitions, others lose them
    LEAVE_FIRST = auto()
    LEAVE_AS_CLASSIC = auto()


def way_out(
    *, leaves: bool, is_static: bool, is_subscribed: bool, is_consumer_protocol: bool
) -> WayOut:
    """Return how a client ends.

    Args:
        leaves: The node does not come back.
        is_static: It has an instance id: others leave by a mere close.
        is_subscribed: The group has given it its partitions.
        is_consumer_protocol: Of KIP-848: its close says "back soon" in any case.
    """
    if not (leaves and is_static and is_subscribed):
        return WayOut.CLOSE_ALONE
    if is_consumer_protocol:
        return WayOut.LEAVE_AS_CLASSIC
    return WayOut.LEAVE_FIRST
