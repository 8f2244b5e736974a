"""A dead-letter topic: read to where it ended at the start, and how far replays are.

No group is joined: partitions are assigned, and offsets committed, by hand. So nothing
has to wait for the session of a replay that was killed; that two do the same at once is
found out by what stands with each commit.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # lacks __all__
    AdminClient,
    ConfigResource,
    ConsumerGroupListing,
    ResourceType,
)

from swarm_worker.admin.refusals import GROUP, RefusedError, refusal
from swarm_worker.admin.selection import PREFIX, Filter, Progress, filter_of
from swarm_worker.kafka.client.making import make_consumer
from swarm_worker.kafka.client.properties import connection_of
from swarm_worker.kafka.errors import library_logger
from swarm_worker.shared.redaction import without_secrets

ANSWER_S: Final = 15.0
LOOK_EVERY_S: Final = 0.5  # whether to stop
PATIENCE_S: Final = 60.0  # for the next message
COMPLAINTS_MAX: Final = 5
COMPLAINS_WITHIN_S: Final = 0.1

_MISSING: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001 - a code
)

Offsets = Mapping[int, int]

_PASSING: Final = frozenset(  # while the broker of a group changes, or starts
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_END: Final = KafkaError._PARTITION_EOF  # noqa: SLF001 - a code


class DeadLetterTopic:
    """One of them, and the consumer group of one replay of it.

    Attributes:
        kafka: The properties, as a user has written them.
        topic: Its name.
        group: Which keeps the progress of that replay; empty without one.

    Each call blocks for up to `ANSWER_S`.

    Raises:
        RefusedError: From each call: Kafka refuses it, or does not answer.
    """

    def __init__(self, kafka: Mapping[str, Any], topic: str, of: Filter | None) -> None:
        """Connect; ``of`` is the filter of the replay, None for whoever only looks."""
        self.kafka = kafka
        self.topic = topic
        self.group = of.group(topic) if of else ""
        self._own_mark = secrets.token_hex(8)
        self._trouble = ""
        self._consumer = self._made(self.group or PREFIX + topic, error_cb=self._note)

    def close(self) -> None:
        """Close the connections; commits nothing."""
        self._consumer.close()

    # --- what there is ----------------------------------------------------------------

    def partitions_of(self, topic: str, *, to: str = "READ") -> int | None:
        """Return how many partitions a topic has; None where there is none of it.

        ``to`` is what is meant to be done with it, as ACLs name that.
        """
        what = f"look up topic {topic}"
        found = self._asked(
            what, lambda: self._consumer.list_topics(topic, timeout=ANSWER_S)
        ).topics[topic]
        if found.error is None:
            return len(found.partitions)
        if found.error.code() in _MISSING:
            return None
        raise refusal(what, found.error, kafka=self.kafka, topic=topic, to=to)

    def bounds(self) -> tuple[Offsets, Offsets]:
        """Return the first offset of each partition, and that of the next message."""
        count = self.partitions_of(self.topic)
        if count is None:
            raise RefusedError(f"there is no topic {self.topic}")
        bounds = {each: self._bounds_of(each) for each in range(count)}
        lows = {each: low for each, (low, _) in bounds.items()}
        return lows, {each: high for each, (_, high) in bounds.items()}

    def _bounds_of(self, partition: int) -> tuple[int, int]:
        at = TopicPartition(self.topic, partition)
        bounds: tuple[int, int] = self._asked(
            f"read topic {self.topic}",
            lambda: self._consumer.get_watermark_offsets(at, timeout=ANSWER_S),
        )
        return bounds

    def is_compacted(self, topic: str) -> bool:
        """Whether a topic keeps the newest of each key; not where that is not told."""
        with suppress(KafkaException, KeyError, TimeoutError):
            resource = ConfigResource(ResourceType.TOPIC, topic)
            asked = self._admin.describe_configs([resource], request_timeout=ANSWER_S)
            policy = asked[resource].result(ANSWER_S)["cleanup.policy"].value
            return "compact" in str(policy)
        return False

    # --- how far replays are ----------------------------------------------------------

    def own_progress(self) -> Offsets:
        """Return up to where this replay has come; without partitions not begun."""
        return {each: at.offset for each, at in self._committed(self._consumer).items()}

    def others_progress(self, ends: Offsets) -> Progress:
        """Return up to where other replays of this topic have come, as far as told.

        What is behind the end was committed in a topic of that name before this one.
        """
        found: dict[Filter, Offsets] = {}
        for group in self._groups():
            other = filter_of(group, self.topic)
            if other is not None and group != self.group:
                reader = self._made(group)
                try:
                    told = self._committed(reader, group)
                finally:
                    reader.close()
                found[other] = {
                    each: at.offset
                    for each, at in told.items()
                    if at.offset <= ends.get(each, 0)
                }
        return Progress(found)

    def commit(self, offsets: Offsets, *, is_first: bool = False) -> None:
        """Record that a replay has come so far.

        Args:
            offsets: By partition.
            is_first: The replay begins; whoever else is at it finds that out.

        Raises:
            RefusedError: Another one has begun to do the same.
        """
        if not is_first:
            self._check_alone(offsets)
        told = [
            TopicPartition(self.topic, each, offset, self._own_mark)
            for each, offset in offsets.items()
        ]
        if told:
            self._asked(
                f"commit as group {self.group}",
                lambda: _without_error(
                    self._consumer.commit(offsets=told, asynchronous=False)
                ),
            )

    def _check_alone(self, offsets: Offsets) -> None:
        marks = {at.metadata for at in self._committed(self._consumer).values()}
        if offsets and marks - {self._own_mark}:
            raise RefusedError(
                f"another replay with the same filter has begun since: {self.group}"
            )

    def _committed(
        self, consumer: Consumer, group: str = ""
    ) -> dict[int, TopicPartition]:
        count = self.partitions_of(self.topic) or 0
        if not count:
            return {}
        wanted = [TopicPartition(self.topic, each) for each in range(count)]
        answers = self._asked(
            f"read the offsets of group {group or self.group}",
            lambda: _without_error(consumer.committed(wanted, timeout=ANSWER_S)),
            of=consumer,
        )
        return {at.partition: at for at in answers if at.offset >= 0}

    def _groups(self) -> list[str]:
        """Return the groups that we may see; of others Kafka says nothing."""
        return [each.group_id for each in self._asked("list groups", self._listed)]

    def _listed(self) -> list[ConsumerGroupListing]:
        asked = self._admin.list_consumer_groups(request_timeout=ANSWER_S)
        found = asked.result()
        for error in found.errors:
            # As it stands there no `except` would catch it: KafkaError is no Exception.
            raise KafkaException(error)
        groups: list[ConsumerGroupListing] = found.valid
        return groups

    # --- its messages -----------------------------------------------------------------

    def messages(
        self, starts: Offsets, ends: Offsets, is_stopped: Callable[[], bool]
    ) -> Iterator[Message]:
        """Yield the messages between offsets; those of a partition in their order.

        Those of transactions that were aborted are left out, and what stands behind an
        open one.
        """
        wanted = {each for each in starts if starts[each] < ends[each]}
        places = [
            TopicPartition(self.topic, each, starts[each]) for each in sorted(wanted)
        ]
        self._consumer.assign(places)
        self._consumer.resume(places)  # what another reading has come to the end of
        patient_until_s = time.monotonic() + PATIENCE_S
        while wanted and not is_stopped():
            message = self._consumer.poll(LOOK_EVERY_S)
            if message is None:
                self._check_patience(patient_until_s)
                continue
            at = TopicPartition(self.topic, message.partition() or 0)
            if at.partition not in wanted:
                continue
            if self._is_over(message, ends[at.partition]):
                wanted.remove(at.partition)
                self._consumer.pause([at])
            if message.error() is None and _offset(message) < ends[at.partition]:
                yield message
            patient_until_s = time.monotonic() + PATIENCE_S
        self._consumer.unassign()

    def _is_over(self, message: Message, end: int) -> bool:
        """Whether nothing follows that was there at the start.

        Raises:
            RefusedError: It is an error.
        """
        error = message.error()
        if error is None:
            return _offset(message) + 1 >= end
        if error.code() == _END:
            return True
        if error.code() == GROUP and not self.group:
            return False  # it is looked for all the same, and not needed
        raise self._refusal(f"read topic {self.topic}", error)

    def _check_patience(self, until_s: float) -> None:
        if time.monotonic() > until_s:
            raise RefusedError(
                f"Kafka has given nothing of {self.topic} for {PATIENCE_S:g} s "
                f"({self._trouble or 'and says nothing'})"
            )

    # --- clients ----------------------------------------------------------------------

    def _made(self, group: str, **more: object) -> Consumer:
        return make_consumer(
            {
                "client.id": "swarm-dlq",
                **connection_of(self.kafka),
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                **more,
            }
        )

    @cached_property
    def _admin(self) -> AdminClient:
        """An admin client; it asks no coordinator.

        Such a request can abort the process when a broker is frozen (librdkafka
        issue 4605).
        """
        return AdminClient(connection_of(self.kafka), logger=library_logger)

    def _note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - a code
            self._trouble = without_secrets(error.str(), self.kafka)

    def _asked(
        self, what: str, ask: Callable[[], Any], *, of: Consumer | None = None
    ) -> Any:  # noqa: ANN401 - whatever it is asked
        give_up_at_s = time.monotonic() + ANSWER_S
        while True:
            try:
                return ask()
            except KafkaException as error:
                told = self._told(of or self._consumer) or error.args[0]
                if told.code() not in _PASSING or time.monotonic() > give_up_at_s:
                    raise self._refusal(what, told) from None

    def _told(self, consumer: Consumer) -> KafkaError | None:
        """Return what a client complains of: a call that times out does not say why."""
        for _ in range(COMPLAINTS_MAX):
            message = consumer.poll(COMPLAINS_WITHIN_S)
            error = message.error() if message is not None else None
            if error is not None and error.code() != _END:
                return error
        return None

    def _refusal(self, what: str, error: KafkaError) -> RefusedError:
        return refusal(
            what,
            error,
            kafka=self.kafka,
            topic=self.topic,
            group=self.group,
            trouble=self._trouble,
        )


def _without_error(answers: list[TopicPartition]) -> list[TopicPartition]:
    """Return what was answered of each partition.

    Raises:
        KafkaException: It is an error.
    """
    for at in answers:
        if at.error is not None:
            raise KafkaException(at.error)
    return answers


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # noqa: S101 - each that a consumer has got has one
    return offset
