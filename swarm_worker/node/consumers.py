"""The consumers of a node, and the threads of their handlers, as one thing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarm_worker.node.subscriptions import Subscriptions
from swarm_worker.processing.poison import Suspect, of_group

if TYPE_CHECKING:
    from swarm_worker.app.routing import GroupPlan
    from swarm_worker.config.worker_settings import WorkerSettings
    from swarm_worker.reporting.progress import Progress

LOOK_S: Final = 1.0  # between looks at whether all threads are alive

logger = logging.getLogger(__name__)


class Consumers:
    """One consumer for each Kafka group, and the pool that they share."""

    def __init__(
        self,
        plans: Sequence[GroupPlan],
        settings: WorkerSettings,
        *,
        progress: Progress,
        suspects: Sequence[Suspect],
        slot_path: Path,
        clock: Callable[[], float],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        """Make them; no thread is started before `start`.

        ``on_fatal`` is called from a poll thread when the node cannot go on. Beside the
        slot's file is what its processes know of topics.
        """
        from swarm_worker.kafka.consumer import GroupConsumer  # noqa: PLC0415 - the Kafka client
        from swarm_worker.kafka.topics.topic_memory import TopicMemory  # noqa: PLC0415 - the same
        from swarm_worker.processing.handlers import HandlerPool  # noqa: PLC0415 - the same

        self._suspects = suspects
        self._pool = HandlerPool(settings.concurrency)
        memory = TopicMemory(slot_path.with_suffix(".topics"))
        subscriptions = Subscriptions(slot_path.with_suffix(".subscribed"))
        self._consumers = [
            GroupConsumer(
                plan,
                settings=settings,
                progress=progress,
                pool=self._pool,
                suspects=of_group(suspects, plan.group),
                memory=memory,
                subscribed_before=subscriptions.of(plan.group),
                on_subscribed=partial(subscriptions.keep, plan.group),
                clock=clock,
                on_fatal=on_fatal,
            )
            for plan in plans
        ]

    @property
    def suspects(self) -> list[Suspect]:
        """What was in flight as the last process died, and is still to come."""
        return [suspect for each in self._consumers for suspect in each.suspects]

    def start(self) -> None:
        """Start the poll threads; of handlers one where a batch may kill the process.

        `start_handlers` starts the others.
        """
        if self._is_isolating:
            self._pool.start_one()
            _log_isolating(self._suspects)
        for consumer in self._consumers:
            consumer.start()

    def start_handlers(self) -> None:
        """Start the threads that do not run, unless a batch may kill the process."""
        if not self._is_isolating:
            self._pool.start()

    def quiet(self) -> None:
        """Begin no new batch."""
        for consumer in self._consumers:
            consumer.quiet()

    def resume(self) -> None:
        """Undo `quiet`."""
        for consumer in self._consumers:
            consumer.resume()

    def stop(self, *, leaves: Callable[[], bool], look: Callable[[], None]) -> None:
        """Stop the consumers, then the handlers' threads. Waits without an end.

        Consumers first, which keep polling while batches in flight end and then commit;
        the threads when nobody can give them work any more. Each `LOOK_S` meanwhile
        ``look`` is called, and ``leaves``: that the node does not come back may be told
        late.
        """
        for consumer in self._consumers:
            consumer.stop(leave=leaves())
        for consumer in self._consumers:
            while not consumer.join(LOOK_S):
                consumer.stop(leave=leaves())
                look()
        self._pool.stop()

    @property
    def dead_thread(self) -> str | None:
        """The name of a thread that ended without being asked to."""
        if not self._pool.alive:
            return "handler pool"
        if not all(consumer.alive for consumer in self._consumers):
            return "poll thread"
        return None

    @property
    def _is_isolating(self) -> bool:
        return any(consumer.is_isolating for consumer in self._consumers)


def _log_isolating(suspects: Iterable[Suspect]) -> None:
    poison = [suspect for suspect in suspects if suspect.is_poison]
    logger.warning(
        "node_wary at=%s deaths=%s consequence=%r",
        ",".join(suspect.trace.position for suspect in poison),
        max(suspect.deaths for suspect in poison),
        "one message at a time until that is past, for two minutes at most: the next "
        "death has one message to blame",
    )
