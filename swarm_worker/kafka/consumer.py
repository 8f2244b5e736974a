"""One Kafka group of a node: its clients, one after another, and their thread.

The poll thread runs no handler. It polls, hands messages over, and does all that talks
to the client, storing offsets too: since confluent-kafka 2.16 a client lets one thread
in at a time, and a call from another waits until the poll is over. So whether a
partition is ours cannot change between that question and the store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from swarm_worker.app.token import TokenCallback
from swarm_worker.kafka.assignment import Assignment
from swarm_worker.kafka.client.making import make_client
from swarm_worker.kafka.client.properties import (
    commit_early,
    properties_for,
    with_callbacks,
)
from swarm_worker.kafka.closing import leave_group
from swarm_worker.kafka.closing.replacement import end_replaced
from swarm_worker.kafka.closing.shutdown import Shutdown
from swarm_worker.kafka.dead_letters import DeadLetterProducer
from swarm_worker.kafka.errors import (
    FatalError,
    Kind,
    fatal_reason,
    is_fenced,
    kind_of,
)
from swarm_worker.kafka.group import Group
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.kafka.poll_loop import Ending, PollLoop
from swarm_worker.kafka.subscribed_topics import SubscribedTopics
from swarm_worker.kafka.topics.topic_asker import TopicAsker
from swarm_worker.kafka.topics.topic_watch import TopicWatch
from swarm_worker.process.aside import Aside
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.processing.deliveries import Deliveries
from swarm_worker.processing.handlers import HandlerPool, Processing
from swarm_worker.processing.poison import Suspect

if TYPE_CHECKING:
    from swarm_worker.app.routing import GroupPlan
    from swarm_worker.config.worker_settings import WorkerSettings
    from swarm_worker.kafka.topics.topic_memory import TopicMemory
    from swarm_worker.reporting.progress import Progress

logger = logging.getLogger(__name__)

JOIN_AGAIN_S: Final = 1.0


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

        ``on_fatal`` is called from the poll thread when the node cannot go on, and
        ``on_subscribed`` once the group hands out partitions by the topics of this
        process; ``subscribed_before`` are those of the slot's last one, if known.
        """
        super().__init__(f"swarm-poll-{plan.group}")
        self._pool = pool
        self._on_fatal = on_fatal
        self._leaves = False
        properties = properties_for(plan, settings)
        commit_within_s = commit_early(properties)
        callback = properties.get("oauth_cb")
        token = TokenCallback(callback, clock) if callable(callback) else None
        own = Aside(plan.group).keep_off(properties)
        beside = dict(properties)  # of the clients beside the consumer
        if token:  # the app's callback is called by the consumer alone
            own["oauth_cb"], beside["oauth_cb"] = token, token.latest
        processing = Processing(
            node=settings.node,
            max_messages=settings.max_messages,
            pool=pool,
            progress=progress,
            before_store=plan.before_store,
            commit_within_s=commit_within_s,
            dead_letter_after_s=settings.dead_letter_after_s,
            suspects=suspects,
            clock=clock,
        )
        lanes = processing.lanes
        self._asker = TopicAsker(beside, plan.group, memory)
        monitor = Monitor(
            plan.group,
            properties,
            progress=progress.add_consumer(plan.group),
            lanes=lanes,
            clock=clock,
            token=token,
            end_asker=self._asker,
        )
        self._client_properties = with_callbacks(own, monitor.callbacks)
        is_static = "group.instance.id" in properties and bool(plan.topics)
        self._deliveries = Deliveries(lanes, progress=progress, clock=clock)
        self.group = Group(
            plan=plan,
            settings=settings,
            properties=properties,
            processing=processing,
            dead_letters=DeadLetterProducer(beside, self._deliveries.on_delivery),
            monitor=monitor,
            subscribed=SubscribedTopics(
                plan.topics,
                before=subscribed_before,
                keep=on_subscribed,
                outlives_member=is_static and not monitor.is_consumer_protocol,
            ),
            clock=clock,
        )

    # --- for the node -----------------------------------------------------------------

    @property
    def is_isolating(self) -> bool:
        """See `Lanes.is_isolating`."""
        return self.group.lanes.is_isolating(now_s=self.group.clock())

    @property
    def suspects(self) -> list[Suspect]:
        """See `Suspects.ahead`."""
        return self.group.lanes.suspects.ahead(now_s=self.group.clock())

    def quiet(self) -> None:
        """Begin no new batch; those in flight go on, membership stays. At once."""
        self.group.lanes.table.is_held = True

    def resume(self) -> None:
        """Undo `quiet`; does nothing while stopping."""
        if not self.group.stopping.is_set():
            self.group.lanes.table.is_held = False
            self.group.lanes.turns.offer_all()

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
        self.group.lanes.table.is_held = True
        self.group.stopping.set()

    # --- lives of a client ------------------------------------------------------------

    def _run(self) -> None:
        self._asker.start()
        try:
            while self._live():
                if self.group.stopping.wait(JOIN_AGAIN_S):
                    if self._leaves:
                        why_not = leave_group.NOT_JOINED
                        leave_group.tell(self.group.name, why_not=why_not)
                    return
        except FatalError as error:
            self._on_fatal(error)
        finally:
            self._asker.close()
            self.group.dead_letters.stop()
        # A consumer that failed is no dead thread: the node was told why, and stops it.
        self.group.stopping.wait()

    def _live(self) -> bool:
        """Live the life of one client; return whether another is to follow.

        Raises:
            FatalError: Another life would end like this one.
        """
        group = self.group
        client = make_client(
            self._client_properties,
            group=group.name,
            lacks_client=group.monitor.lacks_client,
            stopping=group.stopping,
        )
        if client is None:
            return True
        group.monitor.begin(is_subscribed=bool(group.plan.topics))
        topics = TopicWatch(client, group, self._asker)
        assignment = Assignment(client, group, topics)
        loop = PollLoop(client, group, assignment=assignment, topics=topics)
        why = self._consume(assignment, loop)
        if why is Ending.STOPPED:
            self._shut_down(client, assignment, loop)
            return False
        failure = group.monitor.failure  # what comes while it ends is of no account
        end_replaced(client, assignment, why, topics=topics, group=group)
        if failure is not None:
            self._judge(failure)
        return True

    def _consume(self, assignment: Assignment, loop: PollLoop) -> Ending:
        """Poll until the client is of no use any more, or the node stops."""
        try:
            assignment.join()
            return loop.run()
        except KafkaException as error:
            self.group.monitor.on_error(error.args[0])
            if self.group.monitor.failure is None:
                raise
            return Ending.FAILED

    def _judge(self, failure: KafkaError) -> None:
        """Let another client follow one that librdkafka has given up, if that may help.

        Raises:
            FatalError: The failure is not one to wait for its end.
        """
        group, member = self.group, self.group.monitor.member
        if is_fenced(failure) and member.fenced_itself():
            logger.warning(
                "fenced_by_own_session group=%s consequence=%r reason=%r",
                group.name, "joining again", failure.str(),
            )  # fmt: skip
        elif kind_of(failure) is Kind.HELD_ID:
            member.id_refused()
        else:
            instance_id = group.properties.get("group.instance.id")
            reason = fatal_reason(failure, instance_id=instance_id)
            raise FatalError(f"group {group.name}: {reason}")

    def _shut_down(
        self, client: Consumer, assignment: Assignment, loop: PollLoop
    ) -> None:
        shutdown = Shutdown(client, self.group)
        shutdown.drain(
            tend=loop.tend,
            abandon_dead_letters=self._deliveries.abandon,
            cancel=self._pool.cancel,
        )
        # Asked now: that the node does not come back may be told while it stops.
        shutdown.close(leaves=self._leaves, is_member=lambda: assignment.has_joined)
