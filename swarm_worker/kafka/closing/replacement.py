"""The end of a client that another one replaces, while the node goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from swarm_worker.kafka.client.poll_loop import Ending
from swarm_worker.kafka.closing import leave_group
from swarm_worker.kafka.closing.close import close
from swarm_worker.kafka.closing.stop_policy import CLOSE_MAX_S
from swarm_worker.process.aside import ends_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Consumer

    from swarm_worker.kafka.assignment import Assignment
    from swarm_worker.kafka.subscribed_topics import SubscribedTopics
    from swarm_worker.kafka.topic_watch import TopicWatch
    from swarm_worker.processing.lanes import Lanes

logger = logging.getLogger(__name__)

CLOSE_FAILED_S: Final = 5.0  # for the close of a client that librdkafka has given up
CLOSE_REPLACED_S: Final = 3.0  # of one that has no broker to tell, or has left

LISTED_MAX: Final = 20

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


class Replacement:
    """Ends one client so that the next one can take its place."""

    def __init__(
        self,
        client: Consumer,
        assignment: Assignment,
        *,
        group: str,
        lanes: Lanes,
        subscribed: SubscribedTopics,
    ) -> None:
        """Do nothing yet.

        Args:
            client: The client.
            assignment: What it holds.
            group: Its group.
            lanes: The same as lanes.
            subscribed: Is told that the group goes by the next client's topics.
        """
        self._client = client
        self._assignment = assignment
        self._group = group
        self._lanes = lanes
        self._subscribed = subscribed

    def end(self, why: Ending, topics: TopicWatch) -> None:
        """End the client, in the way that the reason asks for."""
        if why is Ending.FAILED:
            self._abandon(within_s=CLOSE_FAILED_S)
        elif why is Ending.ASSIGNMENT_OUTDATED:
            self._leave_group()
            self._abandon(within_s=CLOSE_REPLACED_S)
        elif why is Ending.BROKERS_FORGOTTEN:
            self._log(_FORGOTTEN)
            self._abandon(within_s=CLOSE_REPLACED_S)
        elif why is Ending.TOPICS_UNSHARED:
            self._log(_with_names(_UNSHARED, "topics", topics.unshared))
            self._renew(leaves=True)
        else:
            names = [f"{topic}/{partition}" for topic, partition in topics.outdated]
            self._log(_with_names(_OUTDATED, "partitions", names))
            self._renew(leaves=False)

    def _log(self, why: str) -> None:
        logger.warning(
            "client_replaced group=%s consequence=%r reason=%r",
            self._group, "joining again", why,
        )  # fmt: skip

    def _renew(self, *, leaves: bool) -> None:
        """Close a client that is a member of its group: in order, as in a revoke.

        Args:
            leaves: Have the group rebalance: a static member that closes does not.
        """
        self._assignment.let_go_of_all()
        if leaves and (why_not := self._leave_group()) is not None:
            leave_group.tell(self._group, why_not=why_not, consequence=_STAYS_UNSHARED)
        close(self._client, self._lanes.table, group=self._group, within_s=CLOSE_MAX_S)

    def _abandon(self, *, within_s: float) -> None:
        """Close a client whose session is over: its partitions are others'."""
        self._assignment.lose_all()
        # Left behind where no broker answers: this thread is to go on.
        ends_within(within_s, self._client.close, name="swarm-close")

    def _leave_group(self) -> str | None:
        """Leave the group: as the next client joins, it goes by that one's topics.

        Return why that was not possible, or None.
        """
        why_not = leave_group.leave(
            self._client,
            is_member=lambda: True,
            holds=self._client.assignment,
            within_s=leave_group.LEAVE_MAX_S,
        )
        if why_not is None:
            self._subscribed.accepted()
        return why_not


def _with_names(why: str, what: str, names: Sequence[str]) -> str:
    return f"{why} ({len(names)} {what}: {','.join(names[:LISTED_MAX])})"
