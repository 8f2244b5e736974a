"""Warnings about a node: each kind once a minute, whatever happens to it."""

from __future__ import annotations

import logging
import math
from typing import Final

logger = logging.getLogger(__name__)

EVERY_S: Final = 60.0  # a line for each node, not one for each report


class LogThrottle:
    """Remembers what was logged when."""

    def __init__(self) -> None:
        self._logged_at_s: dict[str, float] = {}

    def warn(self, event: str, name: str, pid: int, why: str, *, now_s: float) -> None:
        """Log a warning about a node, unless the same one was logged lately."""
        key = f"{event} {name}"
        if now_s - self._logged_at_s.get(key, -math.inf) < EVERY_S:
            return
        self._logged_at_s[key] = now_s
        logger.warning("%s node=%s pid=%d why=%r", event, name, pid, why)
