"""Whether a handler works, as far as the node's last calls of it tell.

A message that fails again and again is at fault only if its handler takes others
meanwhile: else it is what the handler calls that is away. So calls bear witness, those
of all partitions, topics and groups that share the handler.
"""

from __future__ import annotations

import threading
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_worker.app.app import Handler

# Group, topic, partition; and whether it is the message after the one that waits there.
Place = tuple[str, str, int, bool]


class Witness:
    """What the last calls of one handler tell. Thread-safe."""

    def __init__(self) -> None:
        """Begin with no call."""
        self._lock = threading.Lock()
        self._worked_at_s = -inf  # the last call that succeeded, from its begin
        self._failed: set[Place] = set()  # where calls have failed since then
        self._doubted_since_s = inf

    def worked(self, began_at_s: float) -> None:
        """Record a call that succeeded.

        Its begin counts: what it did in a database before that was away says nothing.
        """
        with self._lock:
            self._worked_at_s = max(self._worked_at_s, began_at_s)
            self._failed.clear()
            self._doubted_since_s = inf

    def failed(self, place: Place) -> None:
        """Record a call that failed."""
        with self._lock:
            self._failed.add(place)

    def blamed(self, place: Place) -> None:
        """Record that the message of a place has failed for its own sake."""
        with self._lock:
            self._failed.discard(place)

    def gave_up(self, since_s: float) -> None:
        """Record that a message was given up since nothing has succeeded for long.

        Args:
            since_s: When it had failed first. Until a call succeeds no other message
                has to wait as long: one after the other it would be hours.
        """
        with self._lock:
            self._doubted_since_s = min(self._doubted_since_s, since_s)

    @property
    def has_worked(self) -> bool:
        """Whether any call has succeeded in this process."""
        return self._worked_at_s > -inf

    def works_since(self, moment_s: float, *, apart_from: Place) -> bool:
        """Whether a call since a moment has succeeded, and none elsewhere failed since.

        So what fails here now fails for its own sake.
        """
        with self._lock:
            return self._worked_at_s > moment_s and not self._failed - {apart_from}

    def others_fail(self, apart_from: Place) -> bool:
        """Whether calls have failed elsewhere, too, and none has succeeded since."""
        with self._lock:
            return bool(self._failed - {apart_from})

    def silent_since_s(self, since_s: float) -> float:
        """Return since when no call has succeeded, for a message that fails since."""
        with self._lock:
            return min(self._doubted_since_s, max(self._worked_at_s, since_s))


class Witnesses:
    """The witnesses of a node, one for each handler."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_handler: dict[object, Witness] = {}

    def of(self, handler: Handler) -> Witness:
        """Return that of a handler; a function has one, whatever it is used for."""
        try:
            return self._by_handler.setdefault(handler, Witness())
        except TypeError:  # an object that cannot be hashed
            return self._by_handler.setdefault(id(handler), Witness())
