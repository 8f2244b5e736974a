"""Work of one lane that is done and not committed: since when, up to where. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

STEP_S: Final = 0.05


@dataclass(slots=True)
class UncommittedWork:
    """What is done of a lane and not committed yet, as far as Kafka has answered.

    Kept in steps, so that many small batches cost no more than a few large ones; an
    age is too high by at most one step.
    """

    # Since when, up to which offset.
    _steps: deque[tuple[float, int]] = field(default_factory=deque)

    def done_up_to(self, offset: int, *, now_s: float) -> None:
        """Record that all below an offset is done by now."""
        if self._steps and self._steps[-1][1] > offset:
            self._steps.clear()  # the log was reset: nothing of before can be committed
        if self._steps and now_s - self._steps[-1][0] < STEP_S:
            self._steps[-1] = self._steps[-1][0], offset
        else:
            self._steps.append((now_s, offset))

    def committed_up_to(self, offset: int) -> None:
        """Record that all below an offset is committed."""
        while self._steps and self._steps[0][1] <= offset:
            self._steps.popleft()

    def age_s(self, now_s: float) -> float:
        """Return the age of the oldest work that is not committed; 0 without any."""
        return now_s - self._steps[0][0] if self._steps else 0.0
