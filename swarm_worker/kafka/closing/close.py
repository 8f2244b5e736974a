"""The last commit of a client, and its close."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from swarm_worker.kafka import offsets
from swarm_worker.kafka.closing.stop_policy import CLOSE_MAX_S
from swarm_worker.process.aside import ends_within

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from swarm_worker.kafka.group import Group
    from swarm_worker.processing.lane import Lane

logger = logging.getLogger(__name__)

FOLLOW_S: Final = 0.1  # a poll between tries of the last commit
FOLLOW_POLLS: Final = 5  # before a close: a rebalance that has come, and some messages

_GAVE_UP: Final = "the broker does not answer; the work of the last second repeats"


def close(client: Consumer, group: Group, *, within_s: float) -> bool:
    """Commit and close; whether that was over in time.

    Without an answer from the broker a close takes minutes. It has a thread of its own,
    which is left behind then.
    """
    held = group.lanes.table.all()
    is_closed = ends_within(
        within_s, lambda: _commit_and_close(client, group, held), name="swarm-close"
    )
    if is_closed:
        logger.info("consumer_closed group=%s", group.name)
    else:
        logger.warning("close_gave_up group=%s consequence=%r", group.name, _GAVE_UP)
    return is_closed


def _commit_and_close(client: Consumer, group: Group, held: list[Lane]) -> None:
    def follow() -> list[Lane]:
        client.poll(FOLLOW_S)  # dropped: nothing of it was stored
        return group.lanes.table.all()

    # Not left to the revoke that a close begins with: a client that closes does not
    # follow a rebalance to its end, and where the callback of one comes in a close,
    # librdkafka may never answer it; Python is locked then.
    offsets.commit(
        client, held, group=group.name, wait=True,
        retry_for_s=CLOSE_MAX_S / 2, follow=follow,
    )  # fmt: skip
    for _ in range(FOLLOW_POLLS):
        client.poll(0)
    client.close()
