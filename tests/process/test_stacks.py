"""What a process writes when it is asked for its stacks, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from swarm_event_listener.story.stack_dumps import Dump, found
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

ASKED = """
import os, signal, threading
from swarm_worker.process import stacks

def turn(): turns.release(); threading.Event().wait()
turns = threading.Semaphore(0)
threads = {threads}
for number in range(threads):
    name = f"a name, = of {{number}} \\u00e9" + "x" * 99
    threading.Thread(target=stacks.signed(turn), name=name, daemon=True).start()
    turns.acquire()
kept = [bytes(3_000_000) for _ in range(2)]
{before}
stacks.write_when_asked()
{ask}
stacks.finish(9)
"""
ASK = "os.kill(os.getpid(), signal.SIGTTIN)"
ASIDE = "t = threading.Thread(target={}); t.start(); t.join()"


def written(
    *, ask: str = ASK, before: str = "", threads: int = 1, traced: bool = False
) -> tuple[str, tuple[Dump, ...], int]:
    """Return what such a process wrote, as read, and its pid."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", ASKED.format(ask=ask, before=before, threads=threads)],
        env={**environ, "PYTHONTRACEMALLOC": "1"} if traced else environ,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _, text = process.communicate(timeout=20)
        finally:
            process.kill()  # TTIN has stopped it where nobody has registered
    assert process.returncode == 0, text
    return text, found(text), process.pid


def test_stacks_say_whose_and_of_when_they_are() -> None:
    """In the dump itself, and behind it with the names of threads."""
    began_at = datetime.now(UTC)
    text, (dump,), pid = written()

    assert dump.pid == pid
    assert dump.after is not None
    assert dump.at is not None
    assert began_at <= dump.after <= dump.at <= datetime.now(UTC)
    assert "MainThread" in {thread.name for thread in dump.threads}
    (other,) = [thread for thread in dump.threads if thread.name != "MainThread"]
    assert other.name is not None
    assert other.name.startswith("a_name____of_0__x")
    assert len(other.name) == 40
    assert "swarm_allocations" not in text


def test_many_threads_leave_one_whole_line() -> None:
    """What is longer than a pipe takes at once could be torn by others' lines."""
    text, (dump,), pid = written(threads=150)

    (line,) = [line for line in text.splitlines() if line.startswith("swarm_stacks")]
    assert len(line) < 4096
    assert (dump.pid, dump.at is not None) == (pid, True)  # the dump alone has 100


def test_asked_twice_it_writes_twice() -> None:
    """The handler in C is there again after ours has run."""
    _, dumps, pid = written(ask=f"{ASK}\n{ASK}")

    assert [(dump.pid, dump.at is not None) for dump in dumps] == [(pid, True)] * 2


def test_registered_anew_it_still_writes() -> None:
    """As by a loop of one's own that is begun twice."""
    _, dumps, _ = written(before="stacks.write_when_asked()")

    assert [dump.at is not None for dump in dumps] == [True]


def test_a_loop_that_is_not_the_main_thread_writes_them_without_a_moment() -> None:
    """Only the main thread may have Python's handlers."""
    aside = f"{ASIDE.format('stacks.write_when_asked')}"
    _, dumps, pid = written(before=f"{aside}; stacks.write_when_asked = lambda: None")

    assert [(dump.pid, dump.at) for dump in dumps] == [(pid, None)]


def test_traced_memory_is_named_by_place() -> None:
    """The most first, ten at most."""
    _, (dump,), _ = written(traced=True)

    assert dump.allocations[0].startswith("5.7 MB in ")
    assert dump.allocations[0].endswith(" at <string>:12")
    assert 2 <= len(dump.allocations) <= 10


def test_too_many_blocks_are_not_looked_through() -> None:
    """It would take long, and as much memory again; that is said."""
    ask = f"stacks._TRACES_BYTES_MAX = 0\n{ASK}"
    _, (dump,), _ = written(ask=ask, traced=True)

    assert dump.allocations == ("too many blocks to look through",)
