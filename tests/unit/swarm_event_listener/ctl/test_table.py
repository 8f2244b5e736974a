"""What an operator reads: rows, table, stories and stacks, from plain data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from swarm_event_listener.core.model.rules import LONE
from swarm_event_listener.ctl.arguments import since
from swarm_event_listener.ctl.known.names import choose
from swarm_event_listener.ctl.known.node_rows import Row, is_unknown, is_well, rows
from swarm_event_listener.ctl.known.records import recent
from swarm_event_listener.ctl.sources.state import ListenerStatus
from swarm_event_listener.ctl.view.table import render
from swarm_event_listener.ctl.view.why import why
from swarm_event_listener.story.durations import duration
from swarm_event_listener.story.stack_dumps import Dump, dumps
from swarm_event_listener.story.story import Told, history
from tests.operators import listener_status, node_status, process, record

# --- rows -----------------------------------------------------------------------------


def test_a_row_has_what_both_say_and_the_records_count() -> None:
    """supervisord's state, the listener's figures, restarts and the last status."""
    dry = record(dry_run=True, status=3)
    other = record(node="w:w_01")

    (row,) = rows([process()], listener_status(node_status()), [record(), other, dry])

    assert (row.state, row.health, row.pid, row.uptime_s) == (
        "RUNNING",
        "healthy",
        7,
        75,
    )
    assert (row.poll_age_ms, row.lag, row.partitions) == (120, 42, 3)
    assert (row.restarts, row.last_status) == (1, 2)


@pytest.mark.parametrize(
    ("said", "health"),
    [
        (None, "unknown"),
        (listener_status(node_status(), age_s=11.0), "unknown"),
        (listener_status(node_status(), age_s=None), "unknown"),
        (listener_status(), "unknown"),
        (listener_status(node_status()), "healthy"),
    ],
)
def test_what_is_old_or_missing_is_unknown(
    said: ListenerStatus | None, health: str
) -> None:
    """A node is never called healthy by a listener that no longer looks."""
    shown = rows([process()], said, [])

    assert shown[0].health == health
    assert is_unknown(shown) is (health == "unknown")
    assert is_well(shown) is (health == "healthy")


@pytest.mark.parametrize(
    ("state", "pid", "fields", "health"),
    [
        ("RUNNING", 8, {}, "booting"),
        ("STOPPED", None, {}, "stopped by operator"),
        ("FATAL", None, {}, "unhealthy"),
        ("STOPPED", None, {"restart": {}, "health": "waiting"}, "stopped by operator"),
        (
            "STOPPED",
            None,
            {"restart": {"phase": "down"}, "health": "waiting"},
            "waiting",
        ),
    ],
)
def test_supervisord_is_the_first_to_know_of_a_change(
    state: str, pid: int | None, fields: dict[str, Any], health: str
) -> None:
    """But what is under restart is not taken for an operator's stop."""
    (row,) = rows(
        [process(state=state, pid=pid)], listener_status(node_status(**fields)), []
    )

    assert row.health == health


def test_a_node_that_backs_off_is_told_with_its_next_try() -> None:
    """At 3 a.m. one wants to know how long to wait."""
    restart = {"phase": "down", "pause_s": 160.0, "phase_age_s": 39.5}
    node = node_status(
        state="STOPPED", pid=None, health="backing off", why="died", restart=restart
    )
    (row,) = rows([process(state="STOPPED", pid=None)], listener_status(node), [])

    assert row.why == "died; started again in 2m00"


def test_figures_of_a_former_process_are_not_shown() -> None:
    """Neither for its successor nor for none."""
    for now in (process(pid=8), process(state="STOPPED", pid=None)):
        (row,) = rows([now], listener_status(node_status(state=now.state, pid=7)), None)

        assert (row.poll_age_ms, row.memory_bytes, row.lag) == (None, None, None)
        assert row.restarts is None


def test_ages_of_a_silent_node_go_on() -> None:
    """It does not look as if it had polled a moment ago; one that reports does."""
    silent = listener_status(node_status(report_age_s=61.0), node_status(node="w:w_01"))
    shown = rows([process(), process("w:w_01")], silent, [])

    assert [row.poll_age_ms for row in shown] == [61_120, 120]
    assert shown[0].consume_age_ms is None


def test_what_a_stale_listener_does_not_say_is_said_once() -> None:
    """Above all, and not below each of forty nodes; a missing node is told of."""
    (stale,) = rows([process()], listener_status(node_status(), age_s=11.0), [])
    (missing,) = rows([process()], listener_status(), [])

    assert stale.why == ""
    assert missing.why == "the listener does not tell of it"


def test_nothing_is_not_well() -> None:
    """A monitoring check that finds no node must not be content."""
    assert not is_well(())
    assert is_unknown(())


# --- the table ------------------------------------------------------------------------


def shown(*nodes: dict[str, Any]) -> tuple[Row, ...]:
    """Return rows of several nodes."""
    processes = [process(node["node"], node["state"], node["pid"]) for node in nodes]
    return rows(processes, listener_status(*nodes), [record()])


def test_a_healthy_swarm_fits_eighty_columns() -> None:
    """One line for each node under one for the group."""
    nodes = [
        node_status(node=f"w:w_{number:02d}", pid=12345 + number) for number in range(3)
    ]
    lines = render(shown(*nodes), width=80).splitlines()

    assert lines[0] == "w: 3 healthy"
    assert lines[1].split()[:3] == ["NODE", "STATE", "HEALTH"]
    assert lines[2].split() == [
        *("w_00", "RUNNING", "healthy", "12345", "1m15", "0.1s", "-", "300/1024", "3"),
        *("42", "12", "1", "(2)"),
    ]
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (100, "NODE STATE HEALTH PID UP POLL BATCH MB PART LAG MSG/S RESTARTS"),
        (78, "NODE STATE HEALTH PID UP POLL MB PART LAG MSG/S RESTARTS"),
        (70, "NODE HEALTH PID UP POLL MB PART LAG MSG/S RESTARTS"),
        (65, "NODE HEALTH PID UP POLL MB PART LAG RESTARTS"),
        (60, "NODE HEALTH PID UP POLL MB LAG RESTARTS"),
    ],
)
def test_a_narrow_terminal_has_fewer_columns(width: int, titles: str) -> None:
    """Those without a figure go first, then what can be spared best."""
    lines = render(
        shown(node_status(node="w:swarm_worker_00")), width=width
    ).splitlines()

    assert lines[1].split() == titles.split()
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)


def test_a_node_that_an_operator_stopped_still_fits() -> None:
    """The longest word there is, in eighty columns, with names as shipped."""
    well = node_status(node="w:swarm_worker_00", pid=23456, memory_limit_bytes=2**31)
    down = node_status(node="w:swarm_worker_01", state="STOPPED", pid=None)
    lines = render(
        shown(well, {**down, "health": "stopped by operator"}), width=80
    ).splitlines()

    assert [line.split()[0] for line in lines[1:]] == [
        *("NODE", "swarm_worker_00", "swarm_worker_01")
    ]
    assert max(map(len, lines)) <= 80


def test_long_names_take_two_lines_and_still_fit() -> None:
    """Nothing is cut off."""
    name = "swarm_worker:swarm_worker_of_the_invoices_of_last_year_00"
    text = render(
        shown(
            node_status(node=name, health="unhealthy", why="polling_ttl: " + "x " * 60)
        ),
        width=80,
    )

    assert "swarm_worker_of_the_invoices_of_last_year_00  RUNNING  unhealthy" in text
    assert "msg/s 12" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def lagging(**figures: int) -> dict[str, Any]:
    """Return a node that reported these figures two seconds ago."""
    report = {**node_status()["report"], **figures}
    return node_status(report=report, report_age_s=2.0)


def test_what_keeps_a_node_from_messages_is_told_below_it() -> None:
    """In status and why; a node that is well has none of it."""
    ill = lagging(lso_behind_ms=91_000, throttled_ms=1_200, lag_age_ms=70_000)
    well = lagging(lag_age_ms=3_100)
    (row,), (other,) = shown(ill), shown(well)
    told = "\n".join(row.notes)
    assert "behind its end for 1m31" in told
    assert "held an answer back for 1.2s (quota)" in told
    assert "its lag is as of 1m12 ago" in told
    assert other.notes == []

    for text in (render([row], width=200), why(row, [], width=200)):
        assert all(note in text for note in row.notes)
    assert row.as_json()["lag_age_ms"] == 72_000
    assert other.as_json()["lag_age_ms"] == 5_100
    assert shown(node_status())[0].lag_age_ms is None


def test_what_is_wrong_is_told_below_the_node() -> None:
    """With the messages in flight, and a hold."""
    text = render(
        shown(
            node_status(health="unhealthy", why="polling_ttl: 9.0 s > 5.0 s"),
            node_status(node="w:w_01", health="stopping", held=True),
        ),
        width=80,
    )
    lines = text.splitlines()

    assert lines[3] == "  polling_ttl: 9.0 s > 5.0 s"
    assert lines[4] == "  in flight: orders/3@7"
    assert lines[5].startswith("w_01")
    assert "  held: the rules are off for it" in lines


def test_the_last_restart_is_told_by_its_status_or_cause() -> None:
    """A death is no rule's doing; a roll is no trouble at all, and is not counted."""
    records = [record(), *(record(status=None, cause=c) for c in ("died", "roll"))]
    (row,) = rows([process()], listener_status(node_status()), records)

    assert render([row], width=100).endswith(" 2 (died)")


def test_groups_are_apart() -> None:
    """Each with its own count."""
    text = render(
        shown(node_status(), node_status(node="v:v_00", health="quiet")), width=80
    )

    assert text.startswith("v: 1 quiet\n")
    assert "\n\nw: 1 healthy\n" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (10, "10s"),
        (59.9, "59s"),
        (60, "1m00"),
        (3_599, "59m59"),
        (3_600, "1h00"),
        (86_399, "23h59"),
        (86_400, "1d"),
    ],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    """At most five characters."""
    assert duration(seconds) == text


# --- stories --------------------------------------------------------------------------


def test_a_story_tells_rule_figures_steps_and_end() -> None:
    """What was wrong, what was in flight, how long each step took, how it ended."""
    (row,) = shown(node_status())
    dump = Dump(
        text='Thread 0x1 (most recent call first):\n  File "x.py", line 3 in bill',
        pid=7,
        at=datetime(2026, 11, 24, 9, tzinfo=UTC),
    )
    text = why(row, [Told(record=record(), dump=dump)], width=80)

    assert text.startswith("w:w_00: RUNNING, healthy, pid 7, up 1m15\n\n")
    for words in (
        "status 2: a batch took too long",
        "  consuming_ttl: 9.0 s > 5.0 s",
        "  in flight: orders/3@7",
        "  memory: 812 MB",
        "  pid 7 KILLed after 4.0s",
        "  down for 5.0s",
        "  started as pid 8",
        "  polled again 2.5s later; 11s in all",
        "\n  its stacks, written 11-24 ",
        ":\n    thread 0x1:\n      x.py:3 in bill",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"recovered_at": None}, "was not back at work"),
        ({"killed": False}, "stopped within 4.0s"),
        ({"dry_run": True}, "was left alone"),
        ({"suspect": "orders/3@7"}, "suspect: orders/3@7"),
        ({"status": None, "cause": "fatal"}, "supervisord had given it up"),
        ({"status": None, "cause": "exited"}, "it died too often"),
        ({"status": -1}, "status -1: it did not report"),
        ({"status": 99}, "status 99: a rule was broken"),
        (
            {"status": 4, "reason": f"stability_ttl: {LONE} 41.0 s"},
            "status 4: it alone had no broker",
        ),
        (
            {
                "status": None,
                "cause": "exited",
                "reason": "exit 78: tried again every 9 s",
            },
            "it could not work, and was tried again",
        ),
        ({"status": None, "cause": "new"}, "new"),
        (
            {"recovered_at": None, "started_at": None, "new_pid": None},
            "was not started: an operator held it",
        ),
    ],
)
def test_each_kind_of_restart_has_its_words(fields: dict[str, Any], words: str) -> None:
    """Also those that did not end well, or that a later version knows."""
    (row,) = shown(node_status())

    assert words in why(row, [Told(record=record(**fields))], width=80)


def test_a_node_without_restarts_says_so() -> None:
    """And how it is."""
    (row,) = shown(node_status())

    assert "no restarts on record" in why(row, [], width=80)


def test_the_history_is_a_table_with_reasons() -> None:
    """Two lines for each restart."""
    killed, dry = record(), record(dry_run=True)
    lines = history([killed, dry], width=80).splitlines()

    titles = lines[0].split()
    assert titles[:2] == ["NODE", "WHEN"]
    assert titles[3:] == ["STATUS", "STOP", "TOTAL", "OUTCOME"]
    assert lines[1].endswith("KILLed, recovered")
    assert lines[2] == "  consuming_ttl: 9.0 s > 5.0 s"
    assert lines[3].endswith("dry run")
    unstarted = record(
        killed=False, started_at=None, recovered_at=None, status=None, cause="roll"
    )
    line = history([unstarted], width=80).splitlines()[1]
    assert line.endswith(" not started")
    assert " roll " in line
    assert history([], width=80) == "no restarts on record"


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a zone that has summer time."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_moments_are_told_with_their_zone() -> None:
    """Of a table all in one, that of its last; else each with its own."""
    summer = record(detected_at="2026-07-01T09:00:00.000+00:00")
    winter = record(detected_at="2026-11-24T09:00:00.000+00:00")
    (row,) = shown(node_status())

    lines = history([summer, winter], width=80).splitlines()
    assert "WHEN (+0100)" in lines[0]
    assert " 07-01 10:00:00 " in lines[1]
    assert " 11-24 10:00:00 " in lines[3]
    told = why(row, [Told(record=summer), Told(record=winter)], width=80)
    assert "07-01 11:00:00+0200  " in told
    assert "11-24 10:00:00+0100  " in told
    assert " once " in history([record(detected_at="once")], width=80)


def test_the_history_fits_eighty_columns() -> None:
    """With the names that the shipped configuration gives."""
    node = "swarm_worker:swarm_worker_00"
    lines = history([record(node=node, status=-1)], width=80).splitlines()

    assert max(map(len, lines)) <= 80


def test_history_looks_back_as_far_as_asked() -> None:
    """By the moment of detection; a record that has none is left out."""
    now = datetime(2026, 11, 24, 10, tzinfo=UTC)
    old = record(detected_at="2026-11-24T08:59:59+00:00")
    odd = record(detected_at=None)
    new = record()

    assert recent([old, odd, new], now=now, back=timedelta(hours=1)) == (new,)
    assert recent([old, odd, new], now=now, back=None) == (old, odd, new)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("30min", 1800),
        ("1.5h", 5400),
        (" 2d ", 172_800),
        ("500ms", 0.5),
    ],
)
def test_looking_back_is_a_duration(text: str, seconds: float) -> None:
    """As people write it."""
    assert since(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1 week", "1h30m", f"{10**10}d"])
def test_looking_back_by_anything_else_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(ValueError, match="such as 90s"):
        since(text)


# --- stacks ---------------------------------------------------------------------------

DUMP = """\
Thread 0x01 (most recent call first):
  File "a.py", line 1 in handle
  File "b.py", line 2 in run

Current thread 0x02 (most recent call first):
  File "c.py", line 3 in <module>"""


def test_stacks_are_found_between_lines_of_a_log() -> None:
    """Whole dumps, in order, without the log's own lines."""
    second = DUMP.replace("handle", "other")
    log = f"2026 INFO x\n{DUMP}\n2026 INFO y\n  not of a dump\n{second}\n"

    assert dumps(log) == (DUMP, second)


def test_dumps_without_a_line_between_are_two() -> None:
    """A thread that comes again begins another dump."""
    assert dumps(f"{DUMP}\n{DUMP}\n") == (DUMP, DUMP)


def test_a_log_without_stacks_has_none() -> None:
    """Whatever it says of threads."""
    assert dumps("") == ()
    assert dumps("Thread pool started\n  File x\nCurrent thread count 3\n") == ()


def test_a_process_that_died_of_a_signal_in_c_is_a_dump_too() -> None:
    """Threads alone, none of them current, when the GIL is held in C."""
    held = "Thread 0x01 (most recent call first):\n  <no Python frame>"

    assert dumps(f"x\n{held}\n") == (held,)


# --- names ----------------------------------------------------------------------------

EVERYONE = [
    process("w:w_00"),
    process("w:w_01"),
    process("solo:solo"),
    process("swarm:listener"),
]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["w:w_00", "w:w_01", "solo:solo"]),
        (["all"], ["w:w_00", "w:w_01", "solo:solo"]),
        (["w:*"], ["w:w_00", "w:w_01"]),
        (["w"], ["w:w_00", "w:w_01"]),
        (["w:"], ["w:w_00", "w:w_01"]),
        (["w:w_01", "w:w_01"], ["w:w_01"]),
        (["solo"], ["solo:solo"]),
        (["w:w_01", "w:*"], ["w:w_00", "w:w_01"]),
        (["w_01"], ["w:w_01"]),
    ],
)
def test_names_are_taken_as_supervisorctl_and_the_table_have_them(
    names: list[str], chosen: list[str]
) -> None:
    """Each node once, whatever names it."""
    found = choose(names, EVERYONE, ("w", "solo"))

    assert [node.name for node in found.processes] == chosen
    assert found.complaints == ()


@pytest.mark.parametrize("name", ["node_00", "v"])
def test_a_name_in_several_groups_is_refused(name: str) -> None:
    """What is done to nodes is done to those that were meant."""
    everyone = [process("v:node_00"), process("v:node_01"), process("w:node_00")]
    found = choose([name, "w:*"], [*everyone, process("w:v")], ("v", "w"))

    assert [node.name for node in found.processes] == ["w:node_00", "w:v"]
    assert found.complaints == (
        f"{name}: ERROR (of several groups; name one, such as v:node_00)",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("w:w_0", "no such process; did you mean 'w:w_0"),
        ("x", "no such group"),
        ("w_0", "no such group or node; did you mean 'w_0"),
        ("listener", "not watched"),
        ("swarm:listener", "not watched"),
        ("swarm:*", "not watched"),
    ],
)
def test_other_names_are_refused_one_by_one(name: str, words: str) -> None:
    """No other program of the same supervisord is ever chosen."""
    found = choose([name, "w:w_00"], EVERYONE, ("w",))

    assert [node.name for node in found.processes] == ["w:w_00"]
    assert len(found.complaints) == 1
    assert found.complaints[0].startswith(f"{name}: ERROR (")
    assert words in found.complaints[0]


@pytest.mark.parametrize("name", ["1", "zzz", "host-7"])
def test_a_name_that_is_like_none_is_answered_with_those_there_are(name: str) -> None:
    """A number is no name; of hundreds of names a few show how they are written."""
    many = [process(f"w:w_{number:02d}") for number in range(10)]

    (few_said,) = choose([name], many[:2], ("w",)).complaints
    (many_said,) = choose([name], many, ("w",)).complaints

    assert few_said.endswith("; there are w:w_00, w:w_01)")
    assert many_said.endswith("w:w_06, w:w_07, 2 more)")
    assert choose([name], [], ("w",)).complaints == (
        f"{name}: ERROR (no such group or node)",
    )


def test_ages_are_as_reported_while_reports_may_still_come() -> None:
    """Half of node_report_timeout is longer than two reports are apart."""

    def poll_age_ms(**fields: float | None) -> int | None:
        return rows([process()], listener_status(node_status(**fields)), ())[
            0
        ].poll_age_ms

    assert poll_age_ms(report_age_s=50.0, report_timeout_s=100.0) == 120
    assert poll_age_ms(report_age_s=50.1, report_timeout_s=100.0) == 50_220
    assert poll_age_ms(report_age_s=2.0, report_timeout_s=3.0) == 2_120
    assert poll_age_ms(report_age_s=30.0, report_timeout_s=None) == 120
    assert poll_age_ms(report_age_s=31.0, report_timeout_s=None) == 31_120


def test_a_loop_of_the_users_own_shows_no_partitions() -> None:
    """It tells nothing of them; none held is another thing."""

    def partitions(**report: int | None) -> int | None:
        return rows([process()], listener_status(node_status(report=report)), ())[
            0
        ].partitions

    assert partitions(assigned=0, brokers_up=None) is None
    assert partitions(assigned=0, brokers_up=1) == 0
    assert partitions(assigned=3, brokers_up=None) == 3


def failing(count: int) -> dict[str, Any]:
    """Return a node as told of, with so many messages that fail."""
    messages = [
        {"at": f"t/{n}@7", "error": "E('x')", "attempts": 8, "for_ms": 180_000}
        for n in range(count)
    ]
    told = node_status(
        health="failing", why="t/0@7 fails: E('x'), 8 attempts, for 3 min"
    )
    told["report"] |= {"failing": messages[:3], "failing_count": count}
    return told


@pytest.mark.parametrize(
    ("count", "rest"),
    [
        (1, []),
        (2, ["t/1@7 fails: E('x'), 8 attempts, for 3 min"]),
        (4, ["t/1@7 fails", "t/2@7 fails", "and 1 partition more"]),
    ],
)
def test_each_message_that_fails_has_a_line(count: int, rest: list[str]) -> None:
    """Under its node, in the table and in the story; the first one once."""
    (row,) = rows([process()], listener_status(failing(count)), [])

    for text in (render([row], width=100), why(row, [], width=100)):
        lines = [line.strip() for line in text.splitlines()]
        first = lines.index("t/0@7 fails: E('x'), 8 attempts, for 3 min")
        assert text.count("t/0@7") == 1
        for line, start in zip(lines[first + 1 :], rest, strict=False):
            assert line.startswith(start)
        assert text.count(" fails") == min(count, 3)

    assert [each["at"] for each in row.as_json()["failing"]] == [
        f"t/{n}@7" for n in range(min(count, 3))
    ]
    assert row.as_json()["failing_count"] == count


def test_what_fails_is_shown_of_a_node_that_is_not_well_either() -> None:
    """Its reason is another one, and all of the messages have a line."""
    told = failing(2) | {"health": "unhealthy", "why": "polling_ttl: 9.0 s > 5.0 s"}
    (row,) = rows([process()], listener_status(told), [])

    assert render([row], width=100).count(" fails: ") == 2
