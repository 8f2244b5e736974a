"""The one place of the tests that waits for the world to change."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    probe: Callable[[], T | None],
    *,
    within_s: float = 10.0,
    every_s: float = 0.05,
    describe: str,
) -> T:
    """Call ``probe`` until it returns a truthy value; return that value.

    The probe is called at once, then every ``every_s`` seconds, and one last time
    when ``within_s`` seconds have passed. What it raises is not caught.

    Raises:
        AssertionError: with ``describe`` and the last value seen.
    """
    give_up_at_s = time.monotonic() + within_s
    while True:
        last_try = time.monotonic() >= give_up_at_s
        seen = probe()
        if seen:
            return seen
        if last_try:
            msg = f"not within {within_s:g} s: {describe}; last seen: {seen!r}"
            raise AssertionError(msg)
        time.sleep(every_s)  # noqa: TID251 - the bounded helper that all tests share
