"""How often a node is restarted: the gap, and the back-off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BackoffPolicy:
    """How long a node stays down between its exit and its next start.

    Source: Erlang/OTP ``supervisor`` (``intensity``, ``period``), with a back-off in
    the place of giving up.

    Attributes:
        gap_s: The least pause (5).
        max_restarts: So many failures within ``period_s`` keep to the least pause (5).
        period_s: What ``max_restarts`` counts (600).
        backoff_max_s: The longest pause (300).
    """

    gap_s: float = 5.0
    max_restarts: int = 5
    period_s: float = 600.0
    backoff_max_s: float = 300.0

    def excess(self, failed_at_s: Sequence[float], *, now_s: float) -> int:
        """Return how many recent failures are beyond the normal pace, from 0."""
        recent = sum(now_s - at_s < self.period_s for at_s in failed_at_s)
        return max(0, recent - self.max_restarts)

    def pause_s(self, failed_at_s: Sequence[float], *, now_s: float) -> float:
        """Return how long to stay down after the last of these failures.

        The pause doubles with each failure beyond the normal pace. It doubles from at
        least 1 s, so that a gap of 0 does not make a hot loop of a crash loop.
        """
        excess = self.excess(failed_at_s, now_s=now_s)
        if not excess:
            return self.gap_s
        longest_s = max(self.gap_s, self.backoff_max_s)
        # 2**63 s is beyond any limit; a greater exponent would overflow a float.
        return min(longest_s, max(self.gap_s, 1.0) * 2.0 ** min(excess, 63))

    def recent(
        self, failed_at_s: Sequence[float], *, now_s: float
    ) -> tuple[float, ...]:
        """Return the failures that still count, bounded in number.

        The pause has doubled to 18 hours by the last of them.
        """
        enough = self.max_restarts + 16
        return tuple(t for t in failed_at_s if now_s - t < self.period_s)[-enough:]
