"""How often one node is restarted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.core.model.backoff import BackoffPolicy

BACKOFF = BackoffPolicy(gap_s=5.0, max_restarts=3, period_s=100.0, backoff_max_s=60.0)


@pytest.mark.parametrize(
    ("failure_count", "pause_s"),
    [(0, 5), (1, 5), (3, 5), (4, 10), (5, 20), (6, 40), (7, 60), (2000, 60)],
)
def test_the_pause_doubles_beyond_the_normal_pace(
    failure_count: int, pause_s: float
) -> None:
    """So many restarts at the gap; then 2, 4, 8 times it, up to the longest."""
    assert BACKOFF.pause_s([0.0] * failure_count, now_s=50.0) == pause_s


def test_old_failures_do_not_count() -> None:
    """A failure exactly one period ago is forgotten."""
    assert BACKOFF.pause_s([0.0] * 9, now_s=100.0) == 5.0
    assert BACKOFF.pause_s([0.1] * 9, now_s=100.0) == 60.0


def test_a_gap_of_zero_is_no_hot_loop() -> None:
    """The pause of a crash loop grows from one second even without a gap."""
    backoff = BackoffPolicy(
        gap_s=0.0, max_restarts=1, period_s=100.0, backoff_max_s=60.0
    )

    assert [backoff.pause_s([0.0] * n, now_s=1.0) for n in (1, 2, 3)] == [0.0, 2.0, 4.0]


def test_the_gap_is_never_cut_by_the_longest_back_off() -> None:
    """A gap longer than restart_backoff_max stays the least pause."""
    backoff = BackoffPolicy(
        gap_s=90.0, max_restarts=1, period_s=100.0, backoff_max_s=60.0
    )

    assert backoff.pause_s([0.0] * 5, now_s=1.0) == 90.0


@given(st.lists(st.floats(0, 1e6)), st.floats(0, 1e6))
def test_the_memory_of_failures_is_bounded(failed: list[float], now_s: float) -> None:
    """What is kept gives the same pause as the whole history would."""
    recent = BACKOFF.recent(sorted(failed), now_s=now_s)

    assert len(recent) <= BACKOFF.max_restarts + 64
    assert BACKOFF.pause_s(recent, now_s=now_s) == BACKOFF.pause_s(failed, now_s=now_s)
