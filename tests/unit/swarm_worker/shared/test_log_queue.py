"""Whoever logs waits for nobody, and what could not be kept is counted."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from swarm_worker.shared import log_queue
from swarm_worker.shared.log_queue import LogQueue
from tests.eventually import eventually
from tests.nodes import ROOT

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
    """Yield a stderr that nobody reads by himself."""
    made = Pipe()
    monkeypatch.setattr(log_queue, "_STDERR", made.writer)
    yield made
    made.close()


@pytest.fixture
def lines(pipe: Pipe) -> Iterator[LogQueue]:
    """Yield the log of a process."""
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
    """Where they are missing, and how many; nothing else is."""
    monkeypatch.setattr(log_queue, "LINES_MAX", 100)
    log(400)
    eventually(lambda: pipe.read() and lines.queue.empty(), describe="an empty queue")
    log(1, "the last")
    lines.drain(10.0)

    number = 0
    gaps = 0
    for line in pipe.read().splitlines()[:-1]:
        if line.startswith("log_lines_dropped"):
            number += int(line.split()[1].removeprefix("count="))
            gaps += 1
        else:
            assert line.startswith(f"line={number} ")
            number += 1
    assert number == 400
    assert gaps


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


_FORKS = """
import logging, os, signal
from swarm_worker.shared import logs
logs.begin()
logger = logging.getLogger("swarm_worker.test")
for number in range(40):
    logger.info("line=%d %s", number, "x" * 4_000)  # more than a pipe takes: some wait
child = os.fork()
logger.info("line of the %s", "parent" if child else "child")
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_child_writes_its_own_lines() -> None:
    """It has no thread that would, and what its parent has queued is not its own."""
    with subprocess.Popen(
        [sys.executable, "-c", _FORKS], cwd=ROOT, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        text = process.stderr.read().decode()  # to the end of both

    assert process.returncode == 0
    assert text.count("line of the child") == 1
    assert text.count("line of the parent") == 1
    assert text.count("line=39 ") == 1


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


@pytest.mark.skipif(not log_queue._NOWAIT, reason="the platform cannot")
def test_a_line_that_there_is_room_for_is_written_at_once(
    pipe: Pipe, lines: LogQueue
) -> None:
    """In order with prints, and there when the process crashes in the next moment."""
    for number in range(5):
        log(1, f"ours {number}")
        os.write(pipe.writer, f"print {number}\n".encode())

    told = [line.removeprefix("line=0 ") for line in pipe.read().splitlines()]
    assert told == [f"{who} {n}" for n in range(5) for who in ("ours", "print")]
    assert lines._accepted == 0
