"""Handlers at work: threads, coroutines, failures; without Kafka."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarm_worker.app.app import Route
from swarm_worker.app.batch import Batch
from swarm_worker.processing.handlers import HandlerPool, Processing
from swarm_worker.processing.lane import Lane
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.logs import LineFormatter
from swarm_worker.shared.report import State
from tests.eventually import eventually
from tests.unit.swarm_worker.processing.test_lanes import messages

NOW_S = 1000.0
THREADS = 2
HANGS_AFTER_S = 30.0  # no limit of ours: a machine under load has all the time it needs


@pytest.fixture
def pool() -> Iterator[HandlerPool]:
    """Two handler threads."""
    pool = HandlerPool(THREADS)
    pool.start()
    yield pool
    pool.stop()


def settle(pool: HandlerPool) -> None:
    """Return when all that was submitted has ended, with the last line that it logs.

    All handler threads meet here: none is busy then, and none is dead.
    """
    meeting = threading.Barrier(THREADS + 1, timeout=HANGS_AFTER_S)

    def meet(_: object) -> None:
        meeting.wait()

    for _ in range(THREADS):
        pool.submit(meet)
    meeting.wait()


class Work:
    """A partition with a handler, and what became of its messages."""

    def __init__(
        self,
        pool: HandlerPool,
        handler: Callable[[Batch], Any],
        *hooks: Callable[[], object],
    ) -> None:
        self.pool = pool
        self.progress = Progress()
        self.processing = Processing(
            node=0, max_messages=10, pool=pool, progress=self.progress,
            before_store=hooks, clock=lambda: NOW_S,
        )  # fmt: skip
        self.lanes = self.processing.lanes
        route = Route(topics=("t",), group="g", handler=handler)
        self.lanes.open("t", 0, route, now_s=NOW_S)

    @property
    def lane(self) -> Lane:
        """The lane of the partition."""
        lane = self.lanes.table.get("t", 0)
        assert lane is not None
        return lane

    def give(self, count: int) -> None:
        """Hand messages to the handler; return when all that follows has ended."""
        self.lanes.add(self.lane, messages(count))
        settle(self.pool)
        seen = self.progress.report(State.RUNNING, now_s=NOW_S)
        assert seen.batches + seen.errors == 1


def test_handler_that_returns_moves_the_offset(pool: HandlerPool) -> None:
    """And counts."""
    work = Work(pool, lambda _: None)
    work.give(3)
    seen = work.progress.report(State.RUNNING, now_s=NOW_S)

    assert work.lane.next_offset == 3
    assert (seen.messages, seen.batches, seen.errors, seen.in_flight) == (3, 1, 0, ())


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(0), KeyboardInterrupt(), GeneratorExit()]
)
def test_whatever_is_raised_moves_nothing(
    pool: HandlerPool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread lives on; one line tells where."""
    caplog.set_level(logging.INFO, logger="swarm_worker")

    def handler(_: Batch) -> None:
        raise error

    work = Work(pool, handler)
    work.give(3)

    assert work.lane.next_offset == -1
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith("handler_failed at=t/0@0 attempts=1 retry_in_s=1.0")


class Spiteful(Exception):  # noqa: N818 - what it is like
    """Ends whoever wants to show it."""

    def __repr__(self) -> str:
        """End the thread."""
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Spiteful(), "Spiteful, whose repr raised SystemExit"),
        (ValueError("x" * 5_000_000), "ValueError('xxxx"),
    ],
)
def test_no_exception_harms_whoever_logs_it(
    pool: HandlerPool, error: BaseException, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the handler's thread nor the log that all failures share."""
    caplog.handler.setFormatter(LineFormatter())  # its own would print all of it

    def handler(_: Batch) -> None:
        raise error

    Work(pool, handler).give(1)

    (line,) = [r.getMessage() for r in caplog.records]
    assert f"error={told}" in line
    assert len(line) < 2_000
    (record,) = caplog.records
    record.exc_text = None  # as another handler has left it
    assert len(LineFormatter().format(record)) < 200_000


@pytest.mark.parametrize(
    ("error", "code"),
    [(SystemExit(7), 7), (RuntimeError("in the child"), 1), (None, 0)],
)
def test_a_child_that_a_handler_forks_ends_where_it_leaves_the_handler(
    pool: HandlerPool, error: BaseException | None, code: int
) -> None:
    """It is no second node, and what it raised is not the node's failure."""
    ended: list[int] = []

    def handler(_: Batch) -> None:
        child = os.fork()
        if child == 0:
            if error is not None:
                raise error
            return
        ended.append(wait_for(child))

    work = Work(pool, handler)
    work.give(1)

    assert ended == [code]
    assert work.lane.next_offset == 1
    assert work.progress.report(State.RUNNING, now_s=NOW_S).errors == 0


def wait_for(child: int) -> int:
    """Return a child's exit code; one that does not end is killed."""
    try:
        eventually(
            lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT),
            within_s=HANGS_AFTER_S,
            describe="the child ends",
        )
    except AssertionError:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_flush_comes_after_the_handler_and_before_the_offset(pool: HandlerPool) -> None:
    """The hook sees the offset where it was."""
    seen: list[object] = []
    work = Work(
        pool,
        lambda _: seen.append("handler"),
        lambda: seen.append(work.lane.next_offset),
    )
    work.give(3)

    assert seen == ["handler", -1]
    assert work.lane.next_offset == 3


def test_flush_that_fails_is_a_failure_of_all(pool: HandlerPool) -> None:
    """Also of what is marked done: it is not flushed."""

    def handler(batch: Batch) -> None:
        batch.mark_done(batch[0])
        raise ValueError

    def flush() -> None:
        raise OSError

    for handle in (handler, lambda _: None):
        work = Work(pool, handle, flush)
        work.give(3)
        assert work.lane.next_offset == -1
        assert work.progress.report(State.RUNNING, now_s=NOW_S).errors == 1


def test_marks_wait_for_the_flush(pool: HandlerPool) -> None:
    """With a hook, offsets do not move while the handler runs."""
    go, inside = threading.Event(), threading.Event()

    def handler(batch: Batch) -> None:
        batch.mark_done(batch[0])
        inside.set()
        assert go.wait(HANGS_AFTER_S)

    for hooks, expected in (((), 1), ((lambda: None,), -1)):
        work = Work(pool, handler, *hooks)
        go.clear()
        inside.clear()
        work.lanes.add(work.lane, messages(3))
        assert inside.wait(HANGS_AFTER_S)
        work.processing.count_marks()
        assert work.lane.next_offset == expected
        go.set()
        assert work.lanes.turns.wait_idle(within_s=HANGS_AFTER_S)


def test_coroutines_run_on_one_loop_a_thread(pool: HandlerPool) -> None:
    """What a loop holds, such as connections, can be kept between batches."""
    loops: list[tuple[str, asyncio.AbstractEventLoop]] = []

    async def handler(_: Batch) -> None:
        await asyncio.sleep(0)
        name = threading.current_thread().name
        loops.append((name, asyncio.get_running_loop()))

    for _ in range(6):
        Work(pool, handler).give(1)

    assert len(set(loops)) == len({name for name, _ in loops})


def test_cancelled_coroutine_moves_nothing(pool: HandlerPool) -> None:
    """The deadline of a stop ends it; its batch comes again in the next life."""
    inside = threading.Event()

    async def handler(_: Batch) -> None:
        inside.set()
        await asyncio.Event().wait()

    work = Work(pool, handler)
    work.lanes.add(work.lane, messages(1))
    assert inside.wait(HANGS_AFTER_S)
    pool.cancel()

    assert work.lanes.turns.wait_idle(within_s=HANGS_AFTER_S)
    assert work.lane.next_offset == -1


def test_pool_with_a_dead_thread_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a bug of ours can end one; the node must not go on as if nothing was."""
    crashes: list[object] = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    pool = HandlerPool(2)
    pool.start()
    eventually(lambda: pool.alive, describe="all threads run")
    pool.submit(lambda thread: thread.call(None, None))  # type: ignore[arg-type]

    eventually(lambda: not pool.alive, describe="a thread is dead")
    assert len(crashes) == 1
    pool.stop()


def test_a_report_tells_which_message_fails_and_how(pool: HandlerPool) -> None:
    """Place, error, attempts, and for how long: at the moment of the report."""

    def handler(_: Batch) -> None:
        raise ValueError("no price")

    work = Work(pool, handler)
    work.give(1)
    seen = work.progress.report(State.RUNNING, now_s=NOW_S + 180)

    assert seen.failing_count == 1
    assert [str(each) for each in seen.failing] == [
        "t/0@0 fails: ValueError('no price'), 1 attempt, for 3 min"
    ]
