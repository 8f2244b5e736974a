"""The end of a client that another one replaces, while the node goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from swarm_worker.kafka.assignment import LISTED_MAX
from swarm_worker.kafka.closing import leave_group
from swarm_worker.kafka.closing.close import close
from swarm_worker.kafka.closing.stop_policy import CLOSE_MAX_S
from swarm_worker.kafka.poll_loop import Ending
from swarm_worker.process.aside import ends_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Consumer

    from swarm_worker.kafka.assignment import Assignment
    from swarm_worker.kafka.group import Group
    from swarm_worker.kafka.topics.topic_watch import TopicWatch

logger = logging.getLogger(__name__)

CLOSE_FAILED_S: Final = 5.0  # for the close of a client that librdkafka has given up
CLOSE_REPLACED_S: Final = 3.0  # of one that has no broker to tell, or has left

_FORGOTTEN: Final = (
    "the Kafka client has forgotten all brokers, as it does when one that starts names "
    "none, and would not look for them again"
)
_OUTDATED: Final = (
    "the Kafka client takes what it is told of a topic that was made anew for older "
    "than what it knows of the former one, and would fetch nothing of it"
)
_UNSHARED: Final = (
    "the group rebalanced while a topic was away, may have left it to nobody, and "
    "would not look again; by leaving, this node has it rebalance"
)
_STAYS_UNSHARED: Final = "nobody may have the topic until the group rebalances"


def end_replaced(
    client: Consumer,
    assignment: Assignment,
    why: Ending,
    *,
    topics: TopicWatch,
    group: Group,
) -> None:
    """End a client so that the next one can take its place."""
    if why is Ending.FAILED:
        _abandon(client, assignment, within_s=CLOSE_FAILED_S)
    elif why is Ending.ASSIGNMENT_OUTDATED:
        _leave_group(client, group)
        _abandon(client, assignment, within_s=CLOSE_REPLACED_S)
    elif why is Ending.BROKERS_FORGOTTEN:
        _log_replaced(group.name, _FORGOTTEN)
        _abandon(client, assignment, within_s=CLOSE_REPLACED_S)
    elif why is Ending.TOPICS_UNSHARED:
        _log_replaced(group.name, _with_names(_UNSHARED, "topics", topics.unshared))
        # In order, as in a revoke; a static member that closes has nobody rebalance.
        assignment.let_go_of_all()
        if (why_not := _leave_group(client, group)) is not None:
            leave_group.tell(group.name, why_not=why_not, consequence=_STAYS_UNSHARED)
        close(client, group, within_s=CLOSE_MAX_S)
    else:
        names = [f"{topic}/{partition}" for topic, partition in topics.outdated]
        _log_replaced(group.name, _with_names(_OUTDATED, "partitions", names))
        assignment.let_go_of_all()
        close(client, group, within_s=CLOSE_MAX_S)


def _leave_group(client: Consumer, group: Group) -> str | None:
    """Leave: as the next client joins, the group goes by that one's topics.

    Return why that was not possible, or None.
    """
    why_not = leave_group.leave(
        client,
        is_member=lambda: True,
        holds=client.assignment,
        within_s=leave_group.LEAVE_MAX_S,
    )
    if why_not is None:
        group.subscribed.accepted()
    return why_not


def _abandon(client: Consumer, assignment: Assignment, *, within_s: float) -> None:
    """Close a client whose session is over: its partitions are others'."""
    assignment.lose_all()
    # Left behind where no broker answers: this thread is to go on.
    ends_within(within_s, client.close, name="swarm-close")


def _log_replaced(group: str, why: str) -> None:
    logger.warning(
        "client_replaced group=%s consequence=%r reason=%r", group, "joining again", why
    )


def _with_names(why: str, what: str, names: Sequence[str]) -> str:
    return f"{why} ({len(names)} {what}: {','.join(names[:LISTED_MAX])})"
