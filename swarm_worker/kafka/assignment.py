"""Which partitions a client holds: subscribed or assigned directly, and how it changes.

The callbacks run inside polls, on the poll thread, also while handlers are at work on
the partitions in question.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from swarm_worker.kafka import offsets
from swarm_worker.kafka.errors import FatalError, Kind
from swarm_worker.process import exit_codes as exits

if TYPE_CHECKING:
    from swarm_worker.kafka.group import Group
    from swarm_worker.kafka.topics.topic_watch import TopicWatch
    from swarm_worker.processing.lane import Key, Lane

logger = logging.getLogger(__name__)

# A revoke waits for batches in flight, but must be over before the group gives up on
# this member, which it does after max.poll.interval.ms.
REVOKE_SHARE: Final = 0.8
DEAD_LETTERS_EVERY_S: Final = 0.05
# Meanwhile nobody else commits the work of other partitions, which are to go on.
COMMIT_EVERY_S: Final = 0.5

METADATA_S: Final = 1.0  # the longest a question for metadata may block the thread
TOPICS_EVERY_S: Final = 5.0  # between such questions while a topic is missing
LOOK_EVERY_S: Final = 0.1

LISTED_MAX: Final = 20


class Assignment:
    """The partitions that one client holds.

    Attributes:
        has_joined: The group has given an assignment, be it empty.
        is_outdated: The group goes by topics that are not this node's (any more).
    """

    def __init__(self, client: Consumer, group: Group, topic_watch: TopicWatch) -> None:
        """Hold nothing yet; see `join`."""
        self.has_joined = False
        self.is_outdated = False
        self._is_over = False  # the lanes are another client's from now on
        self._client = client
        self._group = group
        self._plan = group.plan
        self._lanes = group.lanes
        self._monitor = group.monitor
        self._troubles = group.monitor.troubles
        self._topic_watch = topic_watch
        self._clock = group.clock
        routes = group.plan.routes
        self._routes = {topic: route for route in routes for topic in route.topics}
        # Beyond what an operator gives handlers at a stop nothing is waited for.
        self._revoke_wait_s = min(
            group.settings.shutdown_timeout_s,
            REVOKE_SHARE * group.settings.max_poll_interval_ms / 1000,
        )
        self._topics_at_s = self._clock()
        is_consumer_protocol = group.monitor.is_consumer_protocol
        self._looks_for_topics = is_consumer_protocol and bool(group.plan.topics)

    # --- to hold ----------------------------------------------------------------------

    def join(self) -> None:
        """Subscribe, or assign directly.

        A direct assignment waits, polling, until its topics exist, or the client is of
        no use any more, or the node stops.

        Raises:
            FatalError: Partitions that no topic has are assigned directly.
        """
        if self._plan.topics:
            self._client.subscribe(
                list(self._plan.topics),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            return
        missing, monitor = {topic for topic, _ in self._plan.assignments}, self._monitor
        stopping = self._group.stopping
        while missing and not (
            stopping.is_set() or monitor.failure or monitor.brokers.are_forgotten
        ):
            self._client.poll(0)
            monitor.polled()
            missing -= {topic for topic in sorted(missing) if self._is_there(topic)}
            if missing:
                stopping.wait(LOOK_EVERY_S)
        if not missing:
            wanted = [TopicPartition(t, p) for t, p in self._plan.assignments]
            self._client.assign(wanted)
            self._on_assign(self._client, wanted)

    def _is_there(self, topic: str) -> bool:
        """Whether a topic has what is assigned of it.

        Raises:
            FatalError: It exists, and does not.
        """
        count = self._partition_count(topic)
        wanted = [p for t, p in self._plan.assignments if t == topic]
        if count and max(wanted) >= count:
            raise FatalError(
                f"handler {self._routes[topic].name}: partitions= claims partition "
                f"{max(wanted)} of topic {topic}, which has {count} (0 to {count - 1});"
                " name others, or add partitions to the topic",
                exit_code=exits.CONFIG,
            )
        return bool(count)

    def _partition_count(self, topic: str) -> int:
        """Ask for a topic; 0 when it does not exist or nobody answers."""
        try:
            found = self._client.list_topics(topic, timeout=METADATA_S).topics[topic]
        except KafkaException:
            return 0  # that no broker answers is told by the error callback
        if found.error is not None:
            text = f"{topic}: {found.error.str()}; waiting for it"
            self._troubles.begin(Kind.TOPIC, text, subject=topic)
            return 0
        self._troubles.end(Kind.TOPIC, having=topic.__eq__)
        return len(found.partitions)

    def look_for_topics(self) -> None:
        """Ask for topics until all exist: in the consumer protocol nobody tells."""
        if not self._looks_for_topics or self._clock() < self._topics_at_s:
            return
        self._topics_at_s = self._clock() + TOPICS_EVERY_S
        counts = [self._partition_count(topic) for topic in self._plan.topics]
        self._looks_for_topics = not all(counts)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._is_over:
            return
        self._monitor.commits.rebalancing()
        self.has_joined = True
        foreign = {at.topic for at in partitions if at.topic not in self._routes}
        if changed := foreign | self._group.subscribed.changed:
            self._refuse(changed)
            return
        now_s = self._clock()
        self._topic_watch.opened(
            self._lanes.open(
                *(at.topic, at.partition, self._routes[at.topic]),
                awaits_log=True,
                now_s=now_s,
            )
            for at in partitions
        )
        if self._plan.topics:
            self._group.subscribed.accepted()
        topics = {at.topic for at in partitions}
        self._troubles.end(Kind.TOPIC, having=topics.__contains__)
        self._troubles.end(Kind.GROUP, Kind.JOIN, Kind.OTHER)
        self._monitor.member.assigned(is_empty=not partitions)
        self._log("assigned", partitions)

    def _refuse(self, changed: Iterable[str]) -> None:
        """Take no partition of an assignment that was made for other topics.

        What is raised here would end the thread.
        """
        self.is_outdated = True
        logger.warning(
            "assignment_outdated group=%s topics=%s consequence=%r",
            self._group.name, ",".join(sorted(changed)),
            "the group does not know that the app has taken these up, or given up: "
            "the node leaves it and joins anew",
        )  # fmt: skip

    # --- to let go --------------------------------------------------------------------

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._is_over:
            return
        self._monitor.commits.rebalancing()
        self._let_go([(at.topic, at.partition) for at in partitions])
        self._log("revoked", partitions)

    def let_go_of_all(self) -> None:
        """Do as in a revoke of everything; the client is to be closed."""
        self._let_go([lane.key for lane in self._lanes.table.all()])
        self._end()

    def _end(self) -> None:
        """Hold nothing any more: what a close calls back may come late, on its thread.

        By then the next client may hold the same partitions.
        """
        self._is_over = True
        self._monitor.progress.assigned = 0

    def _let_go(self, keys: Sequence[Key]) -> None:
        """Wait for what is under way of partitions, commit, and hold them no longer."""
        if late := self._retire(keys):
            logger.warning(
                "revoked_in_flight group=%s partitions=%s consequence=%r",
                self._group.name, ",".join(lane.name for lane in late),
                "their batches outlived the wait; the next owner repeats them",
            )  # fmt: skip
        self._lanes.commits.rest()
        offsets.store(self._client, self._lanes.commits, group=self._group.name)
        lanes = self._drop(keys)
        offsets.commit(self._client, lanes, group=self._group.name, wait=True)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._is_over:
            return
        self._monitor.commits.rebalancing()
        self.has_joined = False
        self._drop([(at.topic, at.partition) for at in partitions])
        self._monitor.member.lost_session()
        self._log("lost", partitions)

    def lose_all(self) -> None:
        """Let go of everything without a commit: it is another's by now."""
        self._drop([lane.key for lane in self._lanes.table.all()])
        self._end()

    def _retire(self, keys: Sequence[Key]) -> list[Lane]:
        """Wait for what is under way of partitions; return what is not over in time."""
        give_up_at_s = time.monotonic() + self._revoke_wait_s
        commit_at_s = time.monotonic() + COMMIT_EVERY_S
        while True:
            left_s = max(0.0, give_up_at_s - time.monotonic())
            slice_s = (
                DEAD_LETTERS_EVERY_S
                if self._group.dead_letters.outstanding
                else COMMIT_EVERY_S
            )
            late = self._lanes.retire(keys, within_s=min(slice_s, left_s))
            if not late or left_s <= 0:
                return late
            self._group.dead_letters.serve()
            if time.monotonic() >= commit_at_s:
                takes = self._commit_meanwhile()
                commit_at_s = time.monotonic() + COMMIT_EVERY_S if takes else inf

    def _commit_meanwhile(self) -> bool:
        """Commit what is done so far; False if Kafka takes none, so not to try again.

        librdkafka's timer does not in a rebalance, and nobody polls for its answers.
        """
        lanes = self._lanes.commits.uncommitted(now_s=self._clock())
        if not lanes:
            return True
        group = self._group.name
        offsets.store(self._client, self._lanes.commits, group=group)
        taken = offsets.commit(self._client, lanes, group=group, wait=True)
        self._lanes.committed(taken, now_s=self._clock())
        return bool(taken)

    def _drop(self, keys: Sequence[Key]) -> list[Lane]:
        """Hold partitions no longer; return their lanes, which are closed."""
        lanes = [
            lane for key in keys if (lane := self._lanes.table.get(*key)) is not None
        ]
        # librdkafka may keep a pause over assignments: undo ours.
        if paused := [lane for lane in lanes if lane.paused]:
            self._client.resume(offsets.partitions_of(paused))
        self._lanes.close(keys)
        self._topic_watch.left(keys)
        self._monitor.partitions.left(lanes)
        return lanes

    def _log(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        held = len(self._lanes.table.all())
        self._monitor.progress.assigned = held
        names = [f"{at.topic}/{at.partition}" for at in partitions]
        more = len(names) - LISTED_MAX
        logger.info(
            "partitions_%s group=%s count=%s held=%s partitions=%s%s",
            what, self._group.name, len(names), held,
            ",".join(names[:LISTED_MAX]), f",+{more}" if more > 0 else "",
        )  # fmt: skip
