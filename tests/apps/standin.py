"""A consumer without Kafka, for tests of what surrounds it.

An app that imports this module runs on it: each node gets one message a tick of
``orders/0`` and hands it to the app's handler as a real consumer would.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from swarm_worker import Batch
from swarm_worker.app.routing import GroupPlan
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.processing.handlers import HandlerPool, HandlerThread
from swarm_worker.processing.poison import Suspect
from swarm_worker.reporting.progress import Progress
from swarm_worker.reporting.trace import Trace

TICK_S = 0.05

poll_raises: Exception | None = None  # set by an app: the poll thread dies of it
fatal: Exception | None = None  # set by an app: the node is told of it


class GroupConsumer(OwnThread):
    """Polls nothing; the rest of the seam is as in `swarm_worker.kafka.consumer`."""

    is_isolating = False
    suspects = ()

    def __init__(
        self,
        plan: GroupPlan,
        *,
        settings: WorkerSettings,
        progress: Progress,
        pool: HandlerPool,
        clock: Callable[[], float],
        on_fatal: Callable[[Exception], None],
        suspects: Iterable[Suspect] = (),  # noqa: ARG002 - it has no dead letters
        memory: object = None,  # noqa: ARG002 - nor topics that are made anew
        **subscriptions: object,  # noqa: ARG002 - nor is it a member of a group
    ) -> None:
        super().__init__("swarm-poll")
        self._route = plan.routes[0]
        self._node = settings.node
        self._progress = progress
        self._mine = progress.add_consumer()
        self._pool = pool
        self._clock = clock
        self._on_fatal = on_fatal
        self._idle = threading.Event()
        self._idle.set()
        self._stopping = threading.Event()
        self._quiet = False
        self._offset = 0

    def quiet(self) -> None:
        """Take no new batch."""
        self._quiet = True

    def resume(self) -> None:
        """Take batches again."""
        self._quiet = False

    def stop(self, *, leave: bool = False) -> None:
        """Take no new batch and end after the one in flight."""
        sys.stderr.write(f"standin_stops leave={leave}\n")
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_S) or not self._idle.is_set():
            self._mine.polled_at_s = self._clock()
            if poll_raises:
                raise poll_raises
            if fatal:
                self._on_fatal(fatal)
                return
            if self._idle.is_set() and not self._quiet and not self._stopping.is_set():
                self._submit()

    def _submit(self) -> None:
        batch = Batch.of(
            "x", topic="orders", node=self._node, first_offset=self._offset
        )
        self._offset += 1
        self._idle.clear()
        trace = Trace(
            group=self._route.group,
            topic=batch.topic,
            partition=batch.partition,
            offset=self._offset - 1,
            end=self._offset,
        )
        self._progress.began(batch, trace=trace, now_s=self._clock())

        def work(thread: HandlerThread) -> None:
            failed = True
            try:
                thread.call(self._route.handler, batch)
                failed = False
            except Exception as error:  # noqa: BLE001 - as a consumer does
                sys.stderr.write(f"handler raised {error!r}\n")
            finally:
                self._progress.ended(batch, done_count=1, failed=failed)
                self._idle.set()

        self._pool.submit(work)


def install() -> None:
    """Have the node that imports an app find this consumer in place of the real one."""
    module: Any = ModuleType("swarm_worker.kafka.consumer")
    module.GroupConsumer = GroupConsumer
    sys.modules["swarm_worker.kafka.consumer"] = module


install()
