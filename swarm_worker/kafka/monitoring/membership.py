"""Whether a group has let this node in, and when somebody is to be told that not."""

from __future__ import annotations

from typing import Final

# Longer than a group takes to gather, and than a killed member's id is held.
TELL_AFTER_S: Final = 60.0
TELL_EVERY_S: Final = 600.0

UNTOLD: Final = "no assignment has come yet"


class Membership:
    """Where one client stands: let in as soon as it was told what is its own.

    Nothing counts, too: a group of more nodes than partitions has members without.
    """

    def __init__(self, *, now_s: float) -> None:
        """Stand outside."""
        self.is_in = False
        self._out_since_s = now_s
        self._tell_at_s = now_s + TELL_AFTER_S

    def let_in(self) -> None:
        """An assignment has come."""
        self.is_in = True

    def put_out(self, *, now_s: float) -> None:
        """The session is over, or a join was refused."""
        if self.is_in:
            self.is_in = False
            self._out_since_s = now_s
            self._tell_at_s = now_s + TELL_AFTER_S

    def to_tell_s(self, *, now_s: float) -> float | None:
        """Give for how long it has stood outside, when it is time to say so again."""
        if self.is_in or now_s < self._tell_at_s:
            return None
        self._tell_at_s = now_s + TELL_EVERY_S
        return now_s - self._out_since_s
