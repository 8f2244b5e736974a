"""Leaving a group for good.

A close alone does not: a static member keeps its partitions until its session ends, so
that a restart gets them back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError

from swarm_worker.kafka.errors import library_logger, text_of
from swarm_worker.process.aside import OFF_THE_POLL_THREAD, begun

LEAVE_MAX_S: Final = 5.0  # a join, in a group that rebalances just then, included
POLL_S: Final = 0.05

# LeaveGroup is sent by a thread of librdkafka's, a moment after unsubscribe().
SENT_WITHIN_S: Final = 0.2

LEAST_S: Final = 0.5

# Errors of a join that no waiting cures, each with what it means here.
_REFUSALS: Final[Mapping[int, str]] = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: (
        "the broker's group.consumer.migration.policy is disabled"
    ),
    KafkaError._FATAL: "its instance id is in use",  # noqa: SLF001 - librdkafka's own code
}
_NOT_LEFT: Final = (
    "its partitions wait until its session ends (session.timeout.ms, with "
    "group.protocol=consumer the group's consumer.session.timeout.ms; 45 s by default)"
)
NOT_JOINED: Final = "it has not joined in this life"
NOT_CLOSED: Final = "its client did not close in time"
_LATE: Final = "the group did not answer in time"

logger = logging.getLogger(__name__)

# Of no use in the classic protocol: librdkafka refuses them there.
_CONSUMER_PROTOCOL_ONLY: Final = ("group.protocol", "group.remote.assignor")


def leave(
    client: Consumer,
    *,
    is_member: Callable[[], bool],
    holds: Callable[[], object],
    within_s: float,
) -> str | None:
    """Leave, in the classic protocol; return why that was not possible, or None.

    Blocks, polling, for `LEAVE_MAX_S` at most. `close` must follow: right after
    `unsubscribe` it would keep the request back (tried on librdkafka 2.16). A client
    that is no member yet has nothing it could leave.
    """

    def go(until_s: float) -> str | None:
        why_not = _poll_until(client, is_member, until_s)
        if why_not is None:
            client.unsubscribe()
            why_not = _poll_until(client, lambda: not holds(), until_s)
            _poll_until(client, lambda: False, time.monotonic() + SENT_WITHIN_S)
        return why_not

    return _bounded(go, within_s)


def leave_as_classic(
    properties: Mapping[str, Any], topics: Sequence[str], *, within_s: float
) -> str | None:
    """Leave for a closed member of the consumer protocol; return why not, or None.

    There librdkafka closes a static member with epoch -2, "back soon", whatever one
    does. A classic member with the same id takes its place, and can leave, unless
    ``group.consumer.migration.policy`` is ``disabled`` (tried on Kafka 4.3 with all
    four). Blocks, for `LEAVE_MAX_S` at most; what is polled is dropped, and nothing is
    committed.
    """
    classic = _classic(properties)
    return _bounded(lambda until_s: _join_and_leave(classic, topics, until_s), within_s)


def tell(group: str, *, why_not: str | None, consequence: str = _NOT_LEFT) -> None:
    """Log how it went."""
    if why_not is None:
        logger.info("group_left group=%s", group)
    else:
        logger.warning(
            "group_not_left group=%s reason=%r consequence=%r",
            group, why_not, consequence,
        )  # fmt: skip


def _bounded(go: Callable[[float], str | None], within_s: float) -> str | None:
    """Return what a call returns, which is told when to end; also if it does not end.

    The commit of a revoke waits for a broker that is frozen, as does a close.
    """
    within_s = max(LEAST_S, min(within_s, LEAVE_MAX_S))
    until_s = time.monotonic() + within_s
    leaving = begun(lambda: go(until_s), name="swarm-leave")
    if not wait([leaving], within_s + LEAST_S).done:
        return _LATE
    try:
        return leaving.result()
    except Exception as error:  # noqa: BLE001 - such as no token for a new client
        return text_of(error)


def _join_and_leave(
    properties: dict[str, Any], topics: Sequence[str], until_s: float
) -> str | None:
    joined, left = threading.Event(), threading.Event()
    client = Consumer(properties, logger=library_logger)
    try:
        client.subscribe(
            list(topics),
            on_assign=lambda *_: joined.set(),
            on_revoke=lambda *_: left.set(),
        )
        why_not = _poll_until(client, joined.is_set, until_s)
        if why_not is None:
            client.unsubscribe()
            why_not = _poll_until(client, left.is_set, until_s)
        return why_not
    finally:
        client.close()


def _classic(properties: Mapping[str, Any]) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in properties.items()
        if name not in _CONSUMER_PROTOCOL_ONLY
        and (name in OFF_THE_POLL_THREAD or not callable(value))
    }
    return {
        **kept,
        "group.protocol": "classic",
        "enable.auto.commit": False,
        "statistics.interval.ms": 0,
    }


def _poll_until(
    client: Consumer, is_so: Callable[[], bool], until_s: float
) -> str | None:
    """Poll until something is so; return why it did not come about, or None."""
    while not is_so():
        if time.monotonic() > until_s:
            return _LATE
        message = client.poll(POLL_S)
        error = message.error() if message else None
        if error is not None and error.code() in _REFUSALS:
            return _REFUSALS[error.code()]
    return None
