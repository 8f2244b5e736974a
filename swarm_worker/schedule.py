"""When a report is due: driven by time and by changes of state, and by nothing else."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

# At most two reports within this: supervisord's cost of an event grows with the nodes.
WINDOW_S: Final = 1.0
REPORTS_IN_WINDOW: Final = 2

# A report that is this late still counts as written when it was due: otherwise the
# jitter of each would push the next one off its multiple.
JITTER_S: Final = 0.1


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
        """Give the moment of the next report: past or present when it is due now.

        Args:
            now_s: The monotonic clock.
            changed: The state is another than the last report said.
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
        """Take note of a report that was due at ``due_at_s`` and written now."""
        late = now_s - due_at_s > JITTER_S
        self._written_at_s.append(now_s if late else due_at_s)

    def _multiple_after(self, moment_s: float) -> float:
        # The addend keeps a multiple that is a hair below itself from coming again.
        return (math.floor(moment_s / self.interval_s + 1e-6) + 1) * self.interval_s

    def _multiple_from(self, moment_s: float) -> float:
        return math.ceil(moment_s / self.interval_s - 1e-6) * self.interval_s
