"""Windows of the benchmarks begin where nothing is counted by halves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.moments import begins_in_s

clocks = st.floats(min_value=0.0, max_value=1e6)


@given(monotonic_s=clocks, wall_s=clocks, with_minute=st.booleans())
def test_a_window_begins_between_reports_and_far_from_a_full_minute(
    monotonic_s: float, wall_s: float, *, with_minute: bool
) -> None:
    """Soon: within an interval, or within a minute where it has to have a full one."""
    in_s = begins_in_s(monotonic_s, wall_s, interval_s=5.0, with_minute=with_minute)

    assert 0.0 <= in_s <= (65.0 if with_minute else 5.0)
    assert (monotonic_s + in_s) % 5.0 == pytest.approx(2.5, abs=1e-6)
    if with_minute:
        assert 20.0 - 1e-6 <= (wall_s + in_s) % 60.0 <= 40.0 + 1e-6
