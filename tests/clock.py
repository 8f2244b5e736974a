"""The one clock of the tests that do not wait."""

from dataclasses import dataclass


@dataclass
class FakeClock:
    """A monotonic clock that moves only when told to.

    Attributes:
        now_s: Not 0 in the beginning: zero hides ``if last_seen:`` bugs.
        step_s: How far each look at it moves it on.
    """

    now_s: float = 1000.0
    step_s: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        self.advance(self.step_s)
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass that nobody saw."""
        self.now_s += seconds
