"""Which stacks of a log are those of a restart, and what is shown of them."""

from __future__ import annotations

from typing import Any

import pytest

from swarm_event_listener.story.evidence import of_restart, why_none
from swarm_event_listener.story.stack_dumps import Dump, found
from swarm_event_listener.story.stacks import render
from tests.operators import record

AT = "2026-11-24T09:00:00.100000+00:00"  # the record's rule was broken at 09:00:00
BEFORE = "20261124T085959.900000"  # the reporter's last turn


def dump(
    *, pid: int | None = 7, after: str = BEFORE, where: str = "bill", first: int = 1
) -> str:
    """Return a dump as faulthandler writes it."""
    signed = f"reporter_of_pid_{pid}_at_{after}Z" if pid else "_turn"
    return (
        f"Thread {first:#018x} (most recent call first):\n"
        f'  File "/swarm_worker/reporting/reporter.py", line 9 in {signed}\n'
        "\n"
        f"Current thread {first + 1:#018x} (most recent call first):\n"
        f'  File "orders.py", line 3 in {where}\n'
    )


def signature(pid: int = 7, at: str = AT) -> str:
    """Return the line behind it."""
    return f"swarm_stacks pid={pid} at={at} threads=0x1=swarm-reporter,0x2=MainThread\n"


def of(log: str, **fields: Any) -> Dump | None:
    """Return the stacks of a restart in a log."""
    return of_restart(record(**fields), found(log))


def is_shown(log: str, **fields: Any) -> bool:
    """Whether a log has stacks of a restart."""
    return of(log, **fields) is not None


# --- of this restart, or none ---------------------------------------------------------


def test_stacks_of_the_process_and_the_time_are_those_of_the_restart() -> None:
    """With moment and names, whatever the status."""
    for status in (-1, 1, 2, 3, 4):
        found_one = of(dump() + signature(), status=status)
        assert found_one is not None
        assert (found_one.pid, found_one.at and found_one.at.isoformat()) == (7, AT)
        assert [t.name for t in found_one.threads] == ["swarm-reporter", "MainThread"]


@pytest.mark.parametrize(
    "log",
    [
        dump(pid=8) + signature(8),
        dump() + signature(at="2026-11-24T08:55:00+00:00"),
        dump() + signature(at="2026-11-24T09:00:07+00:00"),
        dump(pid=None),
        dump(after="20261124T085800.0"),
        dump(after="20261124T090007.0"),
        dump() + signature(at="2026-11-24T09:00:00"),
        dump() + signature(at="noon"),
        dump(after="20261399T990000.0"),
        dump(after="9" * 8 + "T000000.0"),
        dump().replace("pid_7_", f"pid_{'7' * 5000}_"),
        "",
    ],
    ids=[
        "another process",
        "minutes older",
        "after the stop: a pid came again",
        "an older version",
        "without a moment, of a reporter that ran long ago",
        "without a moment, of a later process",
        "no zone",
        "no moment",
        "no such day",
        "no such year",
        "no such pid",
        "nothing",
    ],
)
def test_stacks_of_another_process_or_time_are_not_shown(log: str) -> None:
    """Rather none than wrong ones."""
    assert not is_shown(log, status=3)


@pytest.mark.parametrize(
    "fields", [{"pid": None}, {"dry_run": True}, {"detected_at": None}]
)
def test_a_restart_that_stopped_nobody_has_no_stacks(fields: dict[str, Any]) -> None:
    """Nobody was asked for them."""
    assert not is_shown(dump() + signature(), **fields)


def test_stacks_without_a_moment_count_where_python_never_ran_again() -> None:
    """A process whose GIL is held in C writes no signature until it is killed."""
    hung_since = dump(after="20261124T084500.0")

    assert is_shown(dump())
    assert is_shown(hung_since, status=-1)
    assert not is_shown(hung_since, status=2)
    assert is_shown(dump() + signature(8), status=-1)  # its successor's
    assert not is_shown(
        dump() + dump(where="later") + signature(at="2026-11-24T09:30:00+00:00"),
        status=-1,
    )


def test_the_first_with_a_moment_is_taken() -> None:
    """Later ones show how the process ends, as its deadline does."""
    later = signature(at="2026-11-24T09:00:03+00:00")
    log = dump() + signature() + dump(where="stop") + later + dump(where="deadline")

    found_one = of(log)
    assert found_one is not None
    assert "in bill" in found_one.text


def test_a_restart_whose_stop_has_no_end_takes_what_came_soon_after() -> None:
    """The listener may have ended."""
    log = dump() + signature(at="2026-11-24T09:03:00+00:00")

    assert is_shown(log, stopped_at=None)
    assert not is_shown(log, stopped_at=None, detected_at="2026-11-24T08:00:00+00:00")


def test_stacks_that_name_no_process_belong_to_the_signature_behind_them() -> None:
    """faulthandler writes a hundred threads; the reporter is the oldest but one."""
    assert is_shown(dump(pid=None) + signature())
    assert not is_shown(dump(pid=None) + signature(8))


def test_that_there_are_none_is_said_where_they_were_asked_for() -> None:
    """With what the log has instead."""
    assert why_none(record(), ()) == "no stacks of pid 7 from then in its log"
    old = why_none(record(), found(dump(pid=None)))
    assert old is not None
    assert "(an older version wrote them)" in old
    for fields in ({"pid": None}, {"status": None}, {"dry_run": True}):
        assert why_none(record(**fields), ()) is None


# --- as they stand in a log -----------------------------------------------------------


def test_lines_of_other_threads_within_a_dump_are_left_out() -> None:
    """A node that works logs while it writes its stacks."""
    lines = dump().splitlines()
    lines[2:2] = ["2026 INFO one", "2026 INFO two"]
    lines[-1:-1] = ["2026 INFO three"]
    (one,) = found("\n".join([*lines, signature()]))

    assert one.at is not None
    assert [len(thread.frames) for thread in one.threads] == [1, 1]
    assert "INFO" not in one.text


def test_many_lines_between_end_a_dump() -> None:
    """Two processes' stacks are never one."""
    other = dump(pid=8, first=5)
    log = dump() + "2026 INFO x\n" * 4 + other

    assert [one.pid for one in found(log)] == [7, 8]


def test_a_process_that_hangs_like_the_one_before_it_has_its_own_stacks() -> None:
    """The main thread ends a dump; between both is hardly a line."""
    log = f"{dump()}2026 INFO node_started\n{dump(pid=8, first=5)}"

    assert [one.pid for one in found(log)] == [7, 8]
    assert [len(one.threads) for one in found(log)] == [2, 2]


def test_what_was_allocated_belongs_to_the_stacks_of_its_process() -> None:
    """Until a line that is not indented."""
    text = (
        "2026 INFO other\n"
        "swarm_allocations pid=7 at=x\n  3.0 MB in 2 blocks at a.py:1\n"
        "  1.0 MB in 9 blocks at b.py:2\n2026 INFO y\n  no allocation\n"
    )
    (one,) = found(dump() + signature() + text)

    assert one.allocations == (
        "3.0 MB in 2 blocks at a.py:1",
        "1.0 MB in 9 blocks at b.py:2",
    )
    (none,) = found(dump(pid=8) + signature(8) + text)
    assert none.allocations == ()
    assert one.as_json()["allocations"] == list(one.allocations)
    assert one.as_json()["threads"][1] == {
        "id": "0x2",
        "name": "MainThread",
        "frames": [{"file": "orders.py", "line": 3, "function": "bill"}],
    }


def test_what_is_shown_has_no_blank_end() -> None:
    """Threads, how many are idle, and the memory, with a line between."""
    memory = "swarm_allocations pid=7 at=x\n  3.0 MB in 2 blocks at a.py:1\n"
    idle = "Thread 0x03 (most recent call first):\n" + stack(WAIT).partition("\n")[2]
    (one,) = found(f"{dump()}\n{idle}\n{signature()}{memory}")

    assert render(one) == [
        "thread swarm-reporter:",
        f"  /swarm_worker/reporting/reporter.py:9 in reporter_of_pid_7_at_{BEFORE}Z",
        "",
        "thread MainThread:",
        "  orders.py:3 in bill",
        "",
        "1 idle thread",
        "",
        "memory, by where it was allocated:",
        "  3.0 MB in 2 blocks at a.py:1",
    ]
    (short,) = found(stack(("orders.py", "bill")))
    assert render(short)[-1] == "  orders.py:1 in bill"


# --- as they are shown ----------------------------------------------------------------

LIB = "/usr/lib/python3.11"


def stack(*frames: tuple[str, str]) -> str:
    """Return the dump of one thread, whose innermost frame comes first."""
    lines = [f'  File "{file}", line 1 in {function}' for file, function in frames]
    return "\n".join(["Thread 0x09 (most recent call first):", *lines])


THREADING = (
    (f"{LIB}/threading.py", "run"),
    (f"{LIB}/threading.py", "_bootstrap_inner"),
    (f"{LIB}/threading.py", "_bootstrap"),
)
WAIT = (f"{LIB}/threading.py", "wait")
OURS = "/site-packages/swarm_worker"


@pytest.mark.parametrize(
    "frames",
    [
        [(f"{LIB}/queue.py", "get"), *THREADING],
        [WAIT, WAIT, (f"{OURS}/reporting/reporter.py", "_turn"), *THREADING],
        [(f"{OURS}/processing/handlers.py", "swarm-handler-3"), *THREADING],
        [(f"{LIB}/logging/handlers.py", "dequeue"), *THREADING],
        [(f"{LIB}/concurrent/futures/thread.py", "_worker"), *THREADING],
        [
            (f"{OURS}/process/signals.py", "wait"),
            (f"{OURS}/node/node.py", "_work"),
            ("/venv/bin/swarm-worker", "<module>"),
        ],
    ],
)
def test_threads_that_wait_for_work_are_counted(frames: list[tuple[str, str]]) -> None:
    """Their stacks say nothing."""
    (one,) = found(stack(*frames))

    assert render(one) == ["1 idle thread"]


@pytest.mark.parametrize(
    "frames",
    [
        [WAIT, ("/app/orders.py", "bill"), *THREADING],
        [WAIT, ("/app/threading.py", "wait"), *THREADING],
        [("/app/queue.py", "get"), *THREADING],
        [(f"{OURS}/kafka/poll_loop.py", "_poll"), *THREADING],
        [(f"{OURS}/processing/handlers.py", "call"), *THREADING],
        [(f"{LIB}/threading.py", "acquire"), *THREADING],
        [(f"{LIB}/socket.py", "recv_into"), *THREADING],
    ],
)
def test_threads_that_do_something_are_shown(frames: list[tuple[str, str]]) -> None:
    """Also those that wait in an app's code: there it may hang."""
    (one,) = found(stack(*frames))
    lines = render(one)

    assert lines[0] == "thread 0x9:"
    assert lines[1] == f"  {frames[0][0]}:1 in {frames[0][1]}"
    assert not [line for line in lines[2:] if "_bootstrap" in line]
    assert "idle" not in " ".join(lines)


def test_a_thread_without_frames_is_shown() -> None:
    """It runs C code, whatever that does."""
    (one,) = found("Thread 0x09 (most recent call first):\n  <no Python frame>")

    assert render(one)[0] == "thread 0x9:"


@pytest.mark.parametrize(
    ("frames", "title"),
    [
        (
            [("/app/x.py", "f"), ("x.py", "swarm-handler-3"), *THREADING],
            "swarm-handler-3",
        ),
        ([("/app/x.py", "f"), ("main.py", "<module>")], "MainThread"),
        ([("/app/x.py", "f"), *THREADING], "0x9"),
    ],
)
def test_a_thread_has_a_name_although_python_hangs(
    frames: list[tuple[str, str]], title: str
) -> None:
    """By the first frame of a node's own; others have their number."""
    (one,) = found(stack(*frames))

    assert render(one)[0] == f"thread {title}:"
