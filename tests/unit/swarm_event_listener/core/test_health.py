"""One word for how a node is, decided in one place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.health import (
    Health,
    Word,
    down_for_good,
    health_of,
)
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import (
    ProcessInfo,
    ProcessState,
    Reported,
    StateChanged,
    Survey,
    Surveyed,
    Tick,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import Limits
from swarm_event_listener.core.node import LeftDown, Node, appeared
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.reports import reported
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.status import Counters, head_of, nodes_of
from swarm_worker.shared.report import Failing, ForeignReport, Report, State

NOW_S = 1000.0
POLICY = Policy(limits=Limits(polling_ttl_s=5.0), backoff=BackoffPolicy(gap_s=5.0))
REPORT = Report(node=0, pid=7, state=State.RUNNING, poll_age_ms=10)


def node(report: Report | ForeignReport | None = REPORT, **fields: object) -> Node:
    """Return a running node of pid 7 with a report."""
    made = appeared("w:w_00", ProcessState.RUNNING, 7, now_s=NOW_S)
    if report is not None:
        event = Reported(name=made.name, pid=7, report=report)
        made = reported(made, event, now_s=NOW_S)
    return replace(made, **fields)  # type: ignore[arg-type]


def health(of: Node, *others: Node, has_reported: bool = True) -> Health:
    """Return its health now; its group has reported, so that silence counts."""
    table = Table({"w": POLICY}, reporting_groups={"w"} if has_reported else ())
    for each in (*others, of):
        table.put(each)
    return health_of(of, table, now_s=NOW_S)


def restarting(phase: Phase, *, pause_s: float = 5.0) -> Node:
    """Return a node in a phase of its restart."""
    record = Record(
        node="w:w_00",
        pid=7,
        cause=Cause.RULE,
        status=1,
        reason="broken",
        detected_at_s=NOW_S,
        pause_s=pause_s,
    )
    return node(restart=Restart(record=record, phase=phase, since_s=NOW_S))


FAILING = replace(
    REPORT,
    failing=(
        Failing(at="t/4@7", error="E('x')", attempts=8, for_ms=180_000),
        Failing(at="t/5@1", error="E('y')", attempts=1, for_ms=0),
    ),
)
BOOTING = replace(REPORT, state=State.BOOTING)
BAD_POLL = replace(REPORT, poll_age_ms=9_000)


@pytest.mark.parametrize(
    ("of", "word"),
    [
        (node(), Word.HEALTHY),
        (node(ForeignReport(2)), Word.HEALTHY),
        (node(None), Word.BOOTING),
        (node(replace(REPORT, state=State.BOOTING)), Word.BOOTING),
        (node(replace(REPORT, poll_age_ms=None)), Word.BOOTING),
        (node(replace(REPORT, not_joined="refused")), Word.BOOTING),
        (node(replace(REPORT, brokers_up=0)), Word.BOOTING),
        (node(replace(REPORT, state=State.QUIET)), Word.QUIET),
        (node(replace(REPORT, state=State.STOPPING)), Word.STOPPING),
        (node(FAILING), Word.FAILING),
        (node(replace(FAILING, failing=FAILING.failing[1:])), Word.HEALTHY),
        (node(replace(FAILING, not_joined="refused")), Word.BOOTING),
        (node(replace(FAILING, state=State.QUIET)), Word.QUIET),
        (node(replace(FAILING, poll_age_ms=9_000)), Word.UNHEALTHY),
        (node(FAILING, is_held=True), Word.HELD),
        (node(BAD_POLL), Word.UNHEALTHY),
        (node(BAD_POLL, waiting_since_s=NOW_S), Word.WAITING),
        (node(BAD_POLL, is_held=True), Word.HELD),
        (node(is_held=True), Word.HELD),
        (node(seen_at_s=NOW_S - 61), Word.UNHEALTHY),
        (node(state=ProcessState.STOPPED, is_held=True), Word.STOPPED),
        (node(state=ProcessState.STOPPING), Word.STOPPING),
        (node(state=ProcessState.BACKOFF), Word.BACKING_OFF),
        (node(state=ProcessState.FATAL), Word.UNHEALTHY),
        (node(state=ProcessState.EXITED), Word.UNHEALTHY),
        (restarting(Phase.EVIDENCE), Word.STOPPING),
        (restarting(Phase.STOPPING), Word.STOPPING),
        (restarting(Phase.DOWN), Word.WAITING),
        (restarting(Phase.DOWN, pause_s=5.1), Word.BACKING_OFF),
        (restarting(Phase.STARTING), Word.BOOTING),
        (restarting(Phase.RECOVERING), Word.BOOTING),
    ],
)
def test_each_situation_has_its_word(of: Node, word: Word) -> None:
    """What the listener is doing comes first, then supervisord, then the report."""
    assert health(of).word is word


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (node(BAD_POLL), "polling_ttl: 9.0 s > 5.0 s"),
        (node(BAD_POLL, is_held=True), "polling_ttl"),
        (restarting(Phase.DOWN), "broken"),
        (node(None), "no report yet"),
        (node(FAILING), "t/4@7 fails: E('x'), 8 attempts, for 3 min"),
        (node(replace(BOOTING, brokers_up=0)), "no broker"),
        (node(replace(BOOTING, awaits_id=True, brokers_up=1)), "predecessor"),
        (node(replace(REPORT, not_joined="refused")), "refused"),
        (node(replace(REPORT, brokers_up=0)), "no broker answers"),
        (node(state=ProcessState.FATAL), "see its log"),
    ],
)
def test_the_next_question_is_answered(of: Node, words: str) -> None:
    """A word that is no explanation comes with one."""
    assert words in health(of).why


def other(*kafka_groups: str) -> list[Node]:
    """Return another node of the group, after each of two reports of one moment."""
    return [
        node(replace(REPORT, kafka_groups=(told,)), name="w:w_01")
        for told in kafka_groups
    ]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], "; excused, as the only node of its group that runs"),
        (other("aa-9000", "aa-9000"), "; excused, since none of its group has one"),
        (other("aa+5000", "aa+10"), ", while others of its group have one"),
    ],
)
def test_whether_a_node_without_a_broker_is_excused_is_said(
    others: list[Node], words: str
) -> None:
    """By what the other nodes of its group have told."""
    lost = replace(REPORT, brokers_up=0, no_broker_ms=7_000, no_broker="refused")

    told = health(node(replace(lost, kafka_groups=("aa-7000",))), *others)

    assert told == Health(Word.BOOTING, f"no broker answers for 7 s (refused){words}")


def test_silence_does_not_count_before_the_group_ever_reported() -> None:
    """A group that cannot report is not unhealthy for it: it is still booting."""
    silent = node(None, seen_at_s=NOW_S - 61)

    told = health(silent, has_reported=False)

    assert told == Health(Word.BOOTING, "no report yet")


def test_the_rate_is_that_between_two_reports() -> None:
    """By the reports' own clock; a restarted count leaves the last rate."""
    first = node(replace(REPORT, at_ms=10_000, messages=100))
    event = Reported(
        name=first.name,
        pid=7,
        report=replace(REPORT, at_ms=12_000, messages=400),
    )
    second = reported(first, event, now_s=NOW_S + 5)
    again = reported(second, event, now_s=NOW_S + 6)

    assert first.messages_per_s is None
    assert second.messages_per_s == 150.0
    assert again.messages_per_s == 150.0


def test_the_status_tells_health_and_limits() -> None:
    """As plain data: a word, its reason, the limit of the memory, the group."""
    limited = replace(POLICY, limits=replace(POLICY.limits, memory_limit_bytes=2**30))
    swarm = Swarm({"w": limited})
    swarm._table.put(node(BAD_POLL))

    head = head_of(swarm, Counters(), now_s=NOW_S, at="2026", pid=1)
    (told,) = nodes_of(swarm, now_s=NOW_S)

    assert json.dumps([head, told])
    assert (told["health"], told["known"]) == ("unhealthy", True)
    assert told["memory_limit_bytes"] == 2**30
    assert told["report_timeout_s"] == POLICY.limits.report_timeout_s
    assert head["groups"] == ["w"]


def left_down(exit_code: int | None, *, is_held: bool = False) -> Node:
    """Return a node that supervisord leaves down."""
    left = LeftDown(NOW_S, exit_code)
    made = node(state=ProcessState.EXITED, pid=None, left_down=left)
    return replace(made, is_held=is_held)


def test_a_node_that_is_tried_again_is_told_of_with_its_code() -> None:
    """An operator reads that he need not start it, and that it is no use to wait."""
    told = health(left_down(78))

    assert told.word is Word.UNHEALTHY
    assert "exited with 78" in told.why
    assert "tried again every 300 s" in told.why
    for other, how in (
        (left_down(5), "exited with 5"),
        (left_down(None), "exited"),
        (left_down(78, is_held=True), "exited with 78"),
    ):
        assert health(other).why == (
            f"it {how}, and supervisord leaves it down; see its log"
        )


def surveyed(**fields: Any) -> Health:
    """Return the health of a node that supervisord tells of, and nobody else has."""
    swarm = Swarm({"w": POLICY})
    info = ProcessInfo(name="w:w_00", pid=None, **fields)
    swarm.handle(Surveyed(processes=(info,)), now_s=NOW_S)
    return swarm.health(swarm.nodes["w:w_00"], now_s=NOW_S)


def test_a_process_that_was_never_started_is_no_operators_doing() -> None:
    """The word is for whatever is STOPPED, and golden; the reason tells which."""
    unstarted = surveyed(state=ProcessState.STOPPED, started_ago_s=None)
    stopped = surveyed(state=ProcessState.STOPPED, started_ago_s=9.0)

    assert unstarted.word is stopped.word is Word.STOPPED
    assert "it was never started (autostart=false)" in unstarted.why
    assert stopped.why == ""


def test_the_code_of_an_exit_is_asked_for() -> None:
    """Its event does not tell it, and the next survey would be a minute away."""
    swarm = Swarm({"w": POLICY})
    info = ProcessInfo(name="w:w_00", state=ProcessState.RUNNING, pid=7)
    swarm.handle(Surveyed(processes=(info,)), now_s=NOW_S)
    swarm.handle(Tick(), now_s=NOW_S)
    exited = StateChanged(
        name=info.name, state=ProcessState.EXITED, pid=7, expected=False
    )
    assert Survey() not in swarm.handle(exited, now_s=NOW_S)

    assert Survey() in swarm.handle(Tick(), now_s=NOW_S + 6)


def test_what_is_started_at_last_is_forgotten_as_unstarted() -> None:
    """And an operator's stop after that is one."""
    swarm = Swarm({"w": POLICY})
    info = ProcessInfo(name="w:w_00", state=ProcessState.STOPPED, pid=None)
    swarm.handle(Surveyed(processes=(info,)), now_s=NOW_S)
    for state in (ProcessState.STARTING, ProcessState.RUNNING, ProcessState.STOPPED):
        swarm.handle(StateChanged(name=info.name, state=state, pid=7), now_s=NOW_S)

    told = swarm.health(swarm.nodes[info.name], now_s=NOW_S)
    assert told == Health(Word.STOPPED)


@pytest.mark.parametrize(
    ("exit_code", "how"),
    [(3, "it exited with 3"), (0, "it exited with 0"), (-1, "a signal ended it")],
)
def test_an_exit_is_told_with_its_code(exit_code: int, how: str) -> None:
    """supervisord knows it, also of a process that ended before the listener came."""
    told = surveyed(state=ProcessState.EXITED, started_ago_s=9.0, exit_code=exit_code)

    assert told == Health(
        Word.UNHEALTHY, f"{how}, and supervisord leaves it down; see its log"
    )


@pytest.mark.parametrize(
    ("of", "is_so"),
    [
        (left_down(78), True),
        (left_down(5), True),
        (left_down(None), True),
        (node(left_down=LeftDown(NOW_S, 78)), True),  # started, and does not work yet
        (node(state=ProcessState.FATAL), True),
        (node(state=ProcessState.UNKNOWN), True),
        (node(), False),
        (node(state=ProcessState.EXITED), False),  # supervisord brings it back
        (node(state=ProcessState.STOPPED), False),
        (node(state=ProcessState.BACKOFF), False),
        (restarting(Phase.DOWN), False),
    ],
)
def test_who_is_down_for_good_is_named(of: Node, *, is_so: bool) -> None:
    """Until a process of it works; not who is stopped, or being brought back."""
    assert bool(down_for_good(of, POLICY)) is is_so


def test_the_status_file_has_what_fails_as_plain_data() -> None:
    """As it was reported."""
    swarm = Swarm({"w": POLICY})
    swarm._table.put(node(FAILING))

    (told,) = json.loads(json.dumps(list(nodes_of(swarm, now_s=NOW_S))))

    assert told["health"] == "failing"
    assert told["report"]["failing"][0] == {
        "at": "t/4@7",
        "error": "E('x')",
        "attempts": 8,
        "for_ms": 180_000,
    }
