import pytest

from tests.benchmarks.figures import Figure, Goal, Pairs, number, percentile


def test_the_bound_itself_keeps_a_goal() -> None:
    """A goal is kept at its bound, and missed just beyond."""
    assert Goal(">=", 2.5).kept_by(2.5)
    assert not Goal(">=", 2.5).kept_by(2.499)
    assert Goal("<=", 22).kept_by(22)
    assert not Goal("<=", 22).kept_by(22.001)


def test_a_goal_has_one_of_two_signs() -> None:
    """Another sign is refused, not read as one of the two."""
    with pytest.raises(ValueError, match="expected >= or <="):
        Goal(">", 1)


def test_a_ratio_is_of_one_pair() -> None:
    """What was measured side by side is compared, not medians of different moments."""
    pairs = Pairs(ours=[10, 40, 90], theirs=[10, 20, 30])

    assert pairs.ratios == [1, 2, 3]
    assert pairs.differences == [0, 20, 60]


def test_a_figure_is_its_median_or_its_p95() -> None:
    """The statistic that was stated is the one that is held against the goal."""
    values = [*[1.0] * 90, *[5.0] * 10]
    goal = Goal("<=", 2)

    assert Figure(key="8", what="w", unit="s", values=values, goal=goal).kept
    assert not Figure(
        key="8", what="w", unit="s", values=values, goal=goal, stated="p95"
    ).kept


def test_percentiles_are_values_that_were_measured() -> None:
    """Nearest rank: nothing is interpolated, and no values have no percentile."""
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([3, 1, 2], 95) == 3
    assert percentile(list(range(1, 101)), 95) == 95
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 95)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234.5, "1,234"), (0.97, "0.97"), (2.513, "2.51"), (0.0002, "0.00020")],
)
def test_numbers_are_readable(value: float, text: str) -> None:
    """Three digits, no exponents."""
    assert number(value) == text
