"""Whoever logs waits for nobody, and what could not be kept is counted."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from collections.abc import Iterator

import pytest

from swarm_worker.shared import log_queue
from swarm_worker.shared.log_queue import LogQueue
from tests.eventually import eventually

LINE = "x" * 1_000


class Pipe:
    """A pipe in the place of stderr, which is read when a test reads it."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self.text = ""

    def read(self) -> str:
        """Return all that came so far."""
        try:
            while chunk := os.read(self._reader, 1 << 20):
                self.text += chunk.decode()
        except BlockingIOError:
            pass
        return self.text

    def close(self) -> None:
        """Close both ends."""
        os.close(self._reader)
        os.close(self.writer)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    """Give a stderr that nobody reads by himself."""
    made = Pipe()
    monkeypatch.setattr(log_queue, "_STDERR", made.writer)
    yield made
    made.close()


@pytest.fixture
def lines(pipe: Pipe) -> Iterator[LogQueue]:
    """Give the log of a process."""
    made = LogQueue(lambda stderr: (stderr,))
    ours = logging.getLogger("swarm_worker")
    level = ours.level
    ours.setLevel(logging.INFO)
    ours.addHandler(made)
    ours.propagate = False  # pytest shows what it hears
    yield made
    ours.propagate = True
    ours.removeHandler(made)
    ours.setLevel(level)
    eventually(
        lambda: pipe.read() is not None and made._done >= made._accepted,
        describe="an empty queue",
    )


def log(count: int, text: str = LINE) -> None:
    """Log so many lines, numbered from 0."""
    for number in range(count):
        logging.getLogger("swarm_worker.test").info("line=%d %s", number, text)


def test_a_full_pipe_keeps_nobody_waiting(pipe: Pipe, lines: LogQueue) -> None:
    """Ten times what it takes; all of it is there, in order, once somebody reads."""
    log(650)

    eventually(lambda: "line=649 " in pipe.read(), describe="the last line")
    numbers = [line.partition(" ")[0] for line in pipe.text.splitlines()]
    assert numbers == [f"line={number}" for number in range(650)]
    assert "dropped" not in pipe.text
    assert (
        not fcntl.fcntl(pipe.writer, fcntl.F_GETFL) & os.O_NONBLOCK
    )  # prints rely on it
    lines.drain()


def test_what_the_queue_does_not_take_is_counted_and_said(
    pipe: Pipe, lines: LogQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there first is kept; the count comes behind it, once there is room."""
    monkeypatch.setattr(log_queue, "LINES_MAX", 100)
    log(400)

    text = eventually(
        lambda: pipe.read() if "log_lines_dropped" in pipe.read() else "",
        describe="the number of lines that were dropped",
    )
    told = text.splitlines()
    kept = sum(line.startswith("line=") for line in told)
    assert f"log_lines_dropped count={400 - kept} " in told[-1]
    assert [line.partition(" ")[0] for line in told[:kept]] == [
        f"line={number}" for number in range(kept)
    ]
    assert lines.queue.empty()


def test_the_end_waits_for_what_is_queued_but_not_for_ever(
    pipe: Pipe, lines: LogQueue
) -> None:
    """As far as the descriptor takes it."""
    log(20)
    lines.drain(10.0)
    assert "line=19 " in pipe.read()

    log(100)
    began_at_s = time.monotonic()
    lines.drain(0.1)

    assert lines._done < lines._accepted
    assert time.monotonic() - began_at_s >= 0.1


def test_a_forked_child_writes_its_own_lines(pipe: Pipe, lines: LogQueue) -> None:
    """It has no thread that would, and what its parent has queued is not its own."""
    log(70)  # more than the pipe takes: some wait
    child = os.fork()
    if child == 0:
        pipe_of_child = logging.getLogger("swarm_worker.test")
        signal.alarm(10)
        pipe_of_child.info("line of the child")
        lines.drain(10.0)
        os._exit(0)

    eventually(
        lambda: pipe.read() and os.waitpid(child, os.WNOHANG)[0], describe="its end"
    )
    eventually(lambda: "line=69 " in pipe.read(), describe="the last line")
    assert pipe.text.count("line of the child") == 1
    assert pipe.text.count("line=69 ") == 1


def test_a_signals_handler_may_log_while_its_thread_does(
    pipe: Pipe, lines: LogQueue
) -> None:
    """Nothing that it needs is held."""
    came: list[int] = []

    def tell(number: int, _frame: object) -> None:
        came.append(number)
        log(1, "from a signal")

    before = signal.signal(signal.SIGALRM, tell)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
    try:
        while len(came) < 50:
            log(1, "beside it")
            pipe.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    eventually(
        lambda: pipe.read().count("from a signal") == len(came), describe="all lines"
    )
    lines.drain()


def test_a_handler_that_raises_does_not_end_the_thread(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app's own may be broken: the next line is written all the same."""
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            del record
            raise RuntimeError("broken")

    made = LogQueue(lambda stderr: (Broken(), stderr))
    for text in ("first", "second"):
        made.handle(logging.makeLogRecord({"msg": text, "levelno": logging.INFO}))

    made.drain(10.0)
    assert pipe.read() == "first\nsecond\n"
