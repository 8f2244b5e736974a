"""The pure modules' tests stay quick: few examples each, the same ones in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, and how long it takes to make one, is the machine's matter.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile(
    "quick", _UNTIMED, max_examples=10, derandomize=bool(os.environ.get("CI"))
)
settings.register_profile("long", _UNTIMED, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True, scope="session")
def _screen() -> Iterator[None]:
    """Have help and tables as wide on every terminal, and on none."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("COLUMNS", "80")
        environ.setenv("LINES", "24")
        yield
