"""One Kafka group of a node: its client and the thread that polls it.

The poll thread runs no handler. It polls, hands messages over, and does all that talks
to the client, storing offsets too: since confluent-kafka 2.16 a client lets one thread
in at a time, and a call from another waits until the poll is over. So whether a
partition is ours cannot change between that question and the store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from swarm_worker.app.token import TokenCallback
from swarm_worker.kafka import offsets
from swarm_worker.kafka.assignment import LISTED_MAX, Assignment
from swarm_worker.kafka.client.poll_batches import (
    DRAIN_MESSAGES,
    by_partition,
    next_drain,
    split,
)
from swarm_worker.kafka.client.properties import (
    commit_early,
    judged,
    properties_for,
    with_callbacks,
)
from swarm_worker.kafka.closing import leave_group
from swarm_worker.kafka.closing.close import close
from swarm_worker.kafka.closing.shutdown import Shutdown
from swarm_worker.kafka.closing.stop_policy import CLOSE_MAX_S
from swarm_worker.kafka.dead_letters import DeadLetterProducer
from swarm_worker.kafka.errors import (
    FatalError,
    Kind,
    fatal_reason,
    is_fenced,
    kind_of,
    library_logger,
)
from swarm_worker.kafka.monitoring.monitor import Watch
from swarm_worker.kafka.topic_asker import TopicAsker
from swarm_worker.kafka.topic_watch import TopicWatch
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.aside import Aside, Making, ends_within
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.processing.deliveries import Deliveries
from swarm_worker.processing.handlers import HandlerPool, Processing
from swarm_worker.processing.lane import KEEP_ALIVE_S, Key, Lane
from swarm_worker.processing.poison import Suspect
from swarm_worker.shared.settings import ConfigError, PassingError

if TYPE_CHECKING:
    from swarm_worker.app.routing import GroupPlan
    from swarm_worker.config.config import WorkerSettings
    from swarm_worker.kafka.topic_memory import TopicMemory
    from swarm_worker.reporting.progress import Progress

logger = logging.getLogger(__name__)

# The longest a poll may block: stop, quiet and back-offs are looked at in between. Ten
# wake-ups a second cost nothing that can be measured.
POLL_MAX_S: Final = 0.1
ANSWER_POLL_S: Final = 0.01  # while a dead letter or a held partition waits for one

MARKS_EVERY_S: Final = 1.0  # what is marked done is told to Kafka with the rest

JOIN_AGAIN_S: Final = 1.0

CLOSE_FAILED_S: Final = 5.0  # for the close of a client that librdkafka has given up
CLOSE_REPLACED_S: Final = 3.0  # of one that has no broker to tell, or has left

_CUT_OFF: Final = (
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


class End(Enum):
    """Why the life of a client ended."""

    STOPPED = auto()
    AGAIN = auto()


class GroupConsumer(OwnThread):
    """The consumer of one Kafka group, on a thread of its own.

    Its start does not wait until the group is joined.
    """

    def __init__(
        self,
        plan: GroupPlan,
        *,
        settings: WorkerSettings,
        progress: Progress,
        pool: HandlerPool,
        on_fatal: Callable[[FatalError], None],
        suspects: Iterable[Suspect] = (),
        memory: TopicMemory | None = None,
        subscribed_before: frozenset[str] | None = None,
        on_subscribed: Callable[[frozenset[str]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is joined before `start`.

        Args:
            plan: What to consume.
            settings: The node's.
            progress: Is told how it goes.
            pool: Runs the handlers.
            on_fatal: Called from the poll thread when the node cannot go on.
            suspects: What was in flight of this group as the last process died.
            memory: What former processes have known of topics.
            subscribed_before: The topics of the slot's last process, if known.
            on_subscribed: Called once the group hands out partitions by the topics.
            clock: Seconds, as the one that reads ``progress`` has them.
        """
        super().__init__(f"swarm-poll-{plan.group}")
        self._plan = plan
        self._settings = settings
        self._pool = pool
        self._on_fatal = on_fatal
        self._clock = clock
        self._has_one_topic = sum(len(route.topics) for route in plan.routes) == 1
        self._properties = properties_for(plan, settings)
        self._token = self._watched_token()
        self._processing = Processing(
            node=settings.node,
            max_messages=settings.max_messages,
            pool=pool,
            progress=progress,
            before_store=plan.before_store,
            commit_within_s=commit_early(self._properties),
            suspects=suspects,
            clock=clock,
        )
        self._lanes = self._processing.lanes
        self._table = self._lanes.table
        self._turns = self._lanes.turns
        self._back_pressure = self._lanes.back_pressure
        self._deliveries = Deliveries(self._lanes, progress=progress, clock=clock)
        self._aside = Aside(plan.group)
        beside = self._properties_beside()
        self._letters = DeadLetterProducer(beside, self._deliveries.on_delivery)
        self.watch = Watch(
            plan.group,
            self._properties,
            progress=progress.add_consumer(plan.group),
            lanes=self._lanes,
            clock=clock,
            token=self._token,
        )
        self._asker = TopicAsker(beside, plan.group, memory)
        self._first_known: dict[str, str] = {}
        self._subscribed_before = subscribed_before
        self._on_subscribed = on_subscribed
        self._stopping = threading.Event()
        self._resumed = False
        self._leaves = False
        self._marks_at_s = clock()
        self._drain = DRAIN_MESSAGES

    # --- for the node -----------------------------------------------------------------

    @property
    def is_isolating(self) -> bool:
        """See `Lanes.is_isolating`."""
        return self._lanes.is_isolating(now_s=self._clock())

    @property
    def suspects(self) -> list[Suspect]:
        """See `Suspects.ahead`."""
        return self._lanes.suspects.ahead(now_s=self._clock())

    def quiet(self) -> None:
        """Begin no new batch; those in flight go on, membership stays. At once."""
        self._table.is_held = True

    def resume(self) -> None:
        """Undo `quiet`; does nothing while stopping."""
        if not self._stopping.is_set():
            self._table.is_held = False
            self._resumed = True

    def stop(self, *, leave: bool = False) -> None:
        """Begin no new batch, let those in flight end, commit, close. At once.

        Coroutine handlers that have not ended shortly before ``shutdown_timeout`` are
        cancelled. `join` waits for the end.

        Args:
            leave: The node does not come back: its partitions go to others now. A
                static member else keeps them until its session ends; in the consumer
                protocol it does so in any case (librdkafka always leaves with epoch
                -2 there; tried).
        """
        self._leaves = leave
        self._table.is_held = True
        self._stopping.set()

    # --- lives of a client ------------------------------------------------------------

    def _run(self) -> None:
        self._asker.start()
        try:
            while self._live() is End.AGAIN:
                if self._stopping.wait(JOIN_AGAIN_S):
                    if self._leaves:
                        leave_group.tell(
                            self._plan.group, why_not=leave_group.NOT_JOINED
                        )
                    return
        except FatalError as error:
            self._on_fatal(error)
        finally:
            self._asker.close()
            self._letters.stop()
        # A consumer that failed is no dead thread: the node was told why, and stops it.
        self._stopping.wait()

    def _live(self) -> End:
        """Live the life of one client.

        Raises:
            FatalError: Another life would end like this one.
        """
        client = self._make(self._client_properties())
        if client is None:
            return End.AGAIN
        self.watch.begin(client, is_subscribed=bool(self._plan.topics))
        topics = self._watch_topics(client)
        assignment = self._assignment(client, topics)
        self._consume(client, assignment, topics)
        return self._end(client, assignment, topics)

    def _consume(
        self, client: Consumer, assignment: Assignment, topics: TopicWatch
    ) -> None:
        """Poll until the client is of no use any more, or the node stops."""
        try:
            if assignment.join(self._stopping):
                self._poll(client, assignment, topics)
        except KafkaException as error:
            self.watch.on_error(error.args[0])
            if self.watch.failure is None:
                raise

    def _client_properties(self) -> dict[str, Any]:
        callbacks: dict[str, Callable[..., None]] = {
            "error_cb": self.watch.on_error,
            "stats_cb": self.watch.on_statistics,
            "on_commit": self.watch.on_commit,
        }
        own = self._aside.keep_off(self._properties)
        if self._token:
            own["oauth_cb"] = self._token
        return with_callbacks(own, callbacks)

    def _watched_token(self) -> TokenCallback | None:
        callback = self._properties.get("oauth_cb")
        return TokenCallback(callback, self._clock) if callable(callback) else None

    def _properties_beside(self) -> dict[str, Any]:
        """Return the properties for the clients beside the consumer."""
        own = {"oauth_cb": self._token.latest} if self._token else {}
        return {**self._properties, **own}

    def _make(self, properties: dict[str, Any]) -> Consumer | None:
        """Make a client; None where that has to be tried again, or the node stops.

        Not on this thread, which a constructor would hold up: it waits for a token.

        Raises:
            FatalError: Its properties cannot work.
        """
        making = Making(
            lambda: judged(
                lambda: Consumer(properties, logger=library_logger), properties
            ),
            name=f"swarm-client-{self._plan.group}",
        )
        while not making.wait(POLL_MAX_S):
            self.watch.lacks_client()
            if self._stopping.is_set():
                return None
        try:
            return making.result()
        except PassingError as error:
            self.watch.lacks_client(str(error))
            return None
        except ConfigError as error:
            raise FatalError(str(error), exit_code=exits.CONFIG) from None

    def _watch_topics(self, client: Consumer) -> TopicWatch:
        assigned = {topic for topic, _ in self._plan.assignments}
        return TopicWatch(
            client,
            group=self._plan.group,
            node=self._settings.node,
            topics=assigned.union(self._plan.topics),
            asker=self._asker,
            first_known=self._first_known,
            lanes=self._lanes,
            watch=self.watch,
            clock=self._clock,
        )

    def _assignment(self, client: Consumer, topics: TopicWatch) -> Assignment:
        return Assignment(
            client,
            self._plan,
            settings=self._settings,
            lanes=self._lanes,
            letters=self._letters,
            watch=self.watch,
            topic_watch=topics,
            clock=self._clock,
            former=self._former,
            on_accepted=self._has_subscribed,
        )

    @property
    def _former(self) -> frozenset[str] | None:
        """The topics of the last process, where Kafka goes by those still."""
        is_static = "group.instance.id" in self._properties and self._plan.topics
        goes_by_those = is_static and not self.watch.is_consumer_protocol
        return self._subscribed_before if goes_by_those else None

    # --- polls ------------------------------------------------------------------------

    def _poll(
        self, client: Consumer, assignment: Assignment, topics: TopicWatch
    ) -> None:
        watch = self.watch
        while not (watch.failure or watch.is_cut_off or self._stopping.is_set()):
            if topics.outdated or topics.unshared or assignment.is_outdated:
                return
            self._tend(client)
            assignment.look_for_topics()
            topics.tend()
            if not self._back_pressure.wait_for_room(within_s=KEEP_ALIVE_S):
                full = self._back_pressure.to_pause(now_s=self._clock(), make_room=True)
                self._pause(client, full)
            message = self._next(client, is_awaited=topics.is_asking)
            self.watch.polled()
            if message is not None:
                # No waiting for a fuller batch. A copy would cost 9 ns a message.
                messages = client.consume(self._drain, 0)
                messages.insert(0, message)
                if self._hand_over(messages):
                    topics.hurry()

    def _next(self, client: Consumer, *, is_awaited: bool) -> Message | None:
        """Poll. A quiet node gets nothing: it waits where a stop can wake it."""
        patience_s = self._patience_s(is_awaited=is_awaited)
        if not self._table.is_held:
            return client.poll(patience_s)
        self._stopping.wait(patience_s)
        return client.poll(0)

    def _patience_s(self, *, is_awaited: bool) -> float:
        if self._letters.outstanding or is_awaited:
            return ANSWER_POLL_S
        return min(POLL_MAX_S, self._settings.max_wait_s)

    def _hand_over(self, messages: list[Message]) -> bool:
        """Give messages to their lanes; whether a topic may have been made anew."""
        ends: Mapping[Key, int] = {}
        is_odd = False
        if any(map(Message.error, messages)):
            is_odd = self._tell_errors(messages)
            messages, ends = split(messages)
        if messages:
            self._add(messages)
            self._drain = next_drain(messages)
        return self._reach_ends(ends) or is_odd

    def _add(self, messages: list[Message]) -> None:
        grouped = by_partition(messages, has_one_topic=self._has_one_topic)
        for key, run in grouped:
            # None: revoked in a callback of the very call that gave the messages.
            if (lane := self._table.get(*key)) is not None:
                self._lanes.add(lane, run)

    def _reach_ends(self, ends: Mapping[Key, int]) -> bool:
        """Tell lanes where their logs end; whether one ends before what came of it."""
        is_odd = False
        for key, offset in ends.items():
            if (lane := self._table.get(*key)) is not None:
                is_odd |= offset < lane.added_offset
                lane.end_offset = offset
        return is_odd

    def _tell_errors(self, messages: Iterable[Message]) -> bool:
        """Tell of errors; whether one is of a topic or an offset that is not there."""
        kinds = set()
        for message in messages:
            if (error := message.error()) is not None:
                self.watch.on_message_error(message, error)
                kinds.add(kind_of(error))
        return not kinds.isdisjoint({Kind.TOPIC, Kind.OFFSET})

    def _tend(self, client: Consumer) -> None:
        """Do what has come due since the last poll."""
        now_s = self._clock()
        self._resume_turns()
        self._serve_letters(now_s)
        self._pause(client, self._back_pressure.to_pause(now_s=now_s))
        self._resume(client)
        self._count_marks(now_s)
        offsets.store(client, self._lanes.commits, group=self._plan.group)

    def _resume_turns(self) -> None:
        if self._resumed:
            self._resumed = False
            self._turns.offer_all()

    def _serve_letters(self, now_s: float) -> None:
        for lane in self._turns.due(now_s=now_s):
            self._letters.send(lane)
        if self._letters.outstanding:
            self._letters.serve()

    def _count_marks(self, now_s: float) -> None:
        if now_s - self._marks_at_s > MARKS_EVERY_S:
            self._marks_at_s = now_s
            self._processing.count_marks()

    def _resume(self, client: Consumer) -> None:
        if lanes := self._back_pressure.to_resume():
            client.resume(offsets.partitions_of(lanes))
            self._back_pressure.resume(lanes)

    def _pause(self, client: Consumer, lanes: Iterable[Lane]) -> None:
        if lanes := list(lanes):
            client.pause(offsets.partitions_of(lanes))
            self._back_pressure.pause(lanes)

    # --- ends -------------------------------------------------------------------------

    def _end(self, client: Consumer, assignment: Assignment, topics: TopicWatch) -> End:
        """End a client; return what comes next.

        Raises:
            FatalError: Its failure is not one to wait for its end.
        """
        if (failure := self.watch.failure) is not None:
            self._abandon(client, assignment, within_s=CLOSE_FAILED_S)
            return self._after(failure)
        if self._stopping.is_set():
            self._shut_down(client, assignment)
            return End.STOPPED
        if assignment.is_outdated:
            self._leave(client)
            self._abandon(client, assignment, within_s=CLOSE_REPLACED_S)
        elif self.watch.is_cut_off:
            self._log_replaced(_CUT_OFF)
            self._abandon(client, assignment, within_s=CLOSE_REPLACED_S)
        elif topics.unshared:
            self._log_replaced(_why_unshared(topics.unshared))
            self._renew(client, assignment, leaves=True)
        else:
            self._log_replaced(_why_outdated(topics.outdated))
            self._renew(client, assignment)
        return End.AGAIN

    def _log_replaced(self, why: str) -> None:
        logger.warning(
            "client_replaced group=%s consequence=%r reason=%r",
            self._plan.group, "joining again", why,
        )  # fmt: skip

    def _leave(self, client: Consumer) -> str | None:
        """Leave the group: as the next client joins, it goes by that one's topics.

        Return why that was not possible, or None.
        """
        why_not = leave_group.leave(
            client,
            is_member=lambda: True,
            holds=client.assignment,
            within_s=leave_group.LEAVE_MAX_S,
        )
        if why_not is None:
            self._has_subscribed()
        return why_not

    def _renew(
        self, client: Consumer, assignment: Assignment, *, leaves: bool = False
    ) -> None:
        """Give up a client that is a member of its group: in order, as in a revoke.

        Args:
            client: The client.
            assignment: What it holds.
            leaves: Have the group rebalance: a static member that closes does not.
        """
        assignment.let_go_of_all()
        if leaves and (why_not := self._leave(client)) is not None:
            group = self._plan.group
            leave_group.tell(group, why_not=why_not, consequence=_STAYS_UNSHARED)
        close(client, self._table, group=self._plan.group, within_s=CLOSE_MAX_S)

    def _abandon(
        self, client: Consumer, assignment: Assignment, *, within_s: float
    ) -> None:
        """Give up a client whose session is over: its partitions are others'."""
        assignment.lose_all()
        # Left behind where no broker answers: this thread is to go on.
        ends_within(within_s, client.close, name="swarm-close")

    def _after(self, failure: KafkaError) -> End:
        """Return what comes after a client that librdkafka has given up.

        Raises:
            FatalError: The failure is not one to wait for its end.
        """
        if is_fenced(failure) and self.watch.fenced_itself:
            logger.warning(
                "fenced_by_own_session group=%s consequence=%r reason=%r",
                self._plan.group, "joining again", failure.str(),
            )  # fmt: skip
            return End.AGAIN
        if kind_of(failure) is not Kind.HELD_ID:
            instance_id = self._properties.get("group.instance.id")
            reason = fatal_reason(failure, instance_id=instance_id)
            raise FatalError(f"group {self._plan.group}: {reason}")
        self.watch.refused()
        return End.AGAIN

    def _shut_down(self, client: Consumer, assignment: Assignment) -> None:
        shutdown = Shutdown(
            client,
            self._plan,
            properties=self._properties,
            lanes=self._lanes,
            watch=self.watch,
            timeout_s=self._settings.shutdown_timeout_s,
        )
        shutdown.drain(
            tend=lambda: self._tend(client),
            leave_letters=self._deliveries.abandon,
            cancel=self._pool.cancel,
        )
        # Asked now: that the node does not come back may be told while it stops.
        shutdown.close(leaves=self._leaves, is_member=lambda: assignment.has_joined)

    def _has_subscribed(self) -> None:
        topics = frozenset(self._plan.topics)
        if topics != self._subscribed_before and self._on_subscribed:
            self._on_subscribed(topics)
        self._subscribed_before = topics


def _why_outdated(at: list[Key]) -> str:
    names = ",".join(f"{topic}/{partition}" for topic, partition in at[:LISTED_MAX])
    return f"{_OUTDATED} ({len(at)} partitions: {names})"


def _why_unshared(topics: list[str]) -> str:
    names = ",".join(topics[:LISTED_MAX])
    return f"{_UNSHARED} ({len(topics)} topics: {names})"
