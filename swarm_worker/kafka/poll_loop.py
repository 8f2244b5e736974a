"""The polls of one client, and what is done between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, Message

from swarm_worker.kafka import offsets
from swarm_worker.kafka.errors import Kind, kind_of
from swarm_worker.kafka.poll_batches import (
    DRAIN_MESSAGES,
    by_partition,
    next_drain,
    split,
)
from swarm_worker.processing.lane import KEEP_ALIVE_S, Key, Lane

if TYPE_CHECKING:
    from swarm_worker.kafka.assignment import Assignment
    from swarm_worker.kafka.group import Group
    from swarm_worker.kafka.topics.topic_watch import TopicWatch

# The longest a poll may block: stop, quiet and back-offs are looked at in between. Ten
# wake-ups a second cost nothing that can be measured.
POLL_MAX_S: Final = 0.1
ANSWER_POLL_S: Final = 0.01  # while a dead letter or a held partition waits for one

MARKS_EVERY_S: Final = 1.0  # what is marked done is told to Kafka with the rest


class Ending(Enum):
    """Why a client is polled no more; where there are two reasons, the first counts."""

    FAILED = auto()  # librdkafka has given it up
    STOPPED = auto()  # the node stops
    ASSIGNMENT_OUTDATED = auto()
    BROKERS_FORGOTTEN = auto()
    TOPICS_UNSHARED = auto()
    TOPICS_OUTDATED = auto()


class PollLoop:
    """Polls one client, and gives lanes what comes. All of it on one thread."""

    def __init__(
        self,
        client: Consumer,
        group: Group,
        *,
        assignment: Assignment,
        topics: TopicWatch,
    ) -> None:
        self._client = client
        self._group = group.name
        routes = group.plan.routes
        self._has_one_topic = sum(len(route.topics) for route in routes) == 1
        self._poll_max_s = min(POLL_MAX_S, group.settings.max_wait_s)
        self._processing = group.processing
        self._lanes = group.lanes
        self._dead_letters = group.dead_letters
        self._monitor = group.monitor
        self._assignment = assignment
        self._topics = topics
        self._stopping = group.stopping
        self._clock = group.clock
        self._marks_at_s = self._clock()
        self._drain = DRAIN_MESSAGES

    def run(self) -> Ending:
        """Poll as long as that is of use; return why it no longer is."""
        while (ending := self._ending()) is None:
            self.tend()
            self._assignment.look_for_topics()
            self._topics.tend()
            self._wait_for_room()
            messages = self._poll()
            if messages and self._hand_over(messages):
                self._topics.ask_soon()
        return ending

    def _ending(self) -> Ending | None:
        reasons = {
            Ending.FAILED: self._monitor.failure,
            Ending.STOPPED: self._stopping.is_set(),
            Ending.ASSIGNMENT_OUTDATED: self._assignment.is_outdated,
            Ending.BROKERS_FORGOTTEN: self._monitor.brokers.are_forgotten,
            Ending.TOPICS_UNSHARED: self._topics.unshared,
            Ending.TOPICS_OUTDATED: self._topics.outdated,
        }
        return next((ending for ending, holds in reasons.items() if holds), None)

    # --- between polls ----------------------------------------------------------------

    def tend(self) -> None:
        """Do what has come due since the last poll."""
        now_s = self._clock()
        self._serve_dead_letters(now_s)
        self._pause(self._lanes.back_pressure.to_pause(now_s=now_s))
        self._resume()
        self._count_marks(now_s)
        self._commit(now_s)
        self._monitor.partitions.tend(now_s=now_s)

    def _serve_dead_letters(self, now_s: float) -> None:
        for lane in self._lanes.turns.due(now_s=now_s):
            self._dead_letters.send(lane)
        if self._dead_letters.outstanding:
            self._dead_letters.serve()

    def _pause(self, lanes: list[Lane]) -> None:
        if lanes:
            self._client.pause(offsets.partitions_of(lanes))
            self._lanes.back_pressure.pause(lanes)

    def _resume(self) -> None:
        if lanes := self._lanes.back_pressure.to_resume():
            self._client.resume(offsets.partitions_of(lanes))
            self._lanes.back_pressure.resume(lanes)

    def _count_marks(self, now_s: float) -> None:
        if now_s - self._marks_at_s > MARKS_EVERY_S:
            self._marks_at_s = now_s
            self._processing.count_marks()

    def _commit(self, now_s: float) -> None:
        """Store what is done, and commit what librdkafka's timer does not."""
        late = self._monitor.commits.due(now_s=now_s)
        offsets.store(self._client, self._lanes.commits, group=self._group)
        if late:
            offsets.commit(self._client, late, group=self._group, wait=False)

    def _wait_for_room(self) -> None:
        if not self._lanes.back_pressure.wait_for_room(within_s=KEEP_ALIVE_S):
            self._pause(
                self._lanes.back_pressure.to_pause(now_s=self._clock(), make_room=True)
            )

    # --- the poll ---------------------------------------------------------------------

    def _poll(self) -> list[Message]:
        """Return what has come, once something has, or the time is over."""
        message = self._next()
        self._monitor.polled()
        if message is None:
            return []
        # No waiting for a fuller batch. A copy would cost 9 ns a message.
        messages = self._client.consume(self._drain, 0)
        messages.insert(0, message)
        return messages

    def _next(self) -> Message | None:
        """Poll. A quiet node gets nothing: it waits where a stop can wake it."""
        if self._dead_letters.outstanding or self._topics.is_asking:
            within_s = ANSWER_POLL_S
        else:
            within_s = self._poll_max_s
        if not self._lanes.table.is_held:
            return self._client.poll(within_s)
        self._stopping.wait(within_s)
        return self._client.poll(0)

    # --- what came --------------------------------------------------------------------

    def _hand_over(self, messages: list[Message]) -> bool:
        """Add messages to their lanes; whether a topic may have been made anew."""
        ends: Mapping[Key, int] = {}
        is_odd = False
        if any(map(Message.error, messages)):
            is_odd = self._report_errors(messages)
            messages, ends = split(messages)
        if messages:
            self._add(messages)
            self._drain = next_drain(messages)
        return self._reach_ends(ends) or is_odd

    def _add(self, messages: list[Message]) -> None:
        grouped = by_partition(messages, has_one_topic=self._has_one_topic)
        for key, run in grouped:
            # None: revoked in a callback of the very call that gave the messages.
            if (lane := self._lanes.table.get(*key)) is not None:
                self._lanes.add(lane, run)

    def _reach_ends(self, ends: Mapping[Key, int]) -> bool:
        """Record where logs end; whether one ends before what came of it."""
        is_odd = False
        for key, offset in ends.items():
            if (lane := self._lanes.table.get(*key)) is not None:
                is_odd |= offset < lane.added_offset
                lane.end_offset = offset
        return is_odd

    def _report_errors(self, messages: Iterable[Message]) -> bool:
        """Report errors; whether one is of a topic or an offset that is not there."""
        kinds = set()
        for message in messages:
            if (error := message.error()) is not None:
                self._monitor.on_message_error(message, error)
                kinds.add(kind_of(error))
        return not kinds.isdisjoint({Kind.TOPIC, Kind.OFFSET})
