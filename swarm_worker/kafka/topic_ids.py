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

from swarm_worker.processing.lane import Key

ASK_EVERY_S: Final = 30.0
ASK_AGAIN_S: Final = 1.0  # where the last answer left something open
ASK_AGAIN_MAX_S: Final = 5.0

# Without any answer a partition is handed out after this time: its messages are not to
# wait for what is only a precaution.
HOLD_MAX_S: Final = 10.0

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
    ids = [each.removeprefix(_FIELD) for each in fields if each.startswith(_FIELD)]
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
    """
    return first_known if commit.offset is None else commit.topic_id
