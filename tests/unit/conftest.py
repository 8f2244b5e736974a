"""The pure modules' tests stay quick: few examples each, the same ones in CI."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile(
    "quick", max_examples=10, deadline=None, derandomize=bool(os.environ.get("CI"))
)
settings.register_profile("long", max_examples=1_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
