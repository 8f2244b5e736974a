"""This node as a member of its group: joined, kept out, or waiting for its id."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from swarm_worker.kafka.errors import Kind, Troubles
from swarm_worker.kafka.monitoring.membership import NO_ASSIGNMENT_YET, Membership

if TYPE_CHECKING:
    from swarm_worker.kafka.monitoring.brokers import Brokers
    from swarm_worker.kafka.monitoring.statistics import Figures
    from swarm_worker.reporting.progress import ConsumerProgress

logger = logging.getLogger(__name__)

# The broker keeps the id of a killed member until its session ends: 45 s by default.
HELD_ID_LONG_S: Final = 120.0
# A refusal comes with the first heartbeat; without one for so long, the id is ours.
HELD_ID_SETTLED_S: Final = 5.0

NEEDS_OPERATOR: Final = (Kind.JOIN, Kind.GROUP, Kind.CREDENTIALS)

# What keeps a member from its group, the likeliest cause first; anything else may.
_KEEPS_OUT: Final = (Kind.TOKEN, *NEEDS_OPERATOR, Kind.BROKERS, Kind.TOPIC)
_MAY_KEEP_OUT: Final = (Kind.CLIENT, *_KEEPS_OUT, Kind.OTHER)


class Member:
    """Whether the group has let this node in; shown in the report, and logged.

    Attributes:
        refusals: How often the broker said that the instance id is still held.
    """

    def __init__(
        self,
        group: str,
        *,
        instance_id: str | None,
        is_consumer_protocol: bool,
        progress: ConsumerProgress,
        troubles: Troubles,
        brokers: Brokers,
        clock: Callable[[], float],
    ) -> None:
        """Stand outside."""
        self.refusals = 0
        self._group = group
        self._instance_id = instance_id
        self._is_consumer_protocol = is_consumer_protocol
        self._progress = progress
        self._troubles = troubles
        self._brokers = brokers
        self._clock = clock
        self._is_subscribed = True
        self._began_at_s = clock()
        self._membership = Membership(now_s=self._began_at_s)
        self._held_since_s: float | None = None
        progress.awaits_id = is_consumer_protocol and bool(instance_id)

    def begin(self, *, is_subscribed: bool) -> None:
        """Begin with another client, which has joined nothing yet."""
        self._is_subscribed = is_subscribed
        self._began_at_s = self._clock()
        self._membership.renewed(now_s=self._began_at_s)
        self.show()

    def assigned(self, *, is_empty: bool) -> None:
        """Record that the group has given an assignment."""
        self._membership.assigned(now_s=self._clock())
        self.show()
        if not is_empty:
            self._has_id()

    def lost_session(self) -> None:
        """Record that the session is over: partitions were taken without a revoke."""
        self._membership.lost_session(now_s=self._clock())
        self.show()

    def join_refused(self) -> None:
        """Record that the group does not take the client as it is."""
        self._membership.left_group(now_s=self._clock())

    def lost_broker(self) -> None:
        """Record that a broker is out of reach."""
        self._membership.lost_broker()

    def fenced_itself(self) -> bool:
        """Whether a fencing now may come of this node itself; see `Membership`."""
        return self._membership.fenced_itself(now_s=self._clock())

    def id_refused(self) -> None:
        """Record that the group has not let us in: our instance id is still held."""
        now_s = self._clock()
        self.refusals += 1
        self._progress.awaits_id = True
        # A broker has said so; each client lives too shortly for statistics of its own.
        self._brokers.heard(now_s=now_s)
        if self._held_since_s is None:
            self._held_since_s = now_s
        if now_s - self._held_since_s <= HELD_ID_LONG_S:
            self._troubles.begin(
                Kind.HELD_ID,
                f"instance id {self._instance_id} belongs to a session that still "
                "runs; waiting for its end (45 s after a kill by default)",
            )
        else:
            self._troubles.begin(
                Kind.HELD_ID,
                f"instance id {self._instance_id} is held for over "
                f"{HELD_ID_LONG_S:.0f} s: another live process has it; look for a "
                "second swarm with the same [worker] instance_prefix",
                level=logging.ERROR,
            )

    def _has_id(self) -> None:
        self._progress.awaits_id = False
        if self._held_since_s is not None:
            logger.info(
                "instance_id_free group=%s waited_s=%.1f",
                self._group, self._clock() - self._held_since_s,
            )  # fmt: skip
            self._held_since_s = None
            self._troubles.end(Kind.HELD_ID)

    def update(self, figures: Figures, *, is_of_use: bool, now_s: float) -> None:
        """Note what statistics tell.

        Args:
            figures: The statistics.
            is_of_use: The client has not failed.
            now_s: When they came.
        """
        is_settled = now_s - self._began_at_s > HELD_ID_SETTLED_S
        if figures.brokers_up and is_settled and is_of_use:
            self._has_id()
            self._join_silently(figures)
        self.show()
        if not self._progress.awaits_id:  # that has lines of its own
            self._log_not_joined(now_s)

    def _join_silently(self, figures: Figures) -> None:
        """Take a member of the consumer protocol without partitions as joined.

        There is no callback for an empty assignment there.
        """
        is_silent = self._is_consumer_protocol and self._is_subscribed
        is_kept_out = self._troubles.has(*_KEEPS_OUT)
        if is_silent and figures.has_coordinator and not is_kept_out:
            self._membership.joined_group()

    def show(self) -> None:
        """Have the report say why the group has not let us in, if it has not."""
        why = "" if self._membership.is_in else self._why_out
        self._progress.not_joined = why and f"group {self._group}: {why}"

    @property
    def _why_out(self) -> str:
        return self._troubles.text(*_MAY_KEEP_OUT) or NO_ASSIGNMENT_YET

    def _log_not_joined(self, now_s: float) -> None:
        out_s = self._membership.to_tell_s(now_s=now_s)
        if out_s is not None:
            level = (
                logging.ERROR
                if self._troubles.has(*NEEDS_OPERATOR)
                else logging.WARNING
            )
            logger.log(
                level, "group_not_joined group=%s for_s=%.0f reason=%r",
                self._group, out_s, self._why_out,
            )  # fmt: skip
