"""What goes wrong with Kafka: logged once as it begins, and once as it is over.

librdkafka reports every attempt, ten times a second; a log wants the changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Final

from confluent_kafka import KafkaError

from swarm_worker.process import exit_codes as exits

_NO_OFFSET_REMEDY: Final = (
    "nothing of this partition is read until an offset is set: set [kafka] "
    "auto.offset.reset to earliest or latest and restart the node, or stop the group's "
    "nodes and use kafka-consumer-groups.sh --reset-offsets"
)


class FatalError(Exception):
    """The node cannot go on; ``exit_code`` tells how it ends."""

    def __init__(self, reason: str, *, exit_code: int = exits.FATAL) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class Kind(Enum):
    """What an error is about, for those that are handled each in its own way."""

    CLIENT = "client"  # it cannot be made for now
    NOTHING = "nothing"  # told of elsewhere, or no error at all
    CONNECTION = "connection"  # that of one broker; told when the last is gone
    BROKERS = "brokers"  # none can be reached
    CREDENTIALS = "credentials"
    TOKEN = "token"  # noqa: S105 - no secret; the app's own callback gives none
    TOPIC = "topic"
    GROUP = "group"
    JOIN = "join"  # the group refuses it
    OFFSET = "offset"  # there is none to begin with
    FETCH = "fetch"  # partitions are asked for, and nothing is told of them
    TOPIC_IDS = "topic_ids"  # nobody tells them, or they cannot be kept
    QUOTA = "quota"  # brokers hold answers back
    TRANSACTION = "transaction"  # one hangs, and what was written since is not read
    COMMITS = "commits"  # none is taken, so handlers wait
    STATISTICS = "statistics"  # they cannot be read
    HELD_ID = "held_id"  # our instance id belongs to a session that still runs
    FATAL = "fatal"
    OTHER = "other"


_KINDS: Final = {
    KafkaError._PARTITION_EOF: Kind.NOTHING,  # noqa: SLF001 - librdkafka's own codes
    # When the last is gone, _ALL_BROKERS_DOWN follows.
    KafkaError._TRANSPORT: Kind.CONNECTION,  # noqa: SLF001
    KafkaError._RESOLVE: Kind.CONNECTION,  # noqa: SLF001
    KafkaError._TIMED_OUT: Kind.CONNECTION,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN: Kind.BROKERS,  # noqa: SLF001
    KafkaError._AUTHENTICATION: Kind.CREDENTIALS,  # noqa: SLF001
    KafkaError._SSL: Kind.CREDENTIALS,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED: Kind.CREDENTIALS,
    KafkaError._UNKNOWN_TOPIC: Kind.TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION: Kind.TOPIC,  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART: Kind.TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: Kind.TOPIC,
    KafkaError.GROUP_AUTHORIZATION_FAILED: Kind.GROUP,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: Kind.JOIN,
    KafkaError.INVALID_SESSION_TIMEOUT: Kind.JOIN,
    KafkaError.GROUP_MAX_SIZE_REACHED: Kind.JOIN,
    KafkaError._AUTO_OFFSET_RESET: Kind.OFFSET,  # noqa: SLF001
    KafkaError._FATAL: Kind.FATAL,  # noqa: SLF001
}

_JOIN_REMEDIES: Final = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "all members of a group need a "
    "partition.assignment.strategy in common",
    KafkaError.INVALID_SESSION_TIMEOUT: "[kafka] session.timeout.ms is in ms, and must "
    "lie within the broker's group.min. and group.max.session.timeout.ms",
    KafkaError.GROUP_MAX_SIZE_REACHED: "see the broker's group.max.size",
}


def kind_of(error: KafkaError) -> Kind:
    """Return what an error is about.

    librdkafka delivers a fatal error as ``_FATAL`` with the real one in its text only.
    """
    kind = _KINDS.get(error.code(), Kind.OTHER)
    if kind is Kind.FATAL or error.fatal():
        held = KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str()
        is_held = (
            error.code() == KafkaError.UNRELEASED_INSTANCE_ID or held in error.str()
        )
        return Kind.HELD_ID if is_held else Kind.FATAL
    return kind


def subject_of(error: KafkaError) -> str:
    """Return what an error that names no topic is about; empty if only its kind counts.

    That a partition is no longer there comes without its topic, but for the text.
    """
    if error.code() == KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001 - a code
        return error.str().partition(" [")[0]
    return error.name() if kind_of(error) is Kind.OTHER else ""


def no_offset(
    error: KafkaError, *, topic: str, partition: int, offset: int | None
) -> str:
    """Describe a partition that has no offset to begin with, and what to do."""
    never = KafkaError(KafkaError._NO_OFFSET).str() in error.str()  # noqa: SLF001 - a code
    what = (
        "the group has no committed offset"
        if never
        else f"offset {offset} is not on the broker (any more)"
    )
    return (
        f"{topic}/{partition}: {what}, and auto.offset.reset is error; "
        f"{_NO_OFFSET_REMEDY} ({error.str()})"
    )


def advice(kind: Kind, error: KafkaError, *, connection: str = "") -> str:
    """Return an error's text and what an operator can do, where there is something.

    ``connection`` is why the last one failed, with its broker.
    """
    lost = f" ({connection})" if connection else ""
    hint = {
        Kind.BROKERS: f"{lost}; going on trying, see [kafka] bootstrap.servers and "
        "security.protocol",
        Kind.CREDENTIALS: "; going on trying, see [kafka] sasl.* and ssl.*",
        Kind.GROUP: "; going on trying, the group's ACL must allow READ",
        Kind.JOIN: f"; going on trying, {_JOIN_REMEDIES.get(error.code(), '')}",
    }.get(kind, "")
    return error.str() + hint


def breaks_connection(error: KafkaError) -> bool:
    """Whether a response could not be taken, such as one that is too large."""
    is_bad: bool = error.code() == KafkaError._BAD_MSG  # noqa: SLF001 - a code
    return is_bad


def is_fenced(error: KafkaError) -> bool:
    """Whether a fatal error says that another has our instance id."""
    return KafkaError(KafkaError.FENCED_INSTANCE_ID).str() in error.str()


def fatal_reason(error: KafkaError, *, instance_id: str | None) -> str:
    """Return why a client is of no use any more, and what to do if that is known."""
    if not is_fenced(error) or instance_id is None:
        return error.str()
    return (
        f"fenced: another process has joined with instance id {instance_id} and has "
        "taken over; look for a second swarm with the same [worker] instance_prefix, "
        f"or a node that was started twice ({error.str()})"
    )


def text_of(error: Exception) -> str:
    """Return what an exception of the client says, without its wrapping."""
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(error)


class Troubles:
    """The troubles of one group that are not over; logs their begin and end."""

    def __init__(self, group: str, logger: logging.Logger) -> None:
        self._group = group
        self._logger = logger
        # By kind and subject: level and text.
        self._under_way: dict[tuple[Kind, str], tuple[int, str]] = {}

    def begin(
        self, kind: Kind, text: str, *, subject: str = "", level: int = logging.WARNING
    ) -> None:
        """Record a trouble; logged unless it is known, and no worse than it was.

        Texts of the same trouble differ in times and ports: they do not count.
        """
        known_level, _ = self._under_way.get((kind, subject), (logging.NOTSET, ""))
        if level > known_level:
            self._under_way[kind, subject] = level, text
            self._logger.log(
                level, "kafka_trouble group=%s about=%s detail=%r",
                self._group, kind.value, text,
            )  # fmt: skip

    def end(self, *kinds: Kind, having: Callable[[str], bool] | None = None) -> None:
        """Record that troubles of some kinds are over; logged if they were there.

        Only those whose subject ``having`` accepts, if it is given.
        """
        for kind, subject in list(self._under_way):
            if kind in kinds and (having is None or having(subject)):
                _, text = self._under_way.pop((kind, subject))
                self._logger.info(
                    "kafka_trouble_over group=%s about=%s detail=%r",
                    self._group, kind.value, text,
                )  # fmt: skip

    def has(self, *kinds: Kind) -> bool:
        """Whether there is a trouble of one of some kinds."""
        return any(kind in kinds for kind, _ in self._under_way)

    def text(self, *kinds: Kind) -> str:
        """Return the text of the first of some kinds that there is; empty without."""
        texts = {kind: text for (kind, _), (_, text) in self._under_way.items()}
        return next((texts[kind] for kind in kinds if kind in texts), "")

    def subjects(self, kind: Kind) -> tuple[str, ...]:
        """Return the subjects of a kind of trouble, in the order of their beginning."""
        return tuple(subject for of, subject in self._under_way if of is kind)


# Facilities of librdkafka: each attempt to connect, each request that timed out.
_NOT_LOGGED: Final = ("FAIL", "ERROR", "REQTMOUT", "FATAL", "PARTCNT", "TERMINATE")


def _is_logged(record: logging.LogRecord) -> bool:
    """Whether a line of librdkafka is logged; `Troubles` logs the rest better, once."""
    return not record.getMessage().startswith(_NOT_LOGGED)


# Given to every client, so that librdkafka logs as the node does.
library_logger = logging.getLogger("swarm_worker.librdkafka")
library_logger.addFilter(_is_logged)
