"""By when what of a stop is over, and how a client leaves its group."""

from __future__ import annotations

import pytest

from swarm_worker.kafka.closing.stop_policy import (
    CLOSE_BEFORE_S,
    CLOSE_MAX_S,
    WayOut,
    stop_times,
    way_out,
)

BEGAN_AT_S = 1000.0


@pytest.mark.parametrize(
    ("timeout_s", "dead_letters_s", "cancel_s", "give_up_s"),
    [(30.0, 15.0, 29.0, 29.5), (1.5, 0.75, 0.75, 1.0), (0.6, 0.3, 0.3, 0.3)],
)
def test_a_short_timeout_leaves_half_of_it_to_the_handlers(
    timeout_s: float, dead_letters_s: float, cancel_s: float, give_up_s: float
) -> None:
    """A long one leaves nearly all; dead letters always have half."""
    times = stop_times(began_at_s=BEGAN_AT_S, timeout_s=timeout_s)

    assert times.dead_letters_until_s - BEGAN_AT_S == pytest.approx(dead_letters_s)
    assert times.cancel_at_s - BEGAN_AT_S == pytest.approx(cancel_s)
    assert times.give_up_at_s - BEGAN_AT_S == pytest.approx(give_up_s)


def test_the_close_has_what_is_left_within_bounds() -> None:
    """A moment, though nothing is left, and no more than it needs; leaving has half."""
    times = stop_times(began_at_s=BEGAN_AT_S, timeout_s=30.0)
    end_s = times.give_up_at_s

    assert times.close_within_s(end_s - 4.0) == 4.0
    assert times.close_within_s(end_s + 4.0) == CLOSE_BEFORE_S
    assert times.close_within_s(end_s - 20.0) == CLOSE_MAX_S
    assert times.leave_within_s(end_s - 4.0) == 2.0


@pytest.mark.parametrize(
    ("leaves", "is_static", "is_subscribed", "is_consumer_protocol", "way"),
    [
        (True, True, True, False, WayOut.LEAVE_FIRST),
        (True, True, True, True, WayOut.LEAVE_AS_CLASSIC),
        (False, True, True, True, WayOut.CLOSE_ALONE),
        (True, False, True, False, WayOut.CLOSE_ALONE),
        (True, True, False, True, WayOut.CLOSE_ALONE),
    ],
)
def test_only_a_static_member_of_a_group_has_to_leave(
    way: WayOut,
    *,
    leaves: bool,
    is_static: bool,
    is_subscribed: bool,
    is_consumer_protocol: bool,
) -> None:
    """And only for good; how depends on the protocol."""
    assert way is way_out(
        leaves=leaves,
        is_static=is_static,
        is_subscribed=is_subscribed,
        is_consumer_protocol=is_consumer_protocol,
    )
