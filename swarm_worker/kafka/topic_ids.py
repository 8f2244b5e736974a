"""Whether the log of a partition is still the one that its offset is of (pure).

A topic that is deleted and created again has a new log under the old name, and an
offset of the old log means nothing there. Kafka gives each topic an id of its own; this
id is committed with the offset, as its metadata, so whoever gets the partition next
knows of which log the offset is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

Key = tuple[str, int]  # topic, partition

ASK_EVERY_S: Final = 30.0
ASK_AGAIN_S: Final = 1.0  # where the last answer left something open
ASK_AGAIN_MAX_S: Final = 5.0

# Without any answer a partition is handed out after this time: its messages are not to
# wait for what is only a precaution.
HOLD_MAX_S: Final = 10.0

# A client that was told nothing of a topic's new log for so long will not be: one that
# is begun is told of within a second.
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

# Others may write what they like into an offset's metadata; ours begins like this, and
# may get more fields.
_MARK: Final = "swarm"
_FIELD: Final = "topic_id="
_ID_MAX: Final = 64  # 22 characters today

# What a broker has that gives topics no ids (before 2.8).
NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"


def metadata_of(topic_id: str | None) -> str:
    """Return what is committed with an offset in the log of a topic."""
    return f"{_MARK} {_FIELD}{topic_id}" if topic_id else ""


def topic_id_in(metadata: str | None) -> str | None:
    """Return the id of the topic that an offset is of; None where nobody has said."""
    mark, *fields = (metadata or "").split(" ")
    if mark != _MARK:
        return None
    ids = [told.removeprefix(_FIELD) for told in fields if told.startswith(_FIELD)]
    return ids[0] if len(ids) == 1 and 0 < len(ids[0]) <= _ID_MAX else None


@dataclass(frozen=True, slots=True)
class Commit:
    """What the group has committed of a partition.

    Attributes:
        offset: The next to be handled; None where nothing is committed.
        topic_id: Of which log it is, if that is known.
    """

    offset: int | None
    topic_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was told of topics and commits; what is in no field was not answered.

    Attributes:
        ids: Of the topics that exist.
        missing: Topics that do not exist.
        refused: By topic, why its id will not be told.
        without_id: Those of them that exist, and have none.
        commits: By partition.
        former: The ids that the last process of this node has known.
        failure: Why something was not answered; empty if all was.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    missing: Collection[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    without_id: Collection[str] = ()
    commits: Mapping[Key, Commit] = field(default_factory=dict)
    former: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""


def next_delay_s(last_s: float, *, is_complete: bool) -> float:
    """Return when to ask again, given the delay before and whether all was told."""
    if is_complete:
        return ASK_EVERY_S
    if last_s >= ASK_EVERY_S:
        return ASK_AGAIN_S
    return min(ASK_AGAIN_MAX_S, 2 * last_s)


def id_of_commit(commit: Commit, *, first_known: str | None) -> str | None:
    """Return the id of the log that a partition is begun in; None if it is not known.

    Kafka forgets the offsets of a topic that is deleted. So where there is none, it is
    the log that this node has known first: what has come in a newer one since, nobody
    has seen.

    Args:
        commit: What is committed.
        first_known: The topic's first id that this node was told of.
    """
    return first_known if commit.offset is None else commit.topic_id


def outdated(
    unanswered: Mapping[Key, float],
    changed_at_s: Mapping[str, float],
    *,
    now_s: float,
) -> list[Key]:
    """Return the partitions of new logs that a client will never be told of.

    librdkafka takes what it is told of a partition for outdated if the epoch of its
    leader is lower than one that it has known, also where the topic is another one by
    now, whose epochs begin at 0 (its issue 4898). It then asks with the former epoch,
    and is refused, until the new topic has had as many leaders, or the client is gone.

    Args:
        unanswered: Of which the client is told nothing, by since when.
        changed_at_s: Topics whose id has changed in the life of the client, by when
            that was noticed.
        now_s: When it was seen to be told nothing.
    """
    return [
        key
        for key, since_s in sorted(unanswered.items())
        if (at_s := changed_at_s.get(key[0])) is not None
        and now_s - max(since_s, at_s) >= OUTDATED_S
    ]


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


def unshared(
    absences: Mapping[str, Absence],
    held: Collection[str],
    *,
    assigned_at_s: float | None,
    node: int,
    now_s: float,
) -> list[str]:
    """Return the topics that the group may have left to nobody.

    A leader of the classic protocol that finds a topic missing assigns nothing of it.
    librdkafka joins anew where it sees that a topic has come or has another number of
    partitions; a client that has not looked while it was away sees neither.

    Args:
        absences: Of the topics that have changed in the life of this client.
        held: Topics of which this node has partitions: they were shared out.
        assigned_at_s: When the group last told what is ours; None while that is open.
        node: The number of this node: lower ones go first.
        now_s: Now.
    """
    if assigned_at_s is None:
        return []
    patience_s = UNSHARED_S + NEXT_NODE_S * min(node, NEXT_NODES_MAX)
    return [
        topic
        for topic, absence in sorted(absences.items())
        if topic not in held
        and absence.covers(assigned_at_s)
        and now_s - absence.back_s >= patience_s
    ]
