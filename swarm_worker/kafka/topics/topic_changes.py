"""Which topics were deleted and created again, and what follows from that (pure).

Two clients in particular have to be replaced: one that will never learn of a new log,
and one whose group may have left a topic to nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from swarm_worker.processing.lane import Key

# A client that has learned nothing of a topic's new log for so long never will: of a
# log that it has begun it learns within a second.
OUTDATED_S: Final = 3.0

# A leader asks for topics right before it shares them out: what it tells members later
# than this after a topic was there, has the topic in it.
SHARED_WITHIN_S: Final = 5.0
BROKERS_LAG_S: Final = 1.0  # a topic that one tells of may be gone for another

# All members have noticed by then that a topic is there again. The first node mends it
# for all, and the others, each a while later, see that it did.
UNSHARED_S: Final = 10.0
NEXT_NODE_S: Final = 5.0
NEXT_NODES_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Absence:
    """When a topic that is another one now may have been away.

    Attributes:
        there_s: The former one was there then.
        back_s: The new one was first seen then.
    """

    there_s: float
    back_s: float

    def covers(self, assigned_at_s: float) -> bool:
        """Whether who shared out what was assigned then may have found no topic."""
        from_s = self.there_s - BROKERS_LAG_S
        return from_s <= assigned_at_s <= self.back_s + SHARED_WITHIN_S


class TopicChanges:
    """The topics that have changed in the life of one client.

    Attributes:
        absences: When they may have been away, as long as that counts.
    """

    def __init__(self, *, node: int) -> None:
        """Know no topic yet; ``node`` is the number of this node."""
        self._node = node
        self._ids: dict[str, str] = {}
        self._changed_at_s: dict[str, float] = {}
        self._there_s: dict[str, float] = {}  # when it was last known to be the same
        self.absences: dict[str, Absence] = {}
        self._assigned_at_s: float | None = None  # None: the group is to tell anew

    def note(self, ids: Mapping[str, str], *, asked_at_s: float, now_s: float) -> None:
        """Note what topics there are, as an answer has told to what was asked before.

        Not by the ids of lanes: where another node has begun a new log, one that comes
        to this node has the new id, and its client has known the former topic.
        """
        for topic, topic_id in ids.items():
            if self._ids.setdefault(topic, topic_id) != topic_id:
                self._ids[topic] = topic_id
                self._changed_at_s[topic] = now_s
                since = self.absences.get(topic)
                there_s = since.there_s if since else self._there_s[topic]
                self.absences[topic] = Absence(there_s, now_s)
            self._there_s[topic] = asked_at_s

    def assigned(self, *, now_s: float) -> None:
        """Record that the group has told what is ours."""
        self._assigned_at_s = now_s
        self.absences = {
            topic: absence
            for topic, absence in self.absences.items()
            if absence.covers(now_s)
        }

    def rebalancing(self) -> None:
        """Record that the group is about to tell anew what is ours."""
        self._assigned_at_s = None

    def outdated(self, unanswered: Mapping[Key, float], *, now_s: float) -> list[Key]:
        """Return the partitions of new logs that the client will never learn of.

        Of those that it learns nothing of, by since when. librdkafka takes what
        metadata say of a partition for outdated if the epoch of its leader is lower
        than one that it has known, also where the topic is another one by now, whose
        epochs begin at 0 (its issue 4898). It then asks with the former epoch, and is
        refused, until the new topic has had as many leaders, or the client is gone.
        """
        return [
            key
            for key, since_s in sorted(unanswered.items())
            if (at_s := self._changed_at_s.get(key[0])) is not None
            and now_s - max(since_s, at_s) >= OUTDATED_S
        ]

    def unshared(self, held: Collection[str], *, now_s: float) -> list[str]:
        """Return the topics that the group may have left to nobody.

        A leader of the classic protocol that finds a topic missing assigns nothing of
        it. librdkafka joins anew where it sees that a topic has come or has another
        number of partitions; a client that has not looked while it was away sees
        neither. What this node holds something of was shared out. Nodes of lower
        numbers go first.
        """
        if self._assigned_at_s is None:
            return []
        after_s = UNSHARED_S + NEXT_NODE_S * min(self._node, NEXT_NODES_MAX)
        return [
            topic
            for topic, absence in sorted(self.absences.items())
            if topic not in held
            and absence.covers(self._assigned_at_s)
            and now_s - absence.back_s >= after_s
        ]
