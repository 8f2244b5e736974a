"""What Kafka answers to commits, and which are to be made beside librdkafka's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError

from swarm_worker.kafka import offsets
from swarm_worker.kafka.errors import Kind, Troubles

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

    from swarm_worker.processing.lane import Lane
    from swarm_worker.processing.lanes import Lanes

# Work that waits so long for its commit is logged. Rebalances are shorter as a rule.
UNCOMMITTED_LONG_S: Final = 10.0

_NO_ROOM_FOR_IDS: Final = (
    "the broker's offset.metadata.max.bytes leaves no room for a topic's id (43 bytes) "
    "beside an offset: a topic that is deleted and created again while a partition "
    "changes its node is not noticed"
)


class CommitAnswers:
    """How the commits of one group's clients fare.

    Statistics only note here that a commit can be made; it is made by who polls, see
    `due`.
    """

    def __init__(
        self, lanes: Lanes, troubles: Troubles, clock: Callable[[], float]
    ) -> None:
        """Have no answer yet."""
        self._lanes = lanes
        self._troubles = troubles
        self._clock = clock
        self._refusal = ""  # of the last commit
        self._can_commit = False

    def on_commit(
        self, error: KafkaError | None, partitions: list[TopicPartition]
    ) -> None:
        """Record the answer to a commit; the client's ``on_commit``."""
        refusals = [e for e in (error, *(at.error for at in partitions)) if e]
        self._refusal = refusals[0].str() if refusals else ""
        if any(e.code() == KafkaError.OFFSET_METADATA_TOO_LARGE for e in refusals):
            self._lanes.commits.keep_no_ids()
            self._troubles.begin(Kind.TOPIC_IDS, _NO_ROOM_FOR_IDS, subject="commits")
        if error is None:
            taken = offsets.taken_of(partitions)
            self._lanes.committed(taken, now_s=self._clock())

    def update(self, *, takes_commits: bool, now_s: float) -> list[Lane]:
        """Note what statistics tell; log that handlers wait for commits, and its end.

        Args:
            takes_commits: The group is steady, and its brokers answer.
            now_s: When they came.

        Returns:
            The lanes that wait for a commit for no reason that is known.
        """
        self._can_commit = takes_commits
        waiting = self._lanes.turns.awaiting_commit()
        self._log_waiting(waiting, now_s)
        # Where Kafka refuses, no restart would help.
        return waiting if takes_commits and not self._refusal else []

    def _log_waiting(self, waiting: Iterable[Lane], now_s: float) -> None:
        ages_s = [lane.uncommitted.age_s(now_s) for lane in waiting]
        if not ages_s:
            self._troubles.end(Kind.COMMITS)
        elif max(ages_s) > UNCOMMITTED_LONG_S and not self._troubles.has(Kind.BROKERS):
            self._troubles.begin(
                Kind.COMMITS,
                f"Kafka takes no commits ({self._refusal or 'no answer'}); handlers of "
                f"{len(ages_s)} partitions wait, to bound what a crash repeats",
            )

    def due(self, *, now_s: float) -> list[Lane]:
        """Return, once after statistics, the lanes that are to be committed.

        These are those that librdkafka's timer has not committed in time, such as what
        goes back, and those that rest at their log's end. `offsets.store` must follow.

        Only where statistics have just said that the group is steady: a commit that is
        sent while a join is not answered is of a generation that is over by the time it
        is read, and librdkafka drops its whole assignment for that answer.
        """
        if not self._can_commit:
            return []
        self._can_commit = False
        due = [*self._lanes.commits.late(now_s=now_s), *self._lanes.commits.rest()]
        return list(dict.fromkeys(due))  # one may be due for two reasons

    def rebalancing(self) -> None:
        """Record that what statistics have told of the group holds no more."""
        self._can_commit = False
