"""The new logs of topics that were made anew: each is begun at its first offset.

Used by the poll thread, like the client.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from swarm_worker.kafka import offsets
from swarm_worker.kafka.errors import Kind, text_of

if TYPE_CHECKING:
    from swarm_worker.app.app import Route
    from swarm_worker.kafka.group import Group
    from swarm_worker.processing.lane import Key, Lane

logger = logging.getLogger(__name__)

SEEK_EVERY_S: Final = 0.5
SEEK_MAX_S: Final = 5.0  # a partition that cannot be sought for so long is taken anew

_CONSEQUENCE: Final = (
    "begun at the first offset of the new log: nothing of it is skipped, and what was "
    "handled of it before this was noticed is handled once more"
)


@dataclass(slots=True)
class _Change:
    """A partition whose log has begun anew, until the client stands at its begin."""

    topic_id: str
    route: Route
    since_s: float
    try_at_s: float


class NewLogs:
    """The new logs that one client has not begun yet: nothing of them is handed out."""

    def __init__(self, client: Consumer, group: Group) -> None:
        self._client = client
        self._group = group.name
        self._lanes = group.lanes
        self._troubles = group.monitor.troubles
        self._partitions = group.monitor.partitions
        self._changes: dict[Key, _Change] = {}

    @property
    def topics(self) -> set[str]:
        """The topics of these logs."""
        return {topic for topic, _ in self._changes}

    def add(self, lanes: list[Lane], topic_id: str, *, now_s: float) -> None:
        """Let go of a topic's old log: what is in flight of it counts for nothing.

        The lanes are all that is held of the topic, the id is that of the new one.
        """
        lanes.sort(key=lambda lane: lane.partition)
        logger.warning(
            "topic_made_anew group=%s topic=%s partitions=%s was=%s is=%s "
            "consequence=%r",
            self._group, lanes[0].topic,
            ",".join(str(lane.partition) for lane in lanes),
            lanes[0].topic_id, topic_id, _CONSEQUENCE,
        )  # fmt: skip
        if paused := [lane for lane in lanes if lane.paused]:
            self._client.resume(offsets.partitions_of(paused))
        self._lanes.close([lane.key for lane in lanes])
        for lane in lanes:
            self._changes[lane.key] = _Change(topic_id, lane.route, now_s, now_s)

    def forget(self, key: Key) -> None:
        """Record that a partition is no longer ours, or is assigned anew."""
        self._changes.pop(key, None)

    def begin(self, *, now_s: float) -> None:
        """Go to the begin of logs; until then what comes of them is dropped."""
        due = [(k, c) for k, c in self._changes.items() if now_s >= c.try_at_s]
        for key, change in due:
            change.try_at_s = now_s + SEEK_EVERY_S
            if self._goes_to_begin(key, is_late=now_s - change.since_s > SEEK_MAX_S):
                del self._changes[key]
                topic_id, route = change.topic_id, change.route
                lane = self._lanes.open(*key, route, anew_as=topic_id, now_s=now_s)
                # What was wrong with it, was with the old log.
                self._partitions.left([lane])

    def _goes_to_begin(self, key: Key, *, is_late: bool) -> bool:
        at = TopicPartition(*key, OFFSET_BEGINNING)
        try:
            self._client.seek(at)
        except KafkaException:
            # Not begun yet, or given up by librdkafka because its offset was gone.
            topic, partition = key
            is_dead = f"{topic}/{partition}" in self._troubles.subjects(Kind.OFFSET)
            return (is_dead or is_late) and self._assign_again(at)
        return True

    def _assign_again(self, at: TopicPartition) -> bool:
        """Assign one partition anew; whether the client took it."""
        client = self._client
        try:
            client.incremental_unassign([at])
            client.incremental_assign([at])
        except KafkaException:
            return self._assign_all_again(at)
        return True

    def _assign_all_again(self, at: TopicPartition) -> bool:
        """The same in an eager group, where it goes with all: these go on as they are.

        Those that are to go to their begin, too, are not among them: they follow.
        """
        client = self._client
        others = [
            p
            for p in client.assignment()
            if (p.topic, p.partition) != (at.topic, at.partition)
        ]
        try:
            client.assign([*client.position(others), at])
        except KafkaException as error:
            logger.info(
                "partition_not_begun group=%s partition=%s/%s reason=%r",
                self._group, at.topic, at.partition, text_of(error),
            )  # fmt: skip
            return False
        return True
