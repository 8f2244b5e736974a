"""Edges of a restart: what holds in the rare case, and at the exact moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm_event_listener.core import node
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import (
    Answer,
    Event,
    FaultCode,
    Intend,
    Ordered,
    OrderKind,
    ProcessInfo,
    ProcessState,
    Reported,
    Signal,
    Stalled,
    StateChanged,
    Survey,
    Surveyed,
    Tick,
)
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.model.rules import Status
from swarm_event_listener.core.reports import reported
from swarm_event_listener.core.restart import lifecycle, resuming, starting, stopping
from swarm_event_listener.core.restart.restart import Phase
from swarm_event_listener.core.swarm import Swarm
from swarm_worker.shared.settings import EXIT_CONFIG
from tests.simulation import POLICY, World, report
from tests.unit.swarm_event_listener.core.test_lifecycle import (
    N0,
    STOP,
    hang,
    in_phase,
    kinds,
    said,
)


def test_a_stop_that_supervisord_took_is_on_record_whatever_follows() -> None:
    """Its group may be removed before any event tells of the stop."""
    taken = lifecycle.answered(
        in_phase(Phase.STOPPING), said(STOP, Answer.DONE), now_s=1000.0
    )

    assert taken.restart is not None
    assert kinds(lifecycle.removed(taken.restart)) == ["Remember", "Say"]


def test_another_fault_than_not_running_ends_a_restart() -> None:
    """Only that one says that the process is on its way out."""
    asked = in_phase(Phase.STOPPING, accepted=True)

    for fault, restart_is_over in ((FaultCode.NOT_RUNNING, False), (10, True)):
        step = lifecycle.answered(asked, said(STOP, Answer.FAULT, fault), now_s=1000.0)
        assert (step.restart is None) is restart_is_over


def test_the_evidence_has_its_time_after_a_journal_that_took_long() -> None:
    """The stacks need that long from the signal on, not from the intent."""
    asked = stopping.journaled(in_phase(Phase.INTENDED), ok=True, now_s=1003.0)

    assert asked.restart is not None
    due_at_s = lifecycle.wake_at_s(asked.restart, timeouts=POLICY.stop_timeouts)
    assert due_at_s == 1003.0 + stopping.EVIDENCE_S


def test_a_term_in_the_place_of_a_stop_is_timed_like_one() -> None:
    """The record tells how long the node took, also without a journal."""
    world = World().run(2)
    world.disk_is_full = True

    hang(world)
    world.run(5)

    (record,) = world.records
    assert {"detected_to_stop", "stop", "down"} <= record.seconds().keys()


def test_the_pid_of_a_process_that_never_worked_is_on_record() -> None:
    """supervisord tells it with RUNNING, after STARTING without one."""
    started = in_phase(Phase.RECOVERING)

    step = lifecycle.seen(
        started, ProcessState.RUNNING, 8, timeouts=POLICY.stop_timeouts, now_s=1000.0
    )

    assert step.restart is not None
    assert step.restart.record.new_pid == 8
    other = lifecycle.seen(
        step.restart,
        ProcessState.RUNNING,
        9,
        timeouts=POLICY.stop_timeouts,
        now_s=1000.0,
    )
    assert other.restart is None


def test_a_hold_and_a_release_are_said() -> None:
    """In the log, once for each node that is meant."""
    world = World(node_count=2).run(2)

    for kind, event in (
        (OrderKind.HOLD, "node_held"),
        (OrderKind.RELEASE, "node_released"),
    ):
        world.tell(Ordered(kind=kind, names=(N0,)))
        assert [line.fields["node"] for line in world.said(event)] == [N0]


def test_supervisord_is_asked_once_a_minute_while_all_is_well() -> None:
    """Its answer about all processes costs it and us more than any event."""
    world = World().run(2)
    before = len(world.of(Survey))

    world.run(120)

    assert len(world.of(Survey)) - before == 2


def test_a_report_can_be_the_first_word_of_who_must_wait() -> None:
    """STARTING comes without a pid: the new process is put off once a report has it."""
    backoff = BackoffPolicy(
        gap_s=1.0, max_restarts=1, period_s=600.0, backoff_max_s=60.0
    )
    swarm = World(policy=replace(POLICY, backoff=backoff)).run(2).swarm
    assert swarm is not None
    heard: list[Event] = []
    for gone, newborn in ((100, 200), (200, 300)):
        heard += [
            StateChanged(name=N0, state=ProcessState.EXITED, pid=gone),
            StateChanged(name=N0, state=ProcessState.STARTING, pid=None),
            Reported(name=N0, pid=newborn, report=report()),
        ]

    intended = [
        [a.name for a in swarm.handle(event, now_s=2000.0) if isinstance(a, Intend)]
        for event in heard
    ]

    assert intended == [[], [], [], [], [], [N0]]


def test_a_dry_run_says_what_it_would_have_done() -> None:
    """In the log, not in the history alone."""
    policy = replace(POLICY, dry_run=frozenset({Status.CONSUMING}))
    world = World(policy=policy).run(2)

    hang(world)
    world.run(5)

    (line,) = world.said("would_restart")
    assert line.fields["status"] == 2


def test_a_node_that_stays_silent_costs_no_survey_a_second() -> None:
    """Once supervisord has answered the finding is confirmed: asking again is vain."""
    policy = replace(POLICY, dry_run=frozenset({Status.SILENT}))
    world = World(policy=policy).run(2)
    world.processes[N0].is_silent = True
    world.run(10)
    before = len(world.of(Survey))

    world.run(50)

    assert len(world.of(Survey)) - before <= 1


def test_silence_that_is_found_anew_after_a_stall_is_confirmed_anew() -> None:
    """supervisord may have stood still with us: what it said before counts no more."""
    world = World().run(2)
    swarm = world.swarm
    assert swarm is not None
    timeout_s = POLICY.limits.report_timeout_s or 0.0
    silent_at_s = world.now_s + timeout_s + 1
    swarm.handle(Tick(), now_s=silent_at_s)
    swarm.handle(Surveyed(processes=world.survey()), now_s=silent_at_s + 0.1)
    swarm.handle(Stalled(), now_s=silent_at_s + 0.2)

    again_at_s = silent_at_s + timeout_s + 2
    begun = swarm.handle(Tick(), now_s=again_at_s)

    assert [a for a in begun if isinstance(a, Intend)] == []
    assert [a for a in begun if isinstance(a, Survey)] != []


def test_a_newborn_under_back_off_is_stopped_when_it_is_there() -> None:
    """supervisord tells its pid with RUNNING; a report would be too late for a loop."""
    backoff = BackoffPolicy(
        gap_s=1.0, max_restarts=1, period_s=600.0, backoff_max_s=60.0
    )
    swarm = World(policy=replace(POLICY, backoff=backoff)).run(2).swarm
    assert swarm is not None
    heard = [
        StateChanged(name=N0, state=state, pid=pid)
        for gone, newborn in ((100, 200), (200, 300))
        for state, pid in (
            (ProcessState.EXITED, gone),
            (ProcessState.STARTING, None),
            (ProcessState.RUNNING, newborn),
        )
    ]

    intended = [
        [a.name for a in swarm.handle(event, now_s=2000.0) if isinstance(a, Intend)]
        for event in heard
    ]

    assert intended == [[], [], [], [], [], [N0]]


@pytest.mark.parametrize("state", [ProcessState.STARTING, ProcessState.RUNNING])
def test_who_is_still_there_is_stopped_by_the_next_listener(
    state: ProcessState,
) -> None:
    """The stop was not asked for yet; where there was no process, none is stopped."""
    found = ProcessInfo(name=N0, state=state, pid=7)
    of_none = in_phase(Phase.READY, record={"pid": None})

    step = resuming.resume(
        in_phase(Phase.INTENDED), found, timeouts=POLICY.stop_timeouts, now_s=1000.0
    )
    unknown = resuming.resume(
        of_none, replace(found, pid=None), timeouts=POLICY.stop_timeouts, now_s=1000.0
    )

    assert step.restart is not None
    assert step.restart.phase is Phase.READY
    assert unknown.restart is None


def test_who_starts_and_when_is_on_record_whoever_does_it() -> None:
    """An operator, or we: whose start then frees the place in time."""
    down = in_phase(Phase.DOWN)

    theirs = starting.seen_down(down, ProcessState.RUNNING, 8, now_s=1000.0)
    ours = starting.start(down, now_s=1000.0)

    for step in (theirs, ours):
        assert step.restart is not None
        assert step.restart.record.started_at_s == 1000.0
        assert lifecycle.holds_place(step.restart, now_s=1059.9)
        assert not lifecycle.holds_place(step.restart, now_s=1060.0)


@pytest.mark.parametrize(
    ("ago_s", "started_at_s"),
    [(3.0, 997.0), (0.0, 1000.0), (9.0, 995.0), (-3600.0, 1000.0), (None, 1000.0)],
)
def test_who_was_started_while_nobody_looked_has_his_minute_from_then(
    ago_s: float | None, started_at_s: float
) -> None:
    """Not from the next listener on; nor from before the stop, nor from ahead."""
    found = ProcessInfo(name=N0, state=ProcessState.RUNNING, pid=8, started_ago_s=ago_s)

    step = resuming.resume(
        in_phase(Phase.DOWN), found, timeouts=POLICY.stop_timeouts, now_s=1000.0
    )

    assert step.restart is not None
    assert step.restart.record.started_at_s == started_at_s
    assert lifecycle.holds_place(step.restart, now_s=started_at_s + 59.9)
    assert not lifecycle.holds_place(step.restart, now_s=started_at_s + 60.0)


def test_a_newborn_that_is_silent_is_restarted_as_any_other() -> None:
    """Its recovery is not waited for to the end: silence is silence."""
    world = World().run(2)
    world.is_born_silent = True
    hang(world)
    world.run(5)
    world.is_born_silent = False

    world.run(15)

    first, second = world.records
    assert (first.status, first.recovered_at_s) == (Status.CONSUMING, None)
    assert second.status == Status.SILENT
    assert second.recovered_at_s is not None


def test_listeners_that_die_young_still_heal_the_next_node() -> None:
    """A process frozen before its first report has one minute from them all."""
    world = World().run(2)
    world.is_born_silent = True
    hang(world)
    world.run(5)
    world.is_born_silent = False

    world.processes["swarm:node_1"].report = {"consume_age_ms": 9_000}
    for _ in range(25):
        world.kill_listener()
        world.start_listener()
        world.run(3)  # too short to find that anybody is silent

    assert "swarm:node_1" in {record.node for record in world.records}


@pytest.mark.parametrize(
    ("cause", "known"),
    [(None, None), (Cause.ROLL, None), (Cause.RULE, "t/0@7"), (Cause.FATAL, "t/0@7")],
)
def test_what_a_stopped_process_left_is_not_about_an_earlier_failure(
    cause: Cause | None, known: str | None
) -> None:
    """An operator or a roll stopped it, whose time limit ended in a KILL."""
    restart = (
        None if cause is None else in_phase(Phase.RECOVERING, record={"cause": cause})
    )
    newborn = replace(
        node.appeared(N0, ProcessState.RUNNING, 8, now_s=1000.0),
        failures=(node.Failure(900.0),),
        restart=restart,
    )
    first = Reported(name=N0, pid=8, report=report(died_in_flight=("t/0@7",)))

    told = reported(newborn, first, now_s=1001.0)

    assert told.failures == (node.Failure(900.0, known),)


def test_a_reading_is_news_when_it_changes_or_is_over_the_limit() -> None:
    """Those over the limit are counted, each of them; so is the first that fits."""
    limits = replace(POLICY.limits, memory_limit_bytes=100)
    unread = node.appeared(N0, ProcessState.RUNNING, 8, now_s=1000.0)
    well = node.measured(unread, 90, limits)
    ill = node.measured(unread, 110, limits)

    assert node.is_news(unread, 90)
    assert [node.is_news(well, read) for read in (90, 91)] == [False, True]
    assert node.is_news(ill, 110)

    runs = reported(well, Reported(name=N0, pid=8, report=report()), now_s=1001.0)
    assert node.is_news(runs, 90), "it runs, and has room"
    assert not node.is_news(node.measured(runs, 90, limits), 90)


def test_the_memory_on_record_is_rounded_as_it_is_shown() -> None:
    """The reason and the figure of one restart do not differ by one."""
    world = World().run(2)
    world.processes[N0].memory_bytes = 11 * 2**18  # 2.75 MB
    world.run(2)
    hang(world)
    world.run(10)

    assert world.records[0].rss_mb == 3


def test_a_late_word_of_a_dead_process_is_no_sign_of_life() -> None:
    """It was queued while supervisord found the end; a stopping one still counts."""
    world = World().run(2)
    world.respawns = False
    world.die(N0)
    swarm = world.swarm
    assert swarm is not None

    world.tell(Reported(name=N0, pid=100, report=report(messages=99)))
    assert swarm.nodes[N0].pid is None

    other = world.processes["swarm:node_1"]
    other.ignores_term = True
    world.stop(other.name)
    world.tell(Reported(name=other.name, pid=101, report=report(messages=99)))
    told = swarm.nodes[other.name].report
    assert told is not None
    assert told.messages == 99


def test_who_is_well_again_waits_anew_when_he_falls_ill() -> None:
    """Those who have waited for longer in this trouble come first, and it is said."""
    world = World().run(2)
    world.processes["swarm:node_3"].ignores_term = True
    hang(world, 3)
    for _ in range(2):
        world.processes[N0].report = {"consume_age_ms": 9_000}
        world.run(1)
        world.processes[N0].report = {}
        world.run(1)

    assert [line.fields["node"] for line in world.said("restart_waits")] == [N0, N0]


def test_a_stop_taken_over_from_a_killed_listener_is_on_record() -> None:
    """Whatever ends it: the intent said that the stop was next, and it is stopping."""
    found = ProcessInfo(name=N0, state=ProcessState.STOPPING, pid=7)

    step = resuming.resume(
        in_phase(Phase.READY), found, timeouts=POLICY.stop_timeouts, now_s=1000.0
    )

    assert step.restart is not None
    assert kinds(lifecycle.removed(step.restart)) == ["Remember", "Say"]


def test_a_listener_that_ends_starts_a_stopping_node_without_a_pause() -> None:
    """It has a few seconds; the pause is for those who have time."""
    stopping_node = in_phase(Phase.STOPPING, record={"pause_s": 60.0})

    aborted = lifecycle.abort_for_shutdown(stopping_node, now_s=1000.0).restart
    assert aborted is not None
    gone = lifecycle.seen(
        aborted, ProcessState.STOPPED, None, timeouts=POLICY.stop_timeouts, now_s=1001.0
    )

    assert gone.restart is not None
    assert lifecycle.wake_at_s(gone.restart, timeouts=POLICY.stop_timeouts) == 1001.0


def test_a_term_that_supervisord_has_sent_is_not_sent_again() -> None:
    """Only the one without an answer is: a handler may take a second TERM for more."""
    asked = in_phase(Phase.STOPPING, durable=False, asked_at_s=999.0)
    term = Signal(name=N0, pid=7, signal="TERM")

    sent = lifecycle.answered(asked, said(term, Answer.DONE), now_s=1000.0)

    assert sent.restart is not None
    assert sent.restart.asked_at_s is None


def test_a_long_batch_in_a_frozen_group_is_not_put_off() -> None:
    """What is worst decides whether the others' reports are waited for."""
    world = World().run(2)
    swarm = world.swarm
    assert swarm is not None
    ill = report(consume_age_ms=9_000, unsteady_ms=9_000)

    actions = swarm.handle(Reported(name=N0, pid=100, report=ill), now_s=world.now_s)

    assert [a.name for a in actions if isinstance(a, Intend)] == [N0]


def test_a_stop_that_is_asked_for_again_is_still_the_first() -> None:
    """When a process counts as unkillable is counted from when it was first asked."""
    first = stopping.journaled(in_phase(Phase.READY), ok=True, now_s=1000.0).restart
    assert first is not None
    assert first.since_s == 1000.0

    again = stopping.stop_overdue(first, now_s=1002.0).restart

    assert again is not None
    assert (again.since_s, again.asked_at_s) == (1000.0, 1002.0)


def test_a_survey_that_is_not_answered_yet_is_not_asked_for_again() -> None:
    """supervisord is slow just then: a question a second would make it slower."""
    world = World().run(2)
    swarm = world.swarm
    assert swarm is not None
    for name in world.processes:
        swarm.handle(Ordered(kind=OrderKind.HOLD, names=(name,)), now_s=world.now_s)

    asked = [
        sum(isinstance(a, Survey) for a in swarm.handle(Tick(), now_s=at_s))
        for at_s in (world.now_s + 61.0, world.now_s + 62.0, world.now_s + 63.0)
    ]

    assert asked == [1, 0, 0]


def test_a_group_that_has_just_begun_is_not_said_to_be_mute() -> None:
    """Only a node that ran for as long as silence lasts proves anything."""
    world = World(node_count=2)
    for process in world.processes.values():
        process.is_silent = True
    timeout_s = POLICY.limits.report_timeout_s or 0.0

    world.run(timeout_s - 1)
    assert world.said("group_never_reported") == []

    world.run(3)
    assert len(world.said("group_never_reported")) == 1


@pytest.mark.parametrize(
    ("state", "exit_code"),
    [(ProcessState.EXITED, EXIT_CONFIG), (ProcessState.FATAL, 1)],
)
def test_a_start_of_what_had_broken_a_rule_is_begun_once(
    state: ProcessState, exit_code: int
) -> None:
    """What was noted of its trouble ends with it, and takes no restart along."""
    swarm = Swarm({"swarm": replace(POLICY, dry_run=frozenset({Status.POLLING}))})
    up = ProcessInfo(name=N0, state=ProcessState.RUNNING, pid=7)
    down = ProcessInfo(name=N0, state=state, pid=None, exit_code=exit_code)
    slow = report(poll_age_ms=5_001)
    hold, release = (Ordered(kind=kind, names=(N0,)) for kind in OrderKind)
    events: list[Event] = [
        Surveyed(processes=(up,)),
        Reported(name=N0, pid=7, report=slow),
        hold,
        StateChanged(name=N0, state=state, expected=True),
        Surveyed(processes=(down,)),
    ]
    for each in events:
        swarm.handle(each, now_s=1000.0)

    later_s = 1000.0 + POLICY.backoff.backoff_max_s
    swarm.handle(release, now_s=later_s)
    first = swarm.handle(Tick(), now_s=later_s)
    second = swarm.handle(Tick(), now_s=later_s + 0.1)

    begun = [each for each in [*first, *second] if isinstance(each, Intend)]
    assert [each.name for each in begun] == [N0]
    assert swarm.nodes[N0].restart is not None
