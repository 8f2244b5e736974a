"""Whether this node is in its group, and when it is to be logged that it is not."""

from __future__ import annotations

from typing import Final

# Longer than a group takes to gather, and than a killed member's id is held.
TELL_AFTER_S: Final = 60.0
TELL_EVERY_S: Final = 600.0

# How long after a lost session Kafka may still answer to what was sent in its name. A
# request waits for a broker to come back, then for its answer: seconds.
ECHO_S: Final = 10.0

NO_ASSIGNMENT_YET: Final = "no assignment has come yet"


class Membership:
    """Whether one client is in its group: it is once an assignment has come.

    An empty one counts, too: a group of more nodes than partitions has members without.

    Attributes:
        is_in: Whether it is a member.
    """

    def __init__(self, *, now_s: float) -> None:
        """Stand outside."""
        self.is_in = False
        self._out_since_s = now_s
        self._tell_at_s = now_s + TELL_AFTER_S
        self._lost_session = False
        self._rejoined_at_s: float | None = None
        self._has_joined = False
        self._join_may_be_forgotten = False

    def renewed(self, *, now_s: float) -> None:
        """Record that another client begins, which has lost no session."""
        self._lost_session, self._rejoined_at_s = False, None
        self._has_joined = self._join_may_be_forgotten = False
        self.left_group(now_s=now_s)

    def assigned(self, *, now_s: float) -> None:
        """Record that an assignment has come."""
        if self._lost_session and self._rejoined_at_s is None:
            self._rejoined_at_s = now_s
        self.joined_group()

    def joined_group(self) -> None:
        """Record that the client is a member."""
        self.is_in = self._has_joined = True
        self._join_may_be_forgotten = False

    def lost_broker(self) -> None:
        """Record that a broker is out of reach: the group's coordinator, perhaps."""
        self._join_may_be_forgotten = not self._has_joined

    def lost_session(self, *, now_s: float) -> None:
        """Record that the session is over: partitions were taken without a revoke."""
        self._lost_session, self._rejoined_at_s = True, None
        self.left_group(now_s=now_s)

    def left_group(self, *, now_s: float) -> None:
        """Record that the client is no member; it does not matter if that was so."""
        if self.is_in:
            self.is_in = False
            self._out_since_s = now_s
            self._tell_at_s = now_s + TELL_AFTER_S

    def fenced_itself(self, *, now_s: float) -> bool:
        """Whether a fencing now may come of this node's own session or join.

        A client that joins anew after its session gets another member id under the same
        instance id. A commit of the old one that waited for the broker and arrives only
        then is refused as fenced, and librdkafka takes that for fatal. Seen where a
        broker was away for about as long as the session.

        A join under an instance id is on no disk until the group has shared out. A
        coordinator that ends before that is followed by one that knows the node's last
        process under the id, and refuses this one. Seen where a broker was killed in a
        rebalance. Another client follows once for that: it has lost no broker.
        """
        if not self._lost_session:
            return self._join_may_be_forgotten
        rejoined_at_s = self._rejoined_at_s
        return rejoined_at_s is None or now_s - rejoined_at_s < ECHO_S

    def to_tell_s(self, *, now_s: float) -> float | None:
        """Return how long the client has been no member, when that is to be logged."""
        if self.is_in or now_s < self._tell_at_s:
            return None
        self._tell_at_s = now_s + TELL_EVERY_S
        return now_s - self._out_since_s
