"""When a report is due: driven by time, by changes of state and by limits crossed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from swarm_worker.shared.report import JUDGED, Report

# At most two reports within this: supervisord's cost of an event grows with the nodes.
WINDOW_S: Final = 1.0
REPORTS_IN_WINDOW: Final = 2
INTERVAL_LEAST_MS: Final = round(1000 * WINDOW_S / REPORTS_IN_WINDOW)

# A report that is this late still counts as written when it was due: otherwise the
# jitter of each would push the next one off its multiple.
JITTER_S: Final = 0.1

# Ages are whole milliseconds, and the listener acts on one that is over the limit.
_OVER_MS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ages at which the listener acts, as far as the node knows; ms, None: unknown."""

    polling_ms: int | None = None
    consuming_ms: int | None = None
    stability_ms: int | None = None


class Crossings:
    """Which limits the node is over, and which of them the last report showed.

    The node knows its limits and reports at once when it crosses one, so that its
    restart does not wait for the next regular report.
    """

    def __init__(self, limits: Limits) -> None:
        """Know of no crossing yet."""
        self._limits = limits
        self._told: frozenset[str] = frozenset()

    def look(self, report: Report) -> bool:
        """Whether the node is over a limit that no report has shown.

        What has come back within its limit is news the next time.
        """
        over = self._over(report)
        self._told &= over
        return bool(over - self._told)

    def told(self, report: Report) -> None:
        """Record that this report was written."""
        self._told = self._over(report)

    def next_in_s(self, report: Report) -> float:
        """Return the seconds until the next crossing if nothing moves; inf for none."""
        left_ms = [
            limit_ms - age_ms + _OVER_MS
            for _, age_ms, limit_ms in self._ages(report)
            if age_ms <= limit_ms
        ]
        return min(left_ms, default=math.inf) / 1000

    def _over(self, report: Report) -> frozenset[str]:
        return frozenset(
            name for name, age_ms, limit_ms in self._ages(report) if age_ms > limit_ms
        )

    def _ages(self, report: Report) -> Iterator[tuple[str, int, int]]:
        limits = self._limits
        if report.state not in JUDGED:
            return
        for name, age_ms, limit_ms in (
            ("poll", report.poll_age_ms, limits.polling_ms),
            ("consume", report.consume_age_ms, limits.consuming_ms),
            ("stalled", report.stalled_ms, limits.consuming_ms),
            ("unsteady", report.unsteady_ms, limits.stability_ms),
            ("no_broker", report.no_broker_ms, limits.stability_ms),
        ):
            if age_ms is not None and limit_ms is not None:
                yield name, age_ms, limit_ms


@dataclass(slots=True, kw_only=True)
class Schedule:
    """Moments of reports on the machine's monotonic clock.

    Regular ones are due at multiples of the interval, the same for all nodes of the
    machine: nodes that write together share supervisord's wake-ups.

    Attributes:
        interval_s: Between regular reports.
    """

    interval_s: float
    _written_at_s: deque[float] = field(
        default_factory=lambda: deque(maxlen=REPORTS_IN_WINDOW)
    )

    def due_at_s(self, *, now_s: float, changed: bool) -> float:
        """Return the moment of the next report: past or present when it is due now.

        Args:
            now_s: The monotonic clock.
            changed: The last report is no longer true enough to wait: another state,
                or a limit was crossed.
        """
        if not self._written_at_s:
            return now_s
        earliest_s = -math.inf
        if len(self._written_at_s) == REPORTS_IN_WINDOW:
            earliest_s = self._written_at_s[0] + WINDOW_S
        regular_s = self._multiple_after(self._written_at_s[-1])
        if regular_s < earliest_s:
            regular_s = self._multiple_from(earliest_s)
        return min(regular_s, max(now_s, earliest_s)) if changed else regular_s

    def wrote(self, *, due_at_s: float, now_s: float) -> None:
        """Record a report that was due at ``due_at_s`` and written now."""
        late = now_s - due_at_s > JITTER_S
        self._written_at_s.append(now_s if late else due_at_s)

    def _multiple_after(self, moment_s: float) -> float:
        # The addend keeps a multiple that is a hair below itself from coming again.
        return (math.floor(moment_s / self.interval_s + 1e-6) + 1) * self.interval_s

    def _multiple_from(self, moment_s: float) -> float:
        return math.ceil(moment_s / self.interval_s - 1e-6) * self.interval_s
