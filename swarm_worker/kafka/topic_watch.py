"""Topics that are deleted and created again: noticed, and begun at their first offset.

Used by the poll thread, like the client. A partition that is assigned is held until it
is known which log its offset is of. Whatever its messages were before that is found out
later: an offset is never committed with the id of another log than the one that it was
worked on as, and where the two differ the log is begun anew.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from swarm_worker.kafka import offsets
from swarm_worker.kafka.errors import Kind, text_of
from swarm_worker.kafka.topic_asker import Question
from swarm_worker.kafka.topic_ids import (
    ASK_AGAIN_S,
    ASK_EVERY_S,
    HOLD_MAX_S,
    Absence,
    Answer,
    id_of_commit,
    next_delay_s,
    outdated,
    unshared,
)

if TYPE_CHECKING:
    from swarm_worker.app.app import Route
    from swarm_worker.kafka.monitoring.monitor import Monitor
    from swarm_worker.kafka.topic_asker import TopicAsker
    from swarm_worker.processing.lane import Key, Lane
    from swarm_worker.processing.lanes import Lanes

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.05
UNANSWERED_S: Final = 60.0  # then it is said
SEEK_EVERY_S: Final = 0.5
SEEK_MAX_S: Final = 5.0  # a partition that cannot be sought for so long is taken anew

_CONSEQUENCE: Final = (
    "begun at the first offset of the new log: nothing of it is skipped, and what was "
    "handled of it before this was noticed is handled once more"
)
_BLIND: Final = "a topic that is deleted and created again is not noticed meanwhile"


@dataclass(slots=True)
class _Change:
    """A partition whose log has begun anew, until the client stands at its begin."""

    topic_id: str
    route: Route
    since_s: float
    try_at_s: float


class TopicWatch:
    """The logs that one client reads.

    Attributes:
        outdated: Partitions of new logs that this client will never be told of: it has
            to be replaced.
        unshared: Topics that the group may have left to nobody: it has to rebalance.
    """

    def __init__(
        self,
        client: Consumer,
        *,
        group: str,
        node: int,
        topics: Iterable[str],
        asker: TopicAsker,
        first_known: dict[str, str],
        lanes: Lanes,
        monitor: Monitor,
        clock: Callable[[], float],
    ) -> None:
        """Ask for the first time: the answer comes before most assignments do.

        Args:
            client: The client.
            group: Its group, for the log.
            node: The number of this node.
            topics: All that may be assigned.
            asker: Asks.
            first_known: The first id of each topic that this node has known; added to.
            lanes: What is held.
            monitor: Has the troubles.
            clock: Seconds.
        """
        self._client = client
        self._group = group
        self._node = node
        self._topics = tuple(sorted(topics))
        self._asker = asker
        self._first_known = first_known
        self._lanes = lanes
        self._monitor = monitor
        self._troubles = monitor.troubles
        self._clock = clock
        self._unread: dict[Key, Lane] = {}  # what is committed of it is not known
        self._held: dict[Key, tuple[Lane, float]] = {}  # since when
        self._changes: dict[Key, _Change] = {}
        # The question under way, and the lanes that its answer counts for.
        self._asked: tuple[Question, dict[Key, Lane]] | None = None
        self._asked_at_s = -inf
        self._ask_at_s = self._look_at_s = clock()
        self._answered_at_s = self._look_at_s
        self._last_ids: Mapping[str, str] = {}
        self._ids: dict[str, str] = {}  # of each topic, in the life of this client
        self._changed_at_s: dict[str, float] = {}
        self._there_s: dict[str, float] = {}  # when it was last known to be the same
        self._absences: dict[str, Absence] = {}
        self._assigned_at_s: float | None = None
        self._unanswered: set[Key] = set()
        self.outdated: list[Key] = []
        self.unshared: list[str] = []
        self._delay_s = ASK_EVERY_S
        self._ask()

    def opened(self, lanes: Iterable[Lane]) -> None:
        """Take on partitions that were assigned: ask at once."""
        self._assigned_at_s = now_s = self._clock()
        self.unshared = []
        self._absences = {
            topic: absence
            for topic, absence in self._absences.items()
            if absence.covers(now_s)
        }
        for lane in lanes:
            self._changes.pop(lane.key, None)
            self._unread[lane.key] = lane
            self._held[lane.key] = lane, now_s
        self._ask_at_s = self._look_at_s = now_s

    def left(self, keys: Iterable[Key]) -> None:
        """Partitions are no longer ours; what is, the group is about to tell."""
        self._assigned_at_s = None
        self.unshared = []
        for key in keys:
            self._unread.pop(key, None)
            self._held.pop(key, None)
            self._changes.pop(key, None)

    def hurry(self) -> None:
        """Ask soon: what the client tells may come of a topic that was made anew."""
        self._ask_at_s = min(self._ask_at_s, self._asked_at_s + ASK_AGAIN_S)
        self._delay_s = ASK_EVERY_S

    @property
    def is_asking(self) -> bool:
        """Whether partitions wait for an answer."""
        return bool(self._held)

    def tend(self) -> None:
        """Do what has come due. Does not block."""
        now_s = self._clock()
        if (told := self._asker.answer()) is not None:
            self._take(*told, now_s=now_s)
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._release_late(now_s)
            self._begin_changed(now_s)
            self._look_at_unanswered()
            self._look_at_unshared(now_s)
            if self._asked is None and now_s >= self._ask_at_s:
                self._ask()

    def _look_at_unanswered(self) -> None:
        """Ask soon about what the client is told nothing of; see `outdated`."""
        stalls = self._monitor.partitions.stalls
        if not stalls.unanswered.keys() <= self._unanswered:
            self.hurry()
        self._unanswered = set(stalls.unanswered)
        if self._changed_at_s and stalls.updated_at_s is not None:
            self.outdated = outdated(
                stalls.unanswered, self._changed_at_s, now_s=stalls.updated_at_s
            )

    def _look_at_unshared(self, now_s: float) -> None:
        """See `unshared`; in the consumer protocol the broker shares out."""
        if self._absences and not self._monitor.is_consumer_protocol:
            held = {lane.topic for lane in self._lanes.table.all()}
            self.unshared = unshared(
                self._absences,
                held.union(topic for topic, _ in self._changes),
                assigned_at_s=self._assigned_at_s,
                node=self._node,
                now_s=now_s,
            )

    # --- questions and answers --------------------------------------------------------

    def _ask(self) -> None:
        held = {lane.key: lane for lane in self._lanes.table.all()}
        is_settled = held and not (self._unread or self._held or self._changes)
        settled = self._last_ids if is_settled else {}
        question = Question(self._topics, tuple(self._unread), settled)
        self._asked = question, held
        self._asked_at_s, self._ask_at_s = self._clock(), inf
        self._asker.ask(question)

    def _take(self, question: Question, answer: Answer, *, now_s: float) -> None:
        if self._asked is None or question is not self._asked[0]:
            return  # a former client's
        _, asked = self._asked
        self._asked = None
        # What was assigned since then needs an answer of its own.
        lanes = {key: lane for key, lane in asked.items() if self._is_ours(key, lane)}
        for topic, topic_id in answer.former.items():
            self._first_known.setdefault(topic, topic_id)
        self._read_commits(lanes, answer)
        for topic, topic_id in answer.ids.items():
            self._first_known.setdefault(topic, topic_id)
        self._last_ids = answer.ids
        self._note_topics(answer, now_s)
        for of_topic in self._changed(lanes, answer).values():
            self._change(of_topic, answer.ids[of_topic[0].topic], now_s)
        self._log_trouble(answer, now_s)
        is_complete = not (answer.missing or answer.failure or self._unread)
        self._delay_s = next_delay_s(self._delay_s, is_complete=is_complete)
        self._ask_at_s = min(self._ask_at_s, now_s + self._delay_s)
        self._look_at_s = now_s

    def _note_topics(self, answer: Answer, now_s: float) -> None:
        """Note what topics there are, and which are others than before.

        Not by the ids of lanes: where another node has begun a new log, one that comes
        to this node has the new id, and its client has known the former topic.
        """
        for topic, topic_id in answer.ids.items():
            if self._ids.setdefault(topic, topic_id) != topic_id:
                self._ids[topic] = topic_id
                self._changed_at_s[topic] = now_s
                since = self._absences.get(topic)
                there_s = since.there_s if since else self._there_s[topic]
                self._absences[topic] = Absence(there_s, now_s)
            self._there_s[topic] = self._asked_at_s
        there = self._monitor.partitions.stalls.there
        there.difference_update(answer.missing, answer.refused)
        there.update(answer.ids, answer.without_id)

    def _changed(
        self, lanes: Mapping[Key, Lane], answer: Answer
    ) -> Mapping[str, list[Lane]]:
        """Hand out what is of the log that it should be; return the rest by topic."""
        changed: dict[str, list[Lane]] = defaultdict(list)
        for key, lane in lanes.items():
            topic_id = answer.ids.get(lane.topic)
            if lane.topic in answer.refused:
                self._release(key, lane)
            elif topic_id is None or key in self._unread:
                continue
            elif self._is_same(lane, topic_id):
                self._release(key, lane)
            else:
                changed[lane.topic].append(lane)
        return changed

    def _is_ours(self, key: Key, lane: Lane) -> bool:
        return self._lanes.table.get(*key) is lane

    def _read_commits(self, lanes: dict[Key, Lane], answer: Answer) -> None:
        for key, commit in answer.commits.items():
            lane = lanes.get(key)
            if lane is not None and self._unread.get(key) is lane:
                del self._unread[key]
                first_known = self._first_known.get(lane.topic)
                lane.topic_id = id_of_commit(commit, first_known=first_known)

    def _is_same(self, lane: Lane, topic_id: str) -> bool:
        """Whether a lane's offset is of a topic's log; of an unknown one it is."""
        if lane.topic_id is None:
            lane.learn_id(topic_id)
        return lane.topic_id == topic_id

    def _log_trouble(self, answer: Answer, now_s: float) -> None:
        """Say once that changes are not noticed; a cluster that is away is told of."""
        if answer.refused:
            reason = next(iter(answer.refused.values()))
            self._troubles.begin(Kind.TOPIC_IDS, f"{reason}: {_BLIND}")
        elif not answer.failure:
            self._answered_at_s = now_s
            self._troubles.end(Kind.TOPIC_IDS, having="".__eq__)
        elif now_s - self._answered_at_s > UNANSWERED_S:
            self._log_no_answer(answer.failure)

    def _log_no_answer(self, reason: str) -> None:
        if not self._troubles.has(Kind.BROKERS, Kind.CREDENTIALS):
            text = f"no answer about topics ({reason}): {_BLIND}"
            self._troubles.begin(Kind.TOPIC_IDS, text)

    def _release(self, key: Key, lane: Lane) -> None:
        if self._held.pop(key, None):
            self._lanes.turns.release(lane)

    def _release_late(self, now_s: float) -> None:
        """Hand out what has waited for an answer for long enough."""
        late = [
            (key, lane)
            for key, (lane, since_s) in self._held.items()
            if now_s - since_s >= HOLD_MAX_S
        ]
        for key, lane in late:
            self._release(key, lane)
        if late and not self._troubles.has(Kind.TOPIC):
            self._log_no_answer(f"within {HOLD_MAX_S:.0f} s")

    # --- a log that has begun anew ----------------------------------------------------

    def _change(self, lanes: list[Lane], topic_id: str, now_s: float) -> None:
        """Let go of a topic's old log: what is in flight of it counts for nothing."""
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
        keys = [lane.key for lane in lanes]
        self._lanes.close(keys)
        for key, lane in zip(keys, lanes, strict=True):
            self._held.pop(key, None)
            self._changes[key] = _Change(topic_id, lane.route, now_s, now_s)

    def _begin_changed(self, now_s: float) -> None:
        """Go to the begin of logs; until then what comes of them is dropped."""
        due = [(k, c) for k, c in self._changes.items() if now_s >= c.try_at_s]
        for key, change in due:
            change.try_at_s = now_s + SEEK_EVERY_S
            if self._goes_to_begin(key, is_late=now_s - change.since_s > SEEK_MAX_S):
                del self._changes[key]
                topic_id, route = change.topic_id, change.route
                lane = self._lanes.open(*key, route, anew_as=topic_id, now_s=now_s)
                # What was wrong with it, was with the old log.
                self._monitor.partitions.left([lane])

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
