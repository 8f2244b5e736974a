"""One Kafka group of a node: its client, its poll thread, its assignment, its offsets.

The poll thread runs no handler. It polls, hands messages over, and does all that talks
to the client, storing offsets too: since confluent-kafka 2.16 a client lets one thread
in at a time, and a call from another waits until the poll is over. So whether a
partition is ours cannot change between that question and the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from swarm_worker import exits, statistics
from swarm_worker.config import consumer_properties
from swarm_worker.dead_letters import DeadLetters
from swarm_worker.lanes import KEEP_ALIVE_S, Lane
from swarm_worker.processing import HandlerPool, Processing
from swarm_worker.troubles import (
    FatalError,
    Kind,
    LibraryLog,
    Troubles,
    kind_of,
    no_offset,
)

if TYPE_CHECKING:
    from swarm_worker.config import WorkerSettings
    from swarm_worker.progress import Progress
    from swarm_worker.routing import GroupPlan

logger = logging.getLogger(__name__)
library_logger = logging.getLogger("swarm_worker.librdkafka")
library_logger.addFilter(LibraryLog())

# The longest a poll may block: stop, quiet and back-offs are looked at in between. Ten
# wake-ups a second cost nothing that can be measured.
POLL_MAX_S: Final = 0.1
STORED_LATER_MS: Final = 200
LETTER_POLL_S: Final = 0.01  # while a dead letter's acknowledgement is awaited

# Most messages and bytes of one drain. One hand-over to a handler thread costs some
# microseconds: the more messages it carries, the better.
DRAIN_MESSAGES: Final = 4_000
DRAIN_BYTES: Final = 8 * 2**20

MARKS_EVERY_S: Final = 1.0  # as often as offsets are committed

# A revoke waits for batches in flight, but must be over before the group gives up on
# this member, which it does after max.poll.interval.ms.
REVOKE_SHARE: Final = 0.8

# The broker keeps the id of a killed member until its session ends, 45 s by default.
HELD_ID_RETRY_S: Final = 1.0
HELD_ID_LONG_S: Final = 120.0
HELD_ID_SETTLED_S: Final = 5.0  # a refusal comes at once, with the first heartbeat

METADATA_S: Final = 1.0  # the longest a question for metadata may block the thread

TOPICS_EVERY_S: Final = 5.0  # between such questions while a topic is missing

# A coroutine that is cancelled still needs a moment, and the commit another.
CANCEL_BEFORE_S: Final = 1.0
CLOSE_BEFORE_S: Final = 0.5
CLOSE_MAX_S: Final = 10.0
DRAIN_POLL_S: Final = 0.05

TOPICS_LISTED_MAX: Final = 20

GroupKey = tuple[str, int]


class End(Enum):
    """Why the life of a client ended."""

    STOPPED = auto()
    HELD_ID = auto()
    FAILED = auto()


class GroupConsumer:
    """The consumer of one Kafka group, on a thread of its own.

    Attributes:
        polls: How often it has polled.
        refusals: How often it was told that its instance id is still held.
    """

    def __init__(
        self,
        plan: GroupPlan,
        *,
        settings: WorkerSettings,
        progress: Progress,
        pool: HandlerPool,
        on_fatal: Callable[[FatalError], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is joined before `start`.

        Args:
            plan: What to consume.
            settings: The node's.
            progress: Is told how it goes.
            pool: Runs the handlers.
            on_fatal: Called from the poll thread when the node cannot go on.
            clock: Seconds, as the one that reads ``progress`` has them.
        """
        self._plan = plan
        self._settings = settings
        self._mine = progress.add_consumer()
        self._progress = progress
        self._pool = pool
        self._on_fatal = on_fatal
        self._clock = clock
        self._routes = {topic: route for route in plan.routes for topic in route.topics}
        self._processing = Processing(
            node=settings.node,
            max_messages=settings.max_messages,
            pool=pool,
            progress=progress,
            before_store=plan.before_store,
            clock=clock,
        )
        self._lanes = self._processing.lanes
        self._troubles = Troubles(plan.group, logger)
        self._properties = self._configure()
        self._letters = DeadLetters(self._properties, self._lettered)
        is_modern = self._properties.get("group.protocol") == "consumer"
        self._steadiness = statistics.Steadiness(is_consumer_protocol=is_modern)
        self._stalls = statistics.Stalls()
        isolation = self._properties.get("isolation.level")
        self._reads_uncommitted = isolation == "read_uncommitted"
        self._looks_for_topics = is_modern and bool(plan.topics)
        self._mine.awaits_id = is_modern and "group.instance.id" in self._properties
        self._held_since_s: float | None = None
        self.refusals = 0
        self.polls = 0
        self._stopping = threading.Event()
        self._resumed = False
        self._failure: KafkaError | None = None
        self._marks_at_s = self._topics_at_s = clock()
        self._drain = DRAIN_MESSAGES
        self._thread = threading.Thread(
            target=self._run, name=f"swarm-poll-{plan.group}", daemon=True
        )

    # --- for the node -----------------------------------------------------------------

    def start(self) -> None:
        """Start the poll thread; does not wait until the group is joined."""
        self._thread.start()

    def quiet(self) -> None:
        """Begin no new batch; those in flight go on, membership stays. At once."""
        self._lanes.is_held = True

    def resume(self) -> None:
        """Undo `quiet`; does nothing while stopping."""
        if not self._stopping.is_set():
            self._lanes.is_held = False
            self._resumed = True

    def stop(self) -> None:
        """Begin no new batch, let those in flight end, commit, close. At once.

        Coroutine handlers that have not ended shortly before ``shutdown_timeout`` are
        cancelled. `join` waits for the end.
        """
        self._lanes.is_held = True
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread; tell whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Tell whether the poll thread runs."""
        return self._thread.is_alive()

    # --- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        while self._live() is End.HELD_ID:
            if self._stopping.wait(HELD_ID_RETRY_S):
                return
        # A consumer that failed is no dead thread: the node is told why, and stops it.
        self._stopping.wait()

    def _configure(self) -> dict[str, Any]:
        properties = consumer_properties(self._settings, self._plan.group)
        for hook in self._plan.configure_consumer:
            properties |= hook()
        interval_ms = int(properties["auto.commit.interval.ms"])
        return {
            **properties,
            # An offset is stored up to a poll after its handler returned.
            "auto.commit.interval.ms": max(1, interval_ms - STORED_LATER_MS),
            "error_cb": self._on_error,
            "stats_cb": self._on_statistics,
        }

    def _live(self) -> End:
        """Live the life of one client."""
        self._failure = None
        self._detail = ""
        self._born_at_s = self._clock()
        try:
            client = Consumer(self._properties, logger=library_logger)
        except (KafkaException, TypeError, ValueError) as error:
            self._give_up(f"[kafka] {_text(error)}", exit_code=exits.CONFIG)
            return End.FAILED
        self._client = client
        try:
            if self._join():
                while not (self._has_failed() or self._stopping.is_set()):
                    self._turn(client)
        except KafkaException as error:
            self._on_error(error.args[0])
            if not self._has_failed():
                raise
        return self._end(client)

    def _has_failed(self) -> bool:
        return self._failure is not None

    def _end(self, client: Consumer) -> End:
        if self._failure is not None:
            return self._fail(client, self._failure)
        if self._stopping.is_set():
            self._finish(client)
            return End.STOPPED
        client.close()
        return End.FAILED

    def _turn(self, client: Consumer) -> None:
        """Poll once, hand over what is there."""
        self._tend(client)
        if not self._lanes.wait_for_room(within_s=KEEP_ALIVE_S):
            self._pause(self._lanes.to_pause(now_s=self._clock(), make_room=True))
        message = client.poll(self._patience_s())
        self.polls += 1
        self._mine.polled_at_s = self._clock()
        if message is not None:
            # No waiting for a fuller batch.
            self._hand_over([message, *client.consume(self._drain, 0)])

    def _patience_s(self) -> float:
        if self._letters.outstanding:
            return LETTER_POLL_S
        return min(POLL_MAX_S, self._settings.max_wait_s)

    def _hand_over(self, messages: list[Message]) -> None:
        if any(map(Message.error, messages)):
            for message in messages:
                if (error := message.error()) is not None:
                    self._on_message_error(message, error)
            messages = [message for message in messages if message.error() is None]
            if not messages:
                return
        for (topic, partition), run in self._by_partition(messages):
            # None: revoked in a callback of the very call that gave the messages.
            if (lane := self._lanes.get(topic, partition)) is not None:
                self._lanes.add(lane, run)
        size_bytes = max(1, len(messages[-1]))
        self._drain = max(1, min(DRAIN_MESSAGES, DRAIN_BYTES // size_bytes))

    def _by_partition(
        self, messages: list[Message]
    ) -> Iterable[tuple[GroupKey, list[Message]]]:
        """Group a drain; 30 ns a message, or 60 where there are several topics."""
        by_partition: dict[GroupKey, list[Message]] = {}
        by_topic: Iterable[tuple[str | None, Iterable[Message]]]
        if len(self._routes) == 1:
            by_topic = [(messages[0].topic(), messages)]
        else:
            by_topic = groupby(messages, Message.topic)
        for topic, of_topic in by_topic:
            for partition, run in groupby(of_topic, Message.partition):
                key = topic or "", partition if partition is not None else -1
                by_partition.setdefault(key, []).extend(run)
        return by_partition.items()

    def _tend(self, client: Consumer) -> None:
        """Do what has come due since the last poll."""
        now_s = self._clock()
        lanes = self._lanes
        if self._resumed:
            self._resumed = False
            lanes.offer_all()
        for lane in lanes.due(now_s=now_s):
            self._letters.send(lane)
        if self._letters.outstanding:
            self._letters.serve()
        if pausing := lanes.to_pause(now_s=now_s):
            self._pause(pausing)
        if resuming := lanes.to_resume():
            client.resume(_partitions(resuming))
            lanes.resumed(resuming)
        if (
            self._processing.may_store_marks
            and now_s - self._marks_at_s > MARKS_EVERY_S
        ):
            self._marks_at_s = now_s
            lanes.count_marks()
        self._store()
        if self._looks_for_topics and self._mine.brokers_up:
            self._look_for_topics()

    def _pause(self, lanes: Sequence[Lane]) -> None:
        if lanes:
            self._client.pause(_partitions(lanes))
            self._lanes.paused(lanes)

    # --- offsets ----------------------------------------------------------------------

    def _store(self) -> None:
        """Store the offsets of what was done; librdkafka commits them in time."""
        if not (lanes := self._lanes.unstored()):
            return
        try:
            self._client.store_offsets(offsets=[_offset_of(x) for x in lanes])
        except KafkaException as error:
            # The assignment is being taken away, and its callback has not come yet.
            logger.info(
                "offsets_not_stored group=%s partitions=%s reason=%r",
                self._plan.group, ",".join(lane.name for lane in lanes), _text(error),
            )  # fmt: skip

    def _commit(self, lanes: Iterable[Lane], *, wait: bool) -> None:
        """Commit what is done, whatever was committed before.

        librdkafka's own commits never go back. A topic that was created again, or an
        offset that was reset, begins below the committed offset: left at that, a
        restart would skip what arrives meanwhile. (`_store` first: what is stored is
        committed by a close, and would undo this.)

        Args:
            lanes: Whose offsets.
            wait: Block until the coordinator has answered.
        """
        offsets = [_offset_of(lane) for lane in lanes if lane.next_offset >= 0]
        if not offsets:
            return
        try:
            if wait:
                self._client.commit(offsets=offsets, asynchronous=False)
            else:
                self._client.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            logger.warning(
                "commit_failed group=%s reason=%r", self._plan.group, _text(error)
            )

    # --- assignment -------------------------------------------------------------------

    def _join(self) -> bool:
        """Subscribe, or assign directly; tell whether there is something to poll."""
        if self._plan.topics:
            self._client.subscribe(
                list(self._plan.topics),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            return True
        wanted = [TopicPartition(t, p) for t, p in self._plan.assignments]
        if not self._await_partitions():
            return False
        self._on_assign(self._client, wanted)
        self._client.assign(wanted)
        return True

    def _await_partitions(self) -> bool:
        """Wait until all topics assigned directly exist; tell whether they do."""
        missing = {topic for topic, _ in self._plan.assignments}
        while missing and self._failure is None and not self._stopping.is_set():
            self._client.poll(0)
            self._mine.polled_at_s = self._clock()
            for topic in sorted(missing):
                count = self._partition_count(topic)
                if count and not self._is_beyond(topic, count):
                    missing.discard(topic)
            if missing:
                self._stopping.wait(POLL_MAX_S)
        return not missing and self._failure is None

    def _is_beyond(self, topic: str, count: int) -> bool:
        beyond = [p for t, p in self._plan.assignments if t == topic and p >= count]
        if beyond:
            route = self._routes[topic]
            self._give_up(
                f"handler {route.name}: partitions= claims partition {max(beyond)} of "
                f"topic {topic}, which has {count} (0 to {count - 1}); "
                "name others, or add partitions to the topic",
                exit_code=exits.CONFIG,
            )
        return bool(beyond)

    def _partition_count(self, topic: str) -> int:
        """Ask for a topic; 0 when it does not exist or nobody answers."""
        try:
            told = self._client.list_topics(topic, timeout=METADATA_S).topics[topic]
        except KafkaException:
            return 0  # brokers_down is told by the error callback
        if told.error is not None:
            self._troubles.begin(
                Kind.TOPIC,
                f"{topic}: {told.error.str()}; waiting for it",
                subject=topic,
            )
            return 0
        self._topic_is_there(topic)
        return len(told.partitions)

    def _look_for_topics(self) -> None:
        """In the consumer protocol nobody tells that a topic does not exist."""
        now_s = self._clock()
        if now_s < self._topics_at_s:
            return
        self._topics_at_s = now_s + TOPICS_EVERY_S
        counts = [self._partition_count(topic) for topic in self._plan.topics]
        self._looks_for_topics = not all(counts)

    def _topic_is_there(self, *topics: str) -> None:
        self._troubles.end(Kind.TOPIC, having=topics.__contains__)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        now_s = self._clock()
        for at in partitions:
            self._lanes.open(
                at.topic, at.partition, self._routes[at.topic], now_s=now_s
            )
        self._topic_is_there(*{at.topic for at in partitions})
        self._troubles.end(Kind.GROUP, Kind.OTHER)
        if partitions:
            self._accepted()
        self._tell_assignment("assigned", partitions)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        keys = [(at.topic, at.partition) for at in partitions]
        late = self._retire(keys)
        if late:
            logger.warning(
                "revoked_in_flight group=%s partitions=%s consequence=%r",
                self._plan.group, ",".join(lane.name for lane in late),
                "their batches outlived the wait; the next owner repeats them",
            )  # fmt: skip
        lanes = [lane for key in keys if (lane := self._lanes.get(*key)) is not None]
        self._store()
        self._leave(keys)
        self._commit(lanes, wait=True)
        self._tell_assignment("revoked", partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._leave([(at.topic, at.partition) for at in partitions])
        self._tell_assignment("lost", partitions)

    def _retire(self, keys: Sequence[GroupKey]) -> list[Lane]:
        """Wait for what is under way of partitions; give what was not over in time."""
        interval_s = self._settings.max_poll_interval_ms / 1000
        give_up_at_s = time.monotonic() + min(
            self._settings.shutdown_timeout_s, REVOKE_SHARE * interval_s
        )
        while True:
            left_s = give_up_at_s - time.monotonic()
            slice_s = POLL_MAX_S if self._letters.outstanding else left_s
            late = self._lanes.retire(keys, within_s=max(0.0, min(slice_s, left_s)))
            if not late or left_s <= 0:
                return late
            self._letters.serve()

    def _leave(self, keys: Sequence[GroupKey]) -> None:
        """Let partitions go. librdkafka keeps a pause over assignments: undo ours."""
        lanes = [lane for key in keys if (lane := self._lanes.get(*key)) is not None]
        if paused := [lane for lane in lanes if lane.paused]:
            self._client.resume(_partitions(paused))
        self._lanes.close(keys)
        names = {lane.name for lane in lanes}
        self._troubles.end(Kind.OFFSET, having=names.__contains__)
        self._mine.blocked = self._troubles.subjects(Kind.OFFSET)

    def _tell_assignment(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self._mine.assigned = len(self._lanes.all())
        names = [f"{at.topic}/{at.partition}" for at in partitions]
        more = len(names) - TOPICS_LISTED_MAX
        logger.info(
            "partitions_%s group=%s count=%s held=%s partitions=%s%s",
            what, self._plan.group, len(names), self._mine.assigned,
            ",".join(names[:TOPICS_LISTED_MAX]), f",+{more}" if more > 0 else "",
        )  # fmt: skip

    # --- the instance id --------------------------------------------------------------

    def _accepted(self) -> None:
        self._mine.awaits_id = False
        if self._held_since_s is not None:
            logger.info(
                "instance_id_free group=%s waited_s=%.1f",
                self._plan.group, self._clock() - self._held_since_s,
            )  # fmt: skip
            self._held_since_s = None
            self._troubles.end(Kind.HELD_ID)

    def _refused(self) -> None:
        now_s = self._clock()
        self.refusals += 1
        self._mine.awaits_id = True
        if self._held_since_s is None:
            self._held_since_s = now_s
        name = consumer_properties(self._settings, self._plan.group)[
            "group.instance.id"
        ]
        text = (
            f"instance id {name} belongs to a session that still runs; waiting for its "
            "end (45 s after a kill by default)"
        )
        level = logging.WARNING
        if now_s - self._held_since_s > HELD_ID_LONG_S:
            level = logging.ERROR
            text = (
                f"instance id {name} is held for over {HELD_ID_LONG_S:.0f} s: another "
                "live process has it; look for a second swarm with the same [worker] "
                "instance_prefix"
            )
        self._troubles.begin(Kind.HELD_ID, text, level=level)

    # --- errors -----------------------------------------------------------------------

    def _on_error(self, error: KafkaError) -> None:
        """Take note of an error; called from poll too."""
        kind = kind_of(error)
        level = logging.WARNING
        if kind in (Kind.FATAL, Kind.HELD_ID):
            self._failure = error
            return
        if kind is Kind.NOTHING:
            self._detail = error.str()
            return
        if kind in (Kind.CREDENTIALS, Kind.GROUP):
            level = logging.ERROR
        subject = error.name() if kind is Kind.OTHER else ""
        self._troubles.begin(kind, _advice(kind, error), subject=subject, level=level)

    def _on_message_error(self, message: Message, error: KafkaError) -> None:
        """Take note of an error that came in a message's place."""
        topic, partition = message.topic() or "", message.partition()
        kind = kind_of(error)
        if kind is Kind.OFFSET and partition is not None:
            offset = message.offset()
            text = no_offset(
                error,
                topic=topic,
                partition=partition,
                offset=-1 if offset is None else offset,
            )
            name = f"{topic}/{partition}"
            self._troubles.begin(kind, text, subject=name, level=logging.ERROR)
            self._mine.blocked = self._troubles.subjects(Kind.OFFSET)
        elif kind is Kind.TOPIC:
            text = f"{topic}: {error.str()}; waiting for it"
            self._troubles.begin(kind, text, subject=topic)
        else:
            self._on_error(error)

    def _lettered(self, lane: Lane, error: KafkaError | None) -> None:
        letter, now_s = lane.letter, self._clock()
        if letter is None:
            return
        at = f"{lane.name}@{letter.message.offset()}"
        if error is None:
            self._lanes.acknowledged(lane, now_s=now_s)
            self._progress.dead_lettered()
            logger.warning(
                "dead_lettered at=%s topic=%s attempts=%s error=%r",
                at, lane.route.dead_letter, letter.attempts, letter.error,
            )  # fmt: skip
            return
        is_news = not lane.refusals
        retry_in_s = self._lanes.refused(lane, now_s=now_s)
        if is_news:
            logger.error(
                "dead_letter_refused at=%s topic=%s retry_in_s=%s reason=%r",
                at, lane.route.dead_letter, retry_in_s, error.str(),
            )  # fmt: skip

    # --- statistics -------------------------------------------------------------------

    def _on_statistics(self, text: str) -> None:
        now_s = self._clock()
        figures = statistics.read(text, reads_uncommitted=self._reads_uncommitted)
        if figures.brokers_up:
            self._troubles.end(Kind.BROKERS, Kind.CREDENTIALS)
            if now_s - self._born_at_s > HELD_ID_SETTLED_S and self._failure is None:
                self._accepted()
        mine, idle = self._mine, self._lanes.idle()
        mine.brokers_up = figures.brokers_up
        lanes = self._lanes.all()
        self._commit(_behind_commit(lanes, figures), wait=False)
        done = {(x.topic, x.partition): x.next_offset for x in lanes}
        mine.lag = statistics.lag(figures, done, idle=idle)
        blocked = set(mine.blocked)
        movable = [key for key in idle if f"{key[0]}/{key[1]}" not in blocked]
        mine.stalled_since_s = self._stalls.update(figures, movable, now_s=now_s)
        mine.unsteady_since_s = self._steadiness.update(
            figures,
            lacks_topic=self._troubles.has(Kind.TOPIC),
            is_refused=not self._plan.topics
            or self._troubles.has(Kind.GROUP, Kind.CREDENTIALS, Kind.HELD_ID),
            now_s=now_s,
        )

    # --- the end ----------------------------------------------------------------------

    def _finish(self, client: Consumer) -> None:
        """Let batches in flight end, commit, close."""
        timeout_s = self._settings.shutdown_timeout_s
        began_s = time.monotonic()
        cancel_at_s = began_s + max(timeout_s / 2, timeout_s - CANCEL_BEFORE_S)
        give_up_at_s = began_s + max(timeout_s / 2, timeout_s - CLOSE_BEFORE_S)
        while not self._lanes.wait_idle(within_s=DRAIN_POLL_S):
            self._tend(client)  # pauses all: handing out is held
            client.poll(0)  # dropped: nothing of it was stored
            self._mine.polled_at_s = self._clock()
            if time.monotonic() > cancel_at_s:
                self._pool.cancel()
        self._close(client, within_s=give_up_at_s - time.monotonic())

    def _close(self, client: Consumer, *, within_s: float) -> None:
        """Commit and close; blocks for at most ``within_s`` or `CLOSE_MAX_S`.

        Without an answer from the broker a close takes minutes. It has a thread of
        its own, which is left behind then.
        """
        self._store()
        lanes = self._lanes.all()

        def close() -> None:
            if not self._plan.topics:  # nobody is going to revoke them
                self._commit(lanes, wait=True)
            client.close()

        closing = threading.Thread(target=close, name="swarm-close", daemon=True)
        closing.start()
        closing.join(max(0.5, min(within_s, CLOSE_MAX_S)))
        if closing.is_alive():
            logger.warning(
                "close_gave_up group=%s consequence=%r",
                self._plan.group,
                "the broker does not answer; what was done in the last second repeats",
            )
        else:
            logger.info("consumer_closed group=%s", self._plan.group)

    def _fail(self, client: Consumer, failure: KafkaError) -> End:
        """End a client that librdkafka has given up: its partitions are others'."""
        self._leave([(lane.topic, lane.partition) for lane in self._lanes.all()])
        self._mine.assigned = 0
        client.close()
        if kind_of(failure) is Kind.HELD_ID:
            self._refused()
            return End.HELD_ID
        self._give_up(f"group {self._plan.group}: {failure.str()}")
        return End.FAILED

    def _give_up(self, reason: str, *, exit_code: int = exits.FATAL) -> None:
        self._on_fatal(FatalError(reason, exit_code=exit_code))


def _behind_commit(
    lanes: Iterable[Lane], figures: statistics.Figures
) -> Iterable[Lane]:
    """Give the lanes that are at work below their committed offset."""
    for lane in lanes:
        partition = figures.partitions.get((lane.topic, lane.partition))
        committed = partition.committed_offset if partition else None
        if committed is not None and 0 <= lane.next_offset < committed:
            yield lane


def _partitions(lanes: Iterable[Lane]) -> list[TopicPartition]:
    return [TopicPartition(lane.topic, lane.partition) for lane in lanes]


def _offset_of(lane: Lane) -> TopicPartition:
    """Give where a lane's next owner begins."""
    return TopicPartition(
        lane.topic, lane.partition, lane.next_offset, leader_epoch=lane.leader_epoch
    )


def _text(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(error)


def _advice(kind: Kind, error: KafkaError) -> str:
    """Say what an operator can do, where there is something."""
    advice = {
        Kind.BROKERS: "; going on trying, see [kafka] bootstrap.servers",
        Kind.CREDENTIALS: "; going on trying, see [kafka] sasl.* and ssl.*",
        Kind.GROUP: "; going on trying, the group's ACL must allow READ",
    }.get(kind, "")
    return error.str() + advice
