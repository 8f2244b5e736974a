"""Leaving a group for good.

A close alone does not: a static member keeps its partitions until its session ends, so
that a restart gets them back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from swarm_worker.troubles import library_logger

LEAVE_MAX_S: Final = 5.0  # a join, in a group that rebalances just then, included
POLL_S: Final = 0.05

# LeaveGroup is sent by a thread of librdkafka's, a moment after unsubscribe().
SENT_WITHIN_S: Final = 0.2

LEAST_S: Final = 0.5

_NOT_LEFT: Final = (
    "its partitions wait until its session ends (session.timeout.ms, with "
    "group.protocol=consumer the group's consumer.session.timeout.ms; 45 s by default)"
)

logger = logging.getLogger(__name__)

# Of no use in the classic protocol: librdkafka refuses them there.
_CONSUMER_PROTOCOL_ONLY: Final = ("group.protocol", "group.remote.assignor")


def leave(
    client: Consumer,
    *,
    is_member: Callable[[], bool],
    holds: Callable[[], object],
    within_s: float,
) -> bool:
    """Leave, in the classic protocol; tell whether it was possible in time.

    Blocks, polling. `close` must follow: right after `unsubscribe` it would keep the
    request back (tried on librdkafka 2.16).

    Args:
        client: The client.
        is_member: Whether it has joined: before that there is nothing it could leave.
        holds: Whether it still has partitions.
        within_s: When to give up; after `LEAVE_MAX_S` at the latest.
    """
    until_s = time.monotonic() + min(within_s, LEAVE_MAX_S)
    if not _polled_until(client, is_member, until_s):
        return False
    client.unsubscribe()
    is_empty = _polled_until(client, lambda: not holds(), until_s)
    _polled_until(client, lambda: False, time.monotonic() + SENT_WITHIN_S)
    return is_empty


def give_up_id(
    properties: Mapping[str, Any], topics: Sequence[str], *, within_s: float
) -> bool:
    """Leave for a closed member of the consumer protocol; tell whether it was possible.

    There librdkafka closes a static member with epoch -2, "back soon", whatever one
    does. A classic member with the same id takes its place, and can leave. Needs
    ``group.consumer.migration.policy`` ``bidirectional`` (the default of Kafka 4) or
    ``downgrade``. Blocks; what is polled is dropped, and nothing is committed.

    Args:
        properties: Of the closed client.
        topics: What it was subscribed to.
        within_s: When to give up; after `LEAVE_MAX_S` at the latest.
    """
    within_s = max(LEAST_S, min(within_s, LEAVE_MAX_S))
    until_s = time.monotonic() + within_s
    outcome: list[bool] = []

    def run() -> None:
        outcome.append(_join_and_leave(_classic(properties), topics, until_s))

    ends_within(within_s + LEAST_S, run, name="swarm-leave")
    return any(outcome)


def tell(group: str, *, left: bool) -> None:
    """Log how it went."""
    if left:
        logger.info("group_left group=%s", group)
    else:
        logger.warning("group_not_left group=%s consequence=%r", group, _NOT_LEFT)


def ends_within(within_s: float, call: Callable[[], None], *, name: str) -> bool:
    """Call on a thread of its own, left behind when it takes longer; tell which."""
    thread = threading.Thread(target=call, name=name, daemon=True)
    thread.start()
    thread.join(within_s)
    return not thread.is_alive()


def _join_and_leave(
    properties: dict[str, Any], topics: Sequence[str], until_s: float
) -> bool:
    joined, left = threading.Event(), threading.Event()

    def on_assign(_: Consumer, partitions: list[TopicPartition]) -> None:
        del partitions
        joined.set()

    def on_revoke(_: Consumer, partitions: list[TopicPartition]) -> None:
        del partitions
        left.set()

    client = Consumer(properties, logger=library_logger)
    try:
        client.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke)
        if not _polled_until(client, joined.is_set, until_s):
            return False
        client.unsubscribe()
        return _polled_until(client, left.is_set, until_s)
    finally:
        client.close()


def _classic(properties: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in properties.items() if k not in _CONSUMER_PROTOCOL_ONLY}
    return {
        **kept,
        "group.protocol": "classic",
        "enable.auto.commit": False,
        "statistics.interval.ms": 0,
    }


def _polled_until(client: Consumer, is_so: Callable[[], bool], until_s: float) -> bool:
    while not is_so():
        if time.monotonic() > until_s:
            return False
        client.poll(POLL_S)
    return True
