"""The threads that run handlers, and what follows from how a handler ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from math import inf
from queue import SimpleQueue
from typing import TYPE_CHECKING

from swarm_worker.process import exit_codes as exits
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.processing.commits import COMMIT_WITHIN_S
from swarm_worker.processing.failures import Verdict
from swarm_worker.processing.lane import Lane
from swarm_worker.processing.lanes import Lanes
from swarm_worker.processing.witness import Witnesses
from swarm_worker.shared.logs import shown

if TYPE_CHECKING:
    from swarm_worker.app.app import Handler, Hook
    from swarm_worker.app.batch import Batch
    from swarm_worker.processing.poison import Suspect
    from swarm_worker.reporting.progress import Progress

logger = logging.getLogger(__name__)

Work = Callable[["HandlerThread"], None]


class HandlerThread(OwnThread):
    """One thread that runs handlers; coroutines on an event loop of its own."""

    def __init__(self, number: int, queue: SimpleQueue[Work | None]) -> None:
        super().__init__(f"swarm-handler-{number}")
        self._queue = queue
        self._runner: asyncio.Runner | None = None
        self._task: asyncio.Task[None] | None = None

    def call(self, handler: Handler, batch: Batch) -> None:
        """Run a handler to its end; a coroutine's too. On this thread only."""
        result = handler(batch)
        if result is not None and inspect.isawaitable(result):
            if self._runner is None:
                self._runner = asyncio.Runner()
            self._runner.run(self._await(result))

    def cancel(self) -> None:
        """Cancel the coroutine that runs, if one does. From any thread."""
        task = self._task
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def _await(self, awaitable: Awaitable[None]) -> None:
        self._task = asyncio.current_task()
        try:
            await awaitable
        finally:
            self._task = None

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            work(self)
        if self._runner is not None:
            self._runner.close()


class HandlerPool:
    """The threads that all consumers of a node share: so many partitions at once.

    Attributes:
        witnesses: Whether handlers work, over all of these consumers.
    """

    def __init__(self, concurrency: int) -> None:
        """Make ``concurrency`` threads; `start` starts them."""
        self.witnesses = Witnesses()
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads = [HandlerThread(i, self._queue) for i in range(concurrency)]
        self._started = 0

    def start(self) -> None:
        """Start all threads that do not run yet."""
        for thread in self._threads[self._started :]:
            thread.start()
        self._started = len(self._threads)

    def start_one(self) -> None:
        """Start one thread: one batch at a time, until `start`."""
        self._threads[0].start()
        self._started = 1

    def submit(self, work: Work) -> None:
        """Have the next free thread do some work. Does not block."""
        self._queue.put(work)

    @property
    def alive(self) -> bool:
        """Whether all threads run; one that does not has met a bug of ours."""
        return all(thread.alive for thread in self._threads[: self._started])

    def cancel(self) -> None:
        """Cancel the coroutine handlers that run; the others cannot be cancelled."""
        for thread in self._threads:
            thread.cancel()

    def stop(self, *, within_s: float = 1.0) -> None:
        """End the threads, each after what it does; wait for at most ``within_s``."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads[: self._started]:
            thread.join(within_s / len(self._threads))


class Processing:
    """What becomes of one consumer's messages between poll and stored offset.

    Attributes:
        lanes: What waits, and what follows from how a batch ends.
    """

    def __init__(
        self,
        *,
        node: int,
        max_messages: int,
        pool: HandlerPool,
        progress: Progress,
        before_store: Sequence[Hook],
        commit_within_s: float = COMMIT_WITHIN_S,
        dead_letter_after_s: float = inf,
        suspects: Iterable[Suspect] = (),
        clock: Callable[[], float],
    ) -> None:
        self.lanes = Lanes(
            node=node,
            max_messages=max_messages,
            submit=self._submit,
            commit_within_s=commit_within_s,
            suspects=suspects,
            witnesses=pool.witnesses,
            dead_letter_after_s=dead_letter_after_s,
        )
        self._pool = pool
        self._progress = progress
        progress.add_failing(self.lanes.failing)
        self._before_store = tuple(before_store)
        self._clock = clock

    def count_marks(self) -> None:
        """Let offsets move to what handlers that still run have marked done."""
        if not self._before_store:  # else the hook comes first, after the handler
            self.lanes.count_marks(now_s=self._clock())

    def _submit(self, lane: Lane) -> None:
        self._pool.submit(partial(self._work, lane))

    def _work(self, lane: Lane, thread: HandlerThread) -> None:
        now_s = self._clock()
        batch = self.lanes.take(lane, now_s=now_s)
        if batch is None:
            return
        if death := lane.death_of(batch, now_s=now_s):
            self._failed(lane, batch, death)
            return
        repeat = lane.is_repeat(batch)
        trace = lane.trace_of(batch)
        self._progress.began(batch, trace=trace, retry=repeat, now_s=now_s)
        own_pid = os.getpid()
        try:
            thread.call(lane.route.handler, batch)
            exits.end_fork_of(own_pid)
            self._flush()
        except BaseException as error:  # noqa: BLE001 - also SystemExit never commits
            exits.end_fork_of(own_pid, error)
            self._failed(lane, batch, error)
        else:
            self._progress.ended(batch, done_count=len(batch), failed=False)
            failures = self.lanes.done(lane, batch, now_s=self._clock())
            if failures:
                _log_recovery(batch, failures)

    def _flush(self) -> None:
        for hook in self._before_store:
            hook()

    def _failed(self, lane: Lane, batch: Batch, error: BaseException) -> None:
        done_count = batch.done_count
        if done_count and self._before_store:
            done_count = self._flushed(done_count)
        self._progress.ended(batch, done_count=done_count, failed=True)
        error_text = shown(error)
        verdict = self.lanes.failed(
            lane,
            batch,
            error,
            done_count=done_count,
            now_s=self._clock(),
            error_text=error_text,
        )
        _log_failure(batch, error, verdict, error_text)
        _log_withheld(batch, verdict)

    def _flushed(self, done_count: int) -> int:
        """Return how much of what is marked done may be stored: all, or nothing."""
        try:
            self._flush()
        except BaseException as error:  # noqa: BLE001 - the handler's error is logged
            logger.warning("before_store_failed error=%s", shown(error))
            return 0
        return done_count


def _log_failure(
    batch: Batch, error: BaseException, verdict: Verdict | None, error_text: str
) -> None:
    if verdict is None or verdict.is_news:
        logger.error(
            "handler_failed at=%s attempts=%s retry_in_s=%s error=%s",
            batch.position,
            verdict.attempts if verdict else 1,
            verdict.retry_in_s if verdict else None,
            error_text,
            exc_info=error,
        )


def _log_withheld(batch: Batch, verdict: Verdict | None) -> None:
    if verdict is not None and verdict.withheld:
        logger.warning(
            "dead_letter_withheld at=%s/%s@%s attempts=%s retry_in_s=%s reason=%r",
            batch.topic,
            batch.partition,
            verdict.offset,
            verdict.attempts,
            verdict.retry_in_s,
            verdict.withheld,
        )


def _log_recovery(batch: Batch, failures: int) -> None:
    logger.info(
        "handler_recovered at=%s/%s@%s failures=%s",
        batch.topic,
        batch.partition,
        batch[0].offset(),
        failures,
    )
