"""The helper that waits for facts."""

import pytest

from tests.eventually import eventually


def test_value_of_the_probe_is_returned() -> None:
    """The first truthy value ends the wait."""
    values = iter([None, "", 0, "seen", "later"])

    assert eventually(lambda: next(values), every_s=0, describe="seen") == "seen"


def test_fact_that_does_not_come_is_an_error_with_the_last_value() -> None:
    """The error says what was awaited, how long, and what was there instead."""
    with pytest.raises(AssertionError) as caught:
        eventually(lambda: 0, within_s=0.01, every_s=0.005, describe="more than none")

    assert str(caught.value) == "not within 0.01 s: more than none; last seen: 0"


def test_probe_is_asked_even_without_time() -> None:
    """No time at all still means one question."""
    assert eventually(lambda: "at once", within_s=0, describe="") == "at once"


def test_error_of_the_probe_comes_through() -> None:
    """A broken probe is not waited for."""
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 // 0, describe="")
