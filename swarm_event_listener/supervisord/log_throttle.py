"""Lines that are said rarely: one a minute for each node, whatever happens to it."""

from __future__ import annotations

import logging
import math
from typing import Final

logger = logging.getLogger(__name__)

EVERY_S: Final = 60.0  # a line for each node, not one for each report


class Rarely:
    """Remembers what was said when."""

    def __init__(self) -> None:
        self._said_at_s: dict[str, float] = {}

    def say(self, event: str, name: str, pid: int, why: str, *, now_s: float) -> None:
        """Log a warning about a node, unless the same was said lately."""
        key = f"{event} {name}"
        if now_s - self._said_at_s.get(key, -math.inf) < EVERY_S:
            return
        self._said_at_s[key] = now_s
        logger.warning("%s node=%s pid=%d why=%r", event, name, pid, why)
