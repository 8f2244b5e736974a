"""Topics that are deleted and created again: noticed, and begun at their first offset.

Used by the poll thread, like the client. A partition that is assigned is held until it
is known which log its offset is of. A change in between is found out later: an
offset is committed with the id of the log that it was believed to be of, and where the
topic has another id the log is begun anew.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Final

from swarm_worker.kafka.errors import Kind
from swarm_worker.kafka.topic_ids import (
    ASK_AGAIN_S,
    ASK_EVERY_S,
    HOLD_MAX_S,
    Answer,
    id_of_commit,
    next_delay_s,
)
from swarm_worker.kafka.topics.new_logs import NewLogs
from swarm_worker.kafka.topics.topic_asker import Question
from swarm_worker.kafka.topics.topic_changes import TopicChanges

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from swarm_worker.kafka.group import Group
    from swarm_worker.kafka.topics.topic_asker import TopicAsker
    from swarm_worker.processing.lane import Key, Lane

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 0.05
UNANSWERED_S: Final = 60.0  # then it is logged

_BLIND: Final = "a topic that is deleted and created again is not noticed meanwhile"


class TopicWatch:
    """The logs that one client reads.

    Attributes:
        outdated: Partitions of new logs that this client will never learn of: it has
            to be replaced.
        unshared: Topics that the group may have left to nobody: it has to rebalance.
    """

    def __init__(self, client: Consumer, group: Group, asker: TopicAsker) -> None:
        """Ask for the first time: the answer comes before most assignments do."""
        plan = group.plan
        assigned = {topic for topic, _ in plan.assignments}
        self._topics = tuple(sorted(assigned.union(plan.topics)))
        self._asker = asker
        self._first_known = group.first_known
        self._lanes = group.lanes
        self._monitor = group.monitor
        self._troubles = group.monitor.troubles
        self._clock = group.clock
        self._unread: dict[Key, Lane] = {}  # what is committed of it is not known
        self._held: dict[Key, tuple[Lane, float]] = {}  # since when
        # The question under way, and the lanes that its answer counts for.
        self._asked: tuple[Question, dict[Key, Lane]] | None = None
        self._asked_at_s = -inf
        self._ask_at_s = self._look_at_s = self._clock()
        self._answered_at_s = self._look_at_s
        self._last_ids: Mapping[str, str] = {}
        self._changes = TopicChanges(node=group.settings.node)
        self._new_logs = NewLogs(client, group)
        self._unanswered: set[Key] = set()
        self.outdated: list[Key] = []
        self.unshared: list[str] = []
        self._delay_s = ASK_EVERY_S
        self._ask()

    def opened(self, lanes: Iterable[Lane]) -> None:
        """Take on partitions that were assigned: ask at once."""
        now_s = self._clock()
        self.unshared = []
        self._changes.assigned(now_s=now_s)
        for lane in lanes:
            self._new_logs.forget(lane.key)
            self._unread[lane.key] = lane
            self._held[lane.key] = lane, now_s
        self._ask_at_s = self._look_at_s = now_s

    def left(self, keys: Iterable[Key]) -> None:
        """Partitions are no longer ours; what is, the group is about to tell."""
        self._changes.rebalancing()
        self.unshared = []
        for key in keys:
            self._unread.pop(key, None)
            self._held.pop(key, None)
            self._new_logs.forget(key)

    def ask_soon(self) -> None:
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
        if (answered := self._asker.answer()) is not None:
            self._take(*answered, now_s=now_s)
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._release_late(now_s)
            self._new_logs.begin(now_s=now_s)
            self._look_at_unanswered()
            self._look_at_unshared(now_s)
            if self._asked is None and now_s >= self._ask_at_s:
                self._ask()

    def _look_at_unanswered(self) -> None:
        """Ask soon about partitions that the client gets nothing of; see `outdated`."""
        stalls = self._monitor.partitions.stalls
        if not stalls.unanswered.keys() <= self._unanswered:
            self.ask_soon()
        self._unanswered = set(stalls.unanswered)
        if stalls.updated_at_s is not None:
            self.outdated = self._changes.outdated(
                stalls.unanswered, now_s=stalls.updated_at_s
            )

    def _look_at_unshared(self, now_s: float) -> None:
        """See `unshared`; in the consumer protocol the broker shares out."""
        if self._changes.absences and not self._monitor.is_consumer_protocol:
            held = {lane.topic for lane in self._lanes.table.all()}
            self.unshared = self._changes.unshared(
                held | self._new_logs.topics, now_s=now_s
            )

    # --- questions and answers --------------------------------------------------------

    def _ask(self) -> None:
        held = {lane.key: lane for lane in self._lanes.table.all()}
        is_settled = held and not (self._unread or self._held or self._new_logs.topics)
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
        self._changes.note(answer.ids, asked_at_s=self._asked_at_s, now_s=now_s)
        there = self._monitor.partitions.stalls.there
        there.difference_update(answer.missing, answer.refused)
        there.update(answer.ids, answer.without_id)
        for of_topic in self._changed(lanes, answer).values():
            for lane in of_topic:
                self._held.pop(lane.key, None)
            topic_id = answer.ids[of_topic[0].topic]
            self._new_logs.add(of_topic, topic_id, now_s=now_s)
        self._log_trouble(answer, now_s)
        is_complete = not (answer.missing or answer.failure or self._unread)
        self._delay_s = next_delay_s(self._delay_s, is_complete=is_complete)
        self._ask_at_s = min(self._ask_at_s, now_s + self._delay_s)
        self._look_at_s = now_s

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
        """Log once that changes are not noticed; lost brokers are logged elsewhere."""
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
