"""Moments as records name them."""

from __future__ import annotations

from datetime import datetime


def moment_of(text: object) -> datetime | None:
    """Return a moment that a record names; None where it names none."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.astimezone()
