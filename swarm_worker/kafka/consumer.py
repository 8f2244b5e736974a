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
from swarm_worker.kafka.client import (
    commit_early,
    judged,
    properties_for,
    with_callbacks,
)
from swarm_worker.kafka.closing import leave_group as departure
from swarm_worker.kafka.dead_letters import DeadLetters
from swarm_worker.kafka.errors import (
    FatalError,
    Kind,
    fatal_reason,
    is_fenced,
    kind_of,
    library_logger,
)
from swarm_worker.kafka.monitor import Watch
from swarm_worker.kafka.poll_batches import (
    DRAIN_MESSAGES,
    by_partition,
    next_drain,
    split,
)
from swarm_worker.kafka.topic_asker import TopicAsker
from swarm_worker.kafka.topic_watch import TopicWatch
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.aside import Aside, Making
from swarm_worker.process.own_thread import OwnThread
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

# At the end of shutdown_timeout the process is ended. A coroutine that is cancelled
# still needs a moment before that, and so does the close.
CANCEL_BEFORE_S: Final = 1.0
CLOSE_BEFORE_S: Final = 0.5
CLOSE_MAX_S: Final = 10.0
BURY_MAX_S: Final = 5.0
LET_END_EVERY_S: Final = 0.05  # between polls while batches in flight end
FOLLOW_S: Final = 0.1  # a poll between tries of the last commit
FOLLOW_POLLS: Final = 5  # before a close: a rebalance that has come, and some messages

REPLACE_S: Final = 3.0  # for the close of a client that has no broker to tell

_CUT_OFF: Final = (
    "the Kafka client has forgotten all brokers, as it does when one that starts names "
    "none, and would not look for them again"
)
_OUTDATED: Final = (
    "the Kafka client takes what it is told of a topic that was made anew for older "
    "than what it knows of the former one, and would fetch nothing of it"
)
_GAVE_UP: Final = "the broker does not answer; the work of the last second repeats"


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
        self._aside = Aside(plan.group)
        self._letters = DeadLetters(self._properties, self._processing.lettered)
        self.watch = Watch(
            plan.group,
            self._properties,
            progress=progress.add_consumer(plan.group),
            lanes=self._lanes,
            clock=clock,
            token=self._token,
        )
        self._asker = TopicAsker(self._properties, plan.group, memory)
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
    def is_wary(self) -> bool:
        """See `Lanes`."""
        return self._lanes.is_wary(now_s=self._clock())

    @property
    def suspects(self) -> list[Suspect]:
        """See `Lanes`."""
        return self._lanes.suspects(now_s=self._clock())

    def quiet(self) -> None:
        """Begin no new batch; those in flight go on, membership stays. At once."""
        self._lanes.is_held = True

    def resume(self) -> None:
        """Undo `quiet`; does nothing while stopping."""
        if not self._stopping.is_set():
            self._lanes.is_held = False
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
        self._lanes.is_held = True
        self._stopping.set()

    # --- lives of a client ------------------------------------------------------------

    def _run(self) -> None:
        self._asker.start()
        try:
            while self._live() is End.AGAIN:
                if self._stopping.wait(JOIN_AGAIN_S):
                    if self._leaves:
                        departure.tell(self._plan.group, why_not=departure.NOT_JOINED)
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
        callbacks: dict[str, Callable[..., None]] = {
            "error_cb": self.watch.on_error,
            "stats_cb": self.watch.on_statistics,
            "on_commit": self.watch.on_commit,
        }
        own = self._aside.keep_off(self._properties)
        if self._token:
            own["oauth_cb"] = self._token
        client = self._make(with_callbacks(own, callbacks))
        if client is None:
            return End.AGAIN
        self.watch.begin(client, is_subscribed=bool(self._plan.topics))
        topics = self._watch_topics(client)
        assignment = self._assignment(client, topics)
        try:
            if assignment.join(self._stopping):
                self._poll(client, assignment, topics)
        except KafkaException as error:
            self.watch.on_error(error.args[0])
            if self.watch.failure is None:
                raise
        return self._end_life(client, assignment, topics)

    def _end_life(
        self, client: Consumer, assignment: Assignment, topics: TopicWatch
    ) -> End:
        if (failure := self.watch.failure) is not None:
            return self._bury(client, assignment, failure)
        if not self._stopping.is_set():
            if self.watch.is_cut_off or assignment.is_outdated:
                return self._replace(client, assignment)
            return self._renew(client, assignment, topics.outdated)
        self._let_end(client, assignment)
        return End.STOPPED

    def _watched_token(self) -> TokenCallback | None:
        callback = self._properties.get("oauth_cb")
        return TokenCallback(callback, self._clock) if callable(callback) else None

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
            if topics.outdated or assignment.is_outdated:
                return
            self._tend(client)
            assignment.look_for_topics()
            topics.tend()
            if not self._lanes.wait_for_room(within_s=KEEP_ALIVE_S):
                full = self._lanes.to_pause(now_s=self._clock(), make_room=True)
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
        if not self._lanes.is_held:
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
            grouped = by_partition(messages, has_one_topic=self._has_one_topic)
            for key, run in grouped:
                # None: revoked in a callback of the very call that gave the messages.
                if (lane := self._lanes.get(*key)) is not None:
                    self._lanes.add(lane, run)
            self._drain = next_drain(messages)
        for key, offset in ends.items():
            if (lane := self._lanes.get(*key)) is not None:
                is_odd |= offset < lane.added_offset
                self._lanes.reach_end(lane, offset)
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
        now_s, lanes = self._clock(), self._lanes
        if self._resumed:
            self._resumed = False
            lanes.offer_all()
        for lane in lanes.due(now_s=now_s):
            self._letters.send(lane)
        if self._letters.outstanding:
            self._letters.serve()
        self._pause(client, lanes.to_pause(now_s=now_s))
        if resuming := lanes.to_resume():
            client.resume(offsets.partitions_of(resuming))
            lanes.resumed(resuming)
        if now_s - self._marks_at_s > MARKS_EVERY_S:
            self._marks_at_s = now_s
            self._processing.count_marks()
        offsets.store(client, lanes, group=self._plan.group)

    def _pause(self, client: Consumer, lanes: Iterable[Lane]) -> None:
        if lanes := list(lanes):
            client.pause(offsets.partitions_of(lanes))
            self._lanes.paused(lanes)

    # --- ends -------------------------------------------------------------------------

    def _bury(
        self, client: Consumer, assignment: Assignment, failure: KafkaError
    ) -> End:
        """End a client that librdkafka has given up: its partitions are others'.

        Raises:
            FatalError: The failure is not one to wait for its end.
        """
        assignment.lose_all()
        # Left behind where no broker answers: this thread is to go on.
        departure.ends_within(BURY_MAX_S, client.close, name="swarm-close")
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

    def _replace(self, client: Consumer, assignment: Assignment) -> End:
        """Give up a client that has no broker left to try; its session is over.

        Or one whose assignment is outdated: it leaves, and as its next one joins the
        group hands out partitions by what its members subscribe to.
        """
        if assignment.is_outdated:
            departure.leave(
                client,
                is_member=lambda: True,
                holds=client.assignment,
                within_s=departure.LEAVE_MAX_S,
            )
            self._has_subscribed()
        else:
            self._tell_replaced(_CUT_OFF)
        assignment.lose_all()
        departure.ends_within(REPLACE_S, client.close, name="swarm-close")
        return End.AGAIN

    def _renew(self, client: Consumer, assignment: Assignment, at: list[Key]) -> End:
        """Give up a client that is a member of its group: in order, as in a revoke."""
        names = ",".join(f"{topic}/{partition}" for topic, partition in at[:LISTED_MAX])
        self._tell_replaced(f"{_OUTDATED} ({len(at)} partitions: {names})")
        assignment.let_go_of_all()
        self._close(client, within_s=CLOSE_MAX_S)
        return End.AGAIN

    def _tell_replaced(self, why: str) -> None:
        logger.warning(
            "client_replaced group=%s consequence=%r reason=%r",
            self._plan.group, "joining again", why,
        )  # fmt: skip

    def _has_subscribed(self) -> None:
        topics = frozenset(self._plan.topics)
        if topics != self._subscribed_before and self._on_subscribed:
            self._on_subscribed(topics)
        self._subscribed_before = topics

    def _let_end(self, client: Consumer, assignment: Assignment) -> None:
        """Let batches in flight end while polls go on; commit and close."""
        timeout_s, began_s = self._settings.shutdown_timeout_s, time.monotonic()
        cancel_at_s = began_s + max(timeout_s / 2, timeout_s - CANCEL_BEFORE_S)
        give_up_at_s = began_s + max(timeout_s / 2, timeout_s - CLOSE_BEFORE_S)
        while not self._lanes.wait_idle(within_s=LET_END_EVERY_S):
            if time.monotonic() > began_s + timeout_s / 2:
                self._leave_letters()  # the rest of the time is for the close
            self._tend(client)  # pauses all: handing out is held
            client.poll(0)  # dropped: nothing of it was stored
            self.watch.polled()
            if time.monotonic() > cancel_at_s:
                self._pool.cancel()
        self._lanes.rest()
        offsets.store(client, self._lanes, group=self._plan.group)
        # Others are removed from their groups by a mere close.
        is_static = "group.instance.id" in self._properties
        leaves = self._leaves and self._plan.topics and is_static
        why_not: str | None = departure.NOT_CLOSED
        if leaves and not self.watch.is_consumer_protocol:
            why_not = departure.leave(
                client,
                is_member=lambda: assignment.has_joined,
                holds=self._lanes.all,
                within_s=(give_up_at_s - time.monotonic()) / 2,  # the rest: the close
            )
        is_closed = self._close(client, within_s=give_up_at_s - time.monotonic())
        if leaves and self.watch.is_consumer_protocol and is_closed:
            why_not = departure.give_up_id(
                self._properties,
                self._plan.topics,
                within_s=give_up_at_s - time.monotonic(),
            )
        if leaves:
            departure.tell(self._plan.group, why_not=why_not)

    def _leave_letters(self) -> None:
        """Wait no longer for dead letters that Kafka does not answer."""
        for lane, letter in self._lanes.leave_letters(now_s=self._clock()):
            logger.warning(
                "dead_letter_left at=%s@%s topic=%s consequence=%r",
                lane.name, letter.message.offset(), lane.route.dead_letter,
                "it may be written once more",
            )  # fmt: skip

    def _close(self, client: Consumer, *, within_s: float) -> bool:
        """Commit and close; tell whether it was over within that or `CLOSE_MAX_S`.

        Without an answer from the broker a close takes minutes. It has a thread of
        its own, which is left behind then.
        """
        group, lanes = self._plan.group, self._lanes.all()

        def follow() -> list[Lane]:
            client.poll(FOLLOW_S)  # dropped: nothing of it was stored
            return self._lanes.all()

        def close() -> None:
            # Not left to the revoke that a close begins with: a client that closes
            # does not follow a rebalance to its end, and where the callback of one
            # comes in a close, librdkafka may never answer it; Python is locked then.
            offsets.commit(
                client, lanes, group=group, wait=True,
                patience_s=CLOSE_MAX_S / 2, follow=follow,
            )  # fmt: skip
            for _ in range(FOLLOW_POLLS):
                client.poll(0)
            client.close()

        within_s = max(CLOSE_BEFORE_S, min(within_s, CLOSE_MAX_S))
        is_closed = departure.ends_within(within_s, close, name="swarm-close")
        if is_closed:
            logger.info("consumer_closed group=%s", group)
        else:
            logger.warning("close_gave_up group=%s consequence=%r", group, _GAVE_UP)
        return is_closed
