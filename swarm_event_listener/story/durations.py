"""Durations as people read them."""

from __future__ import annotations

from typing import Final

NONE: Final = "-"  # what there is not


def duration_ms(value: int | None) -> str:
    """Return a short text for milliseconds."""
    return duration(None if value is None else value / 1000)


def duration(seconds: float | None) -> str:
    """Return a short text for a duration: 0.4s, 12s, 3m05, 2h10, 4d."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86_400}d"
