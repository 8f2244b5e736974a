"""How a process ended is taken from supervisord's log, or is not known."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from swarm_event_listener.supervisord.exit_log import End, end_of

AT = datetime(2026, 11, 24, 9, 3, 0)  # noqa: DTZ001 - as supervisord's log has it
KILLED = End(None, "SIGKILL")


def line(text: str, *, at: datetime = AT, level: str = "WARN") -> str:
    """Return a line of supervisord's log."""
    return f"{at:%Y-%m-%d %H:%M:%S},123 {level} {text}\n"


def spawned(pid: int, *, name: str = "w_00", at: datetime = AT) -> str:
    """Return the line of a start."""
    return line(f"spawned: '{name}' with pid {pid}", at=at, level="INFO")


def ended(
    how: str = "terminated by SIGKILL; not expected",
    *,
    verb: str = "exited",
    name: str = "w_00",
    at: datetime = AT,
) -> str:
    """Return the line of an end."""
    return line(f"{verb}: {name} ({how})", at=at)


def read(
    log: str, *, pid: int | None = 7, name: str = "w_00", at: datetime | None = AT
) -> End | None:
    """Return how the process ended."""
    return end_of(log, name=name, pid=pid, at=at)


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("terminated by SIGKILL; not expected", KILLED),
        ("terminated by SIGSEGV (core dumped); not expected", End(None, "SIGSEGV")),
        ("terminated by SIGRTMIN+1; not expected", End(None, "SIGRTMIN+1")),
        ("terminated by signal 35; not expected", End(None, "signal 35")),
        ("exit status 9; not expected", End(9, None)),
        ("exit status 78; expected", End(78, None)),
        ("unknown termination cause 0x007f; not expected", None),
    ],
)
def test_supervisords_words_are_read(how: str, end: End | None) -> None:
    """Signals, with and without a core, and exit codes, expected or not."""
    assert read(spawned(7) + ended(how)) == end
    assert read(ended(how)) == end


@pytest.mark.parametrize("log", ["", "junk\n", "\x00\ufffd" * 9, ended()[30:]])
def test_a_log_that_tells_nothing_tells_nothing(log: str) -> None:
    """It is NONE, or syslog, or rotated, or cut, or something else."""
    assert read(log) is None


def test_an_end_is_that_of_the_last_start_of_its_name() -> None:
    """A node that dies again and again has several in the same seconds."""
    log = spawned(6) + ended("exit status 1; not expected") + spawned(7) + ended()

    assert read(log, pid=6) == End(1, None)
    assert read(log, pid=7) == KILLED
    assert read(log + spawned(8), pid=8) is None
    assert read(log, pid=5) is None  # whose end would stand before the start of 6


def test_a_process_from_before_the_text_had_the_first_end() -> None:
    """What comes after a start in the text is of another process."""
    first = ended("exit status 1; not expected")

    assert read(first + spawned(8) + ended(), pid=7) == End(1, None)
    assert read(spawned(8) + ended(), pid=7) is None


def test_a_log_without_starts_goes_by_the_time() -> None:
    """As with ``loglevel=warn``; of two ends in the same seconds neither is taken."""
    before = ended("exit status 1; not expected", at=AT - timedelta(minutes=3))

    assert read(before + ended()) == KILLED
    assert read(before + ended() + ended()) is None
    assert read(before + ended(), at=None) is None


def test_an_end_of_another_time_is_another_end() -> None:
    """The same name may have died an hour ago."""
    hour = timedelta(hours=1)

    assert read(ended(at=AT - hour)) is None
    assert read(ended(at=AT + hour)) is None
    assert read(ended(at=AT - timedelta(seconds=5))) == KILLED


def test_a_start_tells_more_than_the_time() -> None:
    """The listener may have a time zone of its own; a pid may come again."""
    hours = timedelta(hours=9)
    log = spawned(7, at=AT - hours) + ended(at=AT - hours)
    of_before = spawned(7) + ended("exit status 1; not expected")

    assert read(log) == KILLED
    assert read(of_before + log) == KILLED


def test_names_are_whole() -> None:
    """Neither a part of a name, nor what a pattern would make of it."""
    assert read(ended(name="w_001")) is None
    assert read(ended(name="aw_00")) is None
    assert read(ended(name="w_00"), name="w.00") is None
    assert read(ended(name="a (b) c"), name="a (b) c") == KILLED


def test_of_two_groups_with_one_name_neither_is_taken_for_the_other() -> None:
    """supervisord logs no group."""
    assert read(spawned(7) + spawned(8) + ended()) is None
    assert read(spawned(7) + spawned(8) + ended(), pid=8) is None


def test_what_an_earlier_supervisord_has_started_is_not_meant() -> None:
    """It was killed, or the machine stopped: of their ends the log has no word."""
    begun = line("supervisord started with pid 1", level="INFO")

    assert read(spawned(6) + begun + spawned(7) + ended()) == KILLED
    assert read(spawned(7) + begun + spawned(8) + ended(), pid=7) is None


def test_without_a_pid_only_one_end_can_be_meant() -> None:
    """A process that ended before supervisord had told its number."""
    assert read(spawned(7) + ended(), pid=None) == KILLED
    assert read(spawned(7) + ended() + spawned(8) + ended(), pid=None) is None


def test_a_stop_is_no_death() -> None:
    """An operator may have restarted a node while nobody listened."""
    log = ended("terminated by SIGTERM", verb="stopped") + spawned(8)

    assert read(log, at=None) is None
    assert read(ended(at=AT - timedelta(hours=1)) + spawned(8), at=None) == KILLED
    assert read(spawned(8), at=None) is None
