"""A restart where answers, events, records, disks or listeners are lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.health import Word, health_by_state
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import (
    Answer,
    Answered,
    Closed,
    Closing,
    FaultCode,
    GroupAdded,
    GroupRemoved,
    Intend,
    Level,
    Lost,
    Measured,
    Ordered,
    OrderKind,
    ProcessInfo,
    ProcessState,
    Reported,
    RollOrdered,
    Signal,
    Start,
    StateChanged,
    Stop,
    SupervisorChanged,
    Survey,
    Tick,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import Status
from swarm_event_listener.core.node import Failure, appeared, moved
from swarm_event_listener.core.reports import reported
from swarm_event_listener.core.restart import lifecycle, resuming, starting, stopping
from swarm_event_listener.core.restart.restart import Phase, Restart, Step
from swarm_worker.shared.report import State
from tests.simulation import POLICY, World, report

N0 = "swarm:node_0"
TIMEOUTS = POLICY.stop_timeouts
DRY = replace(POLICY, dry_run=frozenset(Status))


def hang(world: World, node: int = 0) -> int:
    """Let a node report a batch that is too old, at once; give its pid."""
    process = world.processes[f"swarm:node_{node}"]
    process.report = {"consume_age_ms": 5_001, "in_flight": ("orders/3@7",)}
    assert process.pid is not None
    hung = report(pid=process.pid, **process.report)
    world.tell(Reported(name=process.name, pid=process.pid, report=hung))
    return process.pid


def fatal(world: World) -> None:
    """Let supervisord give a node up."""
    process = world.processes[N0]
    process.pid = None
    world.change(process, ProcessState.FATAL)


# --- answers and events that are lost -------------------------------------------------


@pytest.mark.parametrize("lost_answers", [1, 2, 3])
@pytest.mark.parametrize("loses_events", [False, True])
def test_a_stop_without_an_answer_leaves_no_node_down(
    lost_answers: int, *, loses_events: bool
) -> None:
    """It was carried out, and when it is asked for again the process is gone."""
    world = World().run(2)
    world.lost_answers = lost_answers
    world.loses_events = loses_events
    hang(world)
    world.run(8)
    world.loses_events = False
    world.tell(Lost())

    world.run(30)

    assert world.down_count() == 0
    assert len(world.records) == 1
    assert world.intents == {}


@pytest.mark.parametrize("lost_calls", [1, 2, 3, 5])
def test_calls_that_never_arrive_are_made_again(lost_calls: int) -> None:
    """Whichever of TTIN, stop and start it is: one restart, one record."""
    for seconds in (0.0, 0.5, 1.0, 1.5, 2.0):
        world = World().run(2)
        old = hang(world)
        world.run(seconds)
        world.lost_calls = lost_calls

        world.run(40)

        assert world.down_count() == 0
        assert [record.pid for record in world.records] == [old]
        assert {stop.pid for stop in world.of(Stop)} == {old}


def test_a_fatal_node_whose_start_was_lost_is_tried_again() -> None:
    """A survey that still says FATAL does not end the restart."""
    world = World().run(2)
    fatal(world)
    world.run(0.5)
    world.lost_calls = 1

    world.run(30)

    assert world.processes[N0].state is ProcessState.RUNNING
    assert [record.cause for record in world.records] == [Cause.FATAL]


def test_a_fatal_node_is_tried_again_after_it_was_held() -> None:
    """Nothing need happen to it for that."""
    world = World().run(2)
    world.tell(Ordered(kind=OrderKind.HOLD, names=(N0,)))
    fatal(world)
    world.run(10)
    assert world.of(Start) == []

    world.tell(Ordered(kind=OrderKind.RELEASE, names=(N0,)))
    world.run(10)

    assert world.processes[N0].state is ProcessState.RUNNING


def test_an_answer_to_a_former_stop_ends_no_later_restart() -> None:
    """It is about another process."""
    world = World().run(2)
    really = world.call
    held_back: list[Stop] = []

    def call(action: Stop | Start | Signal) -> dict[str, object]:
        if isinstance(action, Stop) and not held_back:
            held_back.append(action)
            return {"answer": Answer.UNREACHABLE}
        return really(action)

    world.call = call  # type: ignore[method-assign]
    hang(world)
    world.run(1)
    assert held_back

    world.die(N0)
    world.run(1)
    new = hang(world)
    world.run(30)

    assert [stop.pid for stop in world.of(Stop)] == [held_back[0].pid, new]
    assert [record.pid for record in world.records] == [new]


# --- what survives the listener -------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_an_operators_stop_under_a_dead_listener_stays(seconds: float) -> None:
    """The intent was there, the stop was not: whoever stopped it, it was not us."""
    world = World().run(10)
    really = world.call
    hang(world)
    assert world.intents
    world.kill_listener()
    assert world.processes[N0].state is ProcessState.RUNNING

    world.stop(N0)
    world.run(seconds)
    world.call = really  # type: ignore[method-assign]
    world.start_listener()
    world.run(30)

    assert world.processes[N0].state is ProcessState.STOPPED
    assert world.records == []
    assert world.intents == {}


def test_a_crash_loop_keeps_its_pace_over_a_new_listener() -> None:
    """Own deaths are remembered, not only restarts."""
    backoff = BackoffPolicy(
        gap_s=1.0, max_restarts=3, period_s=600.0, backoff_max_s=60.0
    )
    world = World(policy=replace(POLICY, backoff=backoff)).run(2)
    for _ in range(4):
        world.die(N0)
        world.run(1)
    world.run(20)
    world.kill_listener()
    world.start_listener()

    world.die(N0)
    world.run(60)

    backed_off = [r.pause_s for r in world.records if r.cause is Cause.EXITED]
    assert backed_off == [2.0, 4.0]


def test_a_suspect_is_named_over_a_new_listener() -> None:
    """What was in flight at each death is remembered, too."""
    backoff = BackoffPolicy(
        gap_s=1.0, max_restarts=2, period_s=600.0, backoff_max_s=60.0
    )
    world = World(policy=replace(POLICY, backoff=backoff)).run(2)
    for _ in range(2):
        world.processes[N0].report = {"in_flight": ("orders/3@7",)}
        world.run(3)
        world.kill_listener()
        world.start_listener()
        world.run(2)
        world.die(N0)
        world.run(2)

    (said,) = world.said("message_suspected")
    assert said.fields["suspect"] == "orders/3@7"


def test_a_node_that_dies_with_the_same_message_is_told_at_once() -> None:
    """Before any restart of ours; once for each suspect, at the last of the deaths."""
    world = World().run(2)
    for _ in range(POLICY.backoff.max_restarts):
        assert world.said("message_suspected") == []
        world.processes[N0].report = {"in_flight": ("orders/3@7",)}
        world.run(2)
        world.die(N0)
        world.run(1)

    (said,) = world.said("message_suspected")
    assert said.level is Level.ERROR
    assert said.fields["suspect"] == "orders/3@7"
    assert "with dead_letter for its topic the node gives it up" in said.fields["do"]


def failures_of(world: World) -> tuple[Failure, ...]:
    """Return the failures that the listener knows of."""
    assert world.swarm
    return world.swarm.nodes[N0].failures


LEFT = {"state": State.BOOTING, "died_in_flight": ("orders/3@7", "orders/4@1")}


def test_a_message_that_kills_before_any_report_is_named_by_what_it_left() -> None:
    """Each process tells in its first report what its predecessor had in flight."""
    world = World().run(2)
    world.born_report = LEFT
    for _ in range(POLICY.backoff.max_restarts):
        assert world.said("message_suspected") == []
        world.die(N0)
        world.run(2)

    (said,) = world.said("message_suspected")
    assert said.fields["suspect"] == "orders/3@7"
    world.die(N0)
    world.run(5)
    world.processes[N0].report = {}
    world.run(20)
    assert world.records[-1].suspect == "orders/3@7"
    assert len(world.said("message_suspected")) == 1


def test_the_record_of_a_back_off_learns_what_was_left() -> None:
    """The death that it is about is known better when the next process has told."""
    backoff = BackoffPolicy(
        gap_s=1.0, max_restarts=1, period_s=600.0, backoff_max_s=60.0
    )
    world = World(policy=replace(POLICY, backoff=backoff)).run(2)
    world.die(N0)
    world.run(2)
    world.born_report = LEFT
    world.die(N0)
    world.run(5)
    world.processes[N0].report = {}
    world.run(20)

    (record,) = [r for r in world.records if r.cause is Cause.EXITED]
    assert record.suspect == "orders/3@7"


def test_what_was_left_is_no_word_about_later_failures() -> None:
    """Only the first report counts, and only where a failure is known."""
    world = World().run(2)
    world.processes[N0].report = LEFT
    world.run(2)
    assert failures_of(world) == ()

    world.processes[N0].report = {}
    world.die(N0)
    world.run(2)
    world.processes[N0].report = LEFT
    world.run(2)

    assert [f.oldest_in_flight for f in failures_of(world)] == [None]


@pytest.mark.parametrize(
    ("reported", "left", "known"),
    [
        (None, "t/0@5", "t/0@5"),
        ("t/0@7", "t/0@5", "t/0@7"),  # the report knows of messages marked done
        ("t/0@3", "t/0@5", "t/0@5"),  # of a batch before the last
        ("t/1@7", "t/0@5", "t/0@5"),
        ("t/0@x", "t/0@5", "t/0@5"),
        ("t/0@7", "t/0@y", "t/0@y"),
        ("none", "some", "some"),
    ],
)
def test_what_was_left_and_the_last_report_complete_each_other(
    reported: str | None, left: str, known: str
) -> None:
    """What was left is of the end itself, a report of some moment before that."""
    world = World().run(2)
    world.processes[N0].report = {"in_flight": (reported,) if reported else ()}
    world.run(2)
    world.die(N0)
    world.born_report = {"state": State.BOOTING, "died_in_flight": (left,)}
    world.run(2)

    assert [f.oldest_in_flight for f in failures_of(world)] == [known]


def test_a_death_in_the_evidence_is_counted_once() -> None:
    """The restart that it prevents was counted when it began."""
    world = World().run(2)
    hang(world)
    world.die(N0)
    world.run(2)

    assert world.swarm is not None
    assert len(world.swarm.nodes[N0].failures) == 1


@pytest.mark.parametrize("is_released", [False, True])
@pytest.mark.parametrize("is_new_listener", [False, True])
def test_a_hold_outlives_the_removal_of_its_group(
    *, is_released: bool, is_new_listener: bool
) -> None:
    """`update` removes and adds a group; a release stays a release."""
    world = World().run(2)
    world.tell(Ordered(kind=OrderKind.HOLD, names=(N0,)))
    world.kill_listener()
    world.start_listener()
    if is_released:
        world.tell(Ordered(kind=OrderKind.RELEASE, names=(N0,)))

    world.tell(GroupRemoved(group="swarm"))
    if is_new_listener:
        world.kill_listener()
        world.start_listener()
    world.tell(GroupAdded(group="swarm"))
    world.run(1)

    assert world.swarm is not None
    assert world.swarm.nodes[N0].is_held is not is_released


# --- what stays on record -------------------------------------------------------------


def test_a_stop_that_cannot_be_followed_by_a_start_is_on_record() -> None:
    """The group is removed in the gap, supervisord ends, or the listener does."""
    for end in ("removed", "supervisor", "listener"):
        world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=5.0))).run(2)
        old = hang(world)
        world.run(3)
        assert world.processes[N0].state is ProcessState.STOPPED
        if end == "removed":
            world.tell(GroupRemoved(group="swarm"))
        elif end == "listener":
            world.tell(Closed())
        else:
            world.start = lambda name: {  # type: ignore[method-assign]  # noqa: ARG005
                "answer": Answer.FAULT,
                "fault": 6,
            }
            world.run(10)

        assert [(r.pid, r.recovered_at_s) for r in world.records] == [(old, None)]
        assert world.intents == {}


def test_a_restart_that_stopped_nothing_is_not_on_record() -> None:
    """FATAL, and its group removed before the pause is over."""
    world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=60.0))).run(2)
    fatal(world)

    world.tell(GroupRemoved(group="swarm"))

    assert world.records == []
    assert world.intents == {}


# --- a full disk ----------------------------------------------------------------------


def test_a_node_that_exits_after_our_term_and_is_not_brought_back_is_started() -> None:
    """`autorestart=unexpected` with `exitcodes=0`: it is down by our hand."""
    world = World().run(2)
    world.disk_is_full = True
    world.respawns = False
    hang(world)

    world.run(20)

    assert world.processes[N0].state is ProcessState.RUNNING
    assert [record.status for record in world.records] == [2]


@pytest.mark.parametrize("lost_calls", [1, 2])
def test_a_term_or_kill_that_was_lost_is_sent_again(lost_calls: int) -> None:
    """Otherwise the node would hang for ever, and keep its place."""
    for seconds in (0.0, 4.0):  # TERM, KILL
        world = World().run(2)
        world.disk_is_full = True
        world.processes[N0].ignores_term = seconds > 0
        if not seconds:
            world.lost_calls = lost_calls
        hang(world)
        world.run(seconds)
        if seconds:
            world.lost_calls = lost_calls

        world.run(30)

        assert world.down_count() == 0
        assert [record.status for record in world.records] == [2]


def test_a_process_that_outlives_our_kill_frees_its_place() -> None:
    """Also where supervisord was not asked for the stop."""
    world = World(node_count=2).run(2)
    world.disk_is_full = True
    world.signal = lambda *_: {"answer": Answer.DONE}  # type: ignore[method-assign]
    hang(world, 0)
    hang(world, 1)

    world.run(80)

    assert world.said("node_unkillable")
    assert {signal.name for signal in world.of(Signal)} == set(world.processes)


def test_a_signal_meets_only_the_process_it_is_meant_for() -> None:
    """Replaced before our TERM: nothing happened, and nothing is on record."""
    world = World().run(2)
    world.disk_is_full = True
    really = world.signal

    def signal(name: str, pid: int, signal: str) -> dict[str, object]:
        world.loses_events = True
        world.die(name)
        world.move(world.processes[name])
        world.loses_events = False
        return really(name, pid, signal)

    world.signal = signal  # type: ignore[method-assign]
    hang(world)
    world.run(90)

    assert world.records == []
    assert world.down_count() == 0


# --- a listener that only watches -----------------------------------------------------


def test_a_dry_run_of_memory_is_recorded_once() -> None:
    """Healthy reports do not end the trouble."""
    limits = replace(POLICY.limits, memory_limit_bytes=100)
    world = World(policy=replace(POLICY, limits=limits, dry_run=frozenset({3})))
    world.processes[N0].memory_bytes = 101

    world.run(30)

    assert [(r.status, r.dry_run) for r in world.records] == [(3, True)]


def test_a_dry_run_rolls_nobody() -> None:
    """The order is refused; a roll that an earlier listener left does not go on."""
    world = World(policy=DRY).run(2)
    world.tell(RollOrdered(group="swarm"))
    world.run(20)
    assert len(world.said("roll_refused")) == 1

    world = World().run(2)
    world.tell(RollOrdered(group="swarm"))
    world.kill_listener()
    world.policy = DRY
    world.start_listener()
    world.run(20)

    assert world.of(Signal) == []
    assert world.of(Stop) == []


def test_a_dry_run_stops_nobody_for_an_earlier_listener() -> None:
    """What is up stays up."""
    world = World().run(2)
    hang(world)
    world.kill_listener()
    world.policy = DRY
    world.start_listener()
    world.run(20)

    assert world.of(Stop) == []
    assert world.intents == {}


def test_a_dry_run_leaves_nobody_down_for_an_earlier_listener() -> None:
    """What an earlier listener stopped comes up."""
    world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=5.0))).run(2)
    hang(world)
    world.run(3)
    assert world.down_count() == 1
    world.kill_listener()
    world.policy = DRY
    world.start_listener()

    world.run(20)

    assert world.down_count() == 0


# --- ends -----------------------------------------------------------------------------


def test_a_closing_listener_begins_nothing_when_supervisord_runs_again() -> None:
    """Two things can end; both have to go on."""
    world = World().run(2)
    world.tell(Closing())
    world.tell(SupervisorChanged(state="RUNNING"))
    hang(world)

    world.run(5)

    assert world.of(Stop) == []


def test_supervisord_that_runs_again_is_served_again() -> None:
    """A `reload` that was not carried out, say."""
    world = World().run(2)
    world.tell(SupervisorChanged(state="STOPPING"))
    world.run(5)
    world.tell(SupervisorChanged(state="RUNNING"))
    hang(world)

    world.run(10)

    assert [record.status for record in world.records] == [2]


def test_a_held_node_does_not_keep_a_listener_from_ending() -> None:
    """It stays down by its operator's word, so nobody is alarmed."""
    world = World().run(2)
    hang(world)
    world.processes[N0].ignores_term = True
    world.run(1)
    world.tell(Ordered(kind=OrderKind.HOLD, names=(N0,)))

    world.tell(Closing())
    assert world.swarm is not None
    assert world.swarm.is_settled
    world.tell(Closed())

    assert world.said("node_left_down") == []
    assert len(world.records) == 1


@pytest.mark.parametrize("outlives", [True, False])
def test_without_a_journal_a_listener_that_ends_waits_for_a_node_to_go(
    *,
    outlives: bool,
) -> None:
    """TERM was sent, and no intent says so: a record now would be one of two."""
    world = World().run(2)
    world.disk_is_full = True
    world.processes[N0].ignores_term = True
    hang(world)
    assert world.swarm is not None

    world.tell(Closing())
    settled = [world.swarm.is_settled]
    if not outlives:
        world.die(N0)
    world.run(3)
    settled.append(world.swarm.is_settled)
    world.tell(Closed())

    assert settled == [False, not outlives]
    assert len(world.records) == (0 if outlives else 1)
    assert world.said("node_left_down") == []


def test_an_operators_stop_in_the_recovery_stays() -> None:
    """The record ends without a recovery."""
    world = World().run(2)
    world.is_born_silent = True
    hang(world)
    world.run(4)
    assert world.processes[N0].state is ProcessState.RUNNING

    world.stop(N0)
    world.run(80)

    assert world.processes[N0].state is ProcessState.STOPPED
    assert [record.recovered_at_s for record in world.records] == [None]


def test_a_node_that_does_not_recover_in_time_closes_its_record() -> None:
    """After a minute from its start; the next rule is judged afresh then."""
    world = World(
        policy=replace(POLICY, limits=replace(POLICY.limits, boot_ttl_s=None))
    )
    world.run(2)
    world.born_report = {"poll_age_ms": None}
    hang(world)

    world.run(55)
    assert world.records == []
    world.run(15)
    assert [record.recovered_at_s for record in world.records] == [None]
    assert len(world.said("node_not_recovered")) == 1


def test_a_node_found_after_its_exit_was_started_by_somebody() -> None:
    """A new listener leaves an exit in the gap to supervisord, or to an operator."""
    world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=5.0))).run(2)
    hang(world)
    world.run(3)
    world.kill_listener()
    process = world.processes[N0]
    process.state = ProcessState.EXITED
    world.respawns = False

    world.start_listener()
    world.run(20)

    assert world.of(Start) == []
    assert len(world.records) == 1


def test_a_node_in_the_back_off_of_supervisord_is_left_to_it() -> None:
    """BACKOFF for long: supervisord starts it, or gives it up."""
    world = World().run(2)
    process = world.processes[N0]
    process.pid = None
    world.change(process, ProcessState.STARTING)
    world.change(process, ProcessState.BACKOFF)

    world.run(120)

    assert world.of(Start) == world.of(Stop) == []


def test_an_event_of_an_unwatched_group_is_nothing_to_us() -> None:
    """Another program of the same supervisord."""
    world = World().run(2)
    world.tell(StateChanged(name="other:node_0", state=ProcessState.FATAL))

    assert world.swarm is not None
    assert "other:node_0" not in world.swarm.nodes


# --- single steps ---------------------------------------------------------------------


def in_phase(phase: Phase, **fields: Any) -> Restart:
    """Return a restart of pid 7 in a phase."""
    record = Record(
        node=N0, pid=7, cause=Cause.RULE, status=2, reason="broken", detected_at_s=990.0
    )
    record = replace(record, **fields.pop("record", {}))
    return Restart(record=record, phase=phase, since_s=995.0, **fields)


def said(action: Stop | Start | Signal, answer: Answer, fault: int = 0) -> Answered:
    """Return what supervisord said to a call."""
    return Answered(action=action, answer=answer, fault=fault)


STOP = Stop(name=N0, pid=7)
START = Start(name=N0)
TERM = Signal(name=N0, pid=7, signal="TERM")
BEFORE_STOP = [Phase.INTENDED, Phase.EVIDENCE, Phase.READY]


def kinds(step: Step) -> list[str]:
    """Name what a step wants done."""
    return [type(action).__name__ for action in step.actions]


@pytest.mark.parametrize(
    ("restart", "answer"),
    [
        (in_phase(Phase.DOWN), said(STOP, Answer.DONE)),
        (in_phase(Phase.STOPPING), said(Stop(name=N0, pid=6), Answer.OTHER_PID)),
        (in_phase(Phase.READY), said(replace(TERM, signal="TTIN"), Answer.OTHER_PID)),
        (in_phase(Phase.STOPPING), said(TERM, Answer.OTHER_PID)),
        (in_phase(Phase.RECOVERING), said(START, Answer.DONE)),
    ],
)
def test_an_answer_that_comes_too_late_changes_nothing(
    restart: Restart, answer: Answered
) -> None:
    """What it was about is over."""
    assert lifecycle.answered(restart, answer, now_s=1000.0) == Step(restart)


@pytest.mark.parametrize(
    "answer",
    [
        said(STOP, Answer.FAULT, FaultCode.NOT_RUNNING),
        said(STOP, Answer.OTHER_PID),
        said(STOP, Answer.FAULT, 30),
    ],
)
def test_a_stop_that_was_not_taken_is_no_restart(answer: Answered) -> None:
    """Somebody else stopped it, it was replaced, or it cannot be stopped."""
    step = lifecycle.answered(in_phase(Phase.STOPPING), answer, now_s=1000.0)

    assert step.restart is None
    assert kinds(step) == ["Forget", "Say"]


def test_a_signal_sent_again_to_who_is_gone_is_followed_by_a_look() -> None:
    """The one without an answer may have done it."""
    restart = in_phase(Phase.STOPPING, durable=False, accepted=True, asked_at_s=999.0)

    step = lifecycle.answered(restart, said(TERM, Answer.OTHER_PID), now_s=1000.0)

    assert step == Step(replace(restart, asked_at_s=None), (Survey(),))


def test_the_stop_of_a_node_that_dies_too_often_needs_a_journal() -> None:
    """TERM would only make supervisord bring it back at once."""
    restart = in_phase(Phase.READY, record={"cause": Cause.EXITED})

    step = stopping.journaled(restart, ok=False, now_s=1000.0)

    assert step.restart is None
    assert kinds(step) == ["Forget", "Say"]


def test_a_disk_that_fills_during_the_evidence_means_term() -> None:
    """The stop itself must be on record before it is asked for."""
    step = stopping.journaled(in_phase(Phase.READY), ok=False, now_s=1000.0)

    assert kinds(step) == ["Say", "Signal", "Publish"]


@pytest.mark.parametrize("state", [ProcessState.FATAL, ProcessState.STOPPED])
def test_a_node_without_a_process_stays_one_to_start(state: ProcessState) -> None:
    """There is nothing to stop, whatever its state is called."""
    restart = in_phase(Phase.READY, record={"pid": None, "cause": Cause.FATAL})

    step = lifecycle.seen(restart, state, None, timeouts=TIMEOUTS, now_s=1000.0)

    assert step == Step(restart)


def test_a_process_still_there_while_it_stops_is_waited_for() -> None:
    """RUNNING, told late."""
    restart = in_phase(Phase.STOPPING)

    for pid in (7, None):
        step = lifecycle.seen(
            restart, ProcessState.RUNNING, pid, timeouts=TIMEOUTS, now_s=1000.0
        )
        assert step == Step(restart)


def test_a_successor_seen_while_it_stops_is_the_recovery() -> None:
    """Whoever started it: ours was stopped, the events of it were lost."""
    step = lifecycle.seen(
        in_phase(Phase.STOPPING, accepted=True),
        ProcessState.RUNNING,
        8,
        timeouts=TIMEOUTS,
        now_s=1000.0,
    )

    assert step.restart is not None
    assert step.restart.phase is Phase.RECOVERING
    assert step.restart.record.new_pid == 8
    assert step.restart.record.stopped_at_s == 1000.0


@pytest.mark.parametrize("phase", BEFORE_STOP)
def test_what_is_not_stopped_is_left_alone(phase: Phase) -> None:
    """By a listener that ends, an operator's hold, a removal: nothing happened."""
    restart = in_phase(phase)

    for step in (
        lifecycle.abort_for_shutdown(restart, now_s=1000.0),
        lifecycle.held(restart, is_held=True),
        lifecycle.removed(restart),
        lifecycle.abandon(restart),
    ):
        assert step.restart is None
        assert kinds(step) == ["Forget", "Say"]
    assert not lifecycle.is_unsettled(restart)
    assert lifecycle.holds_place(restart, now_s=1e6)
    assert lifecycle.held(restart, is_held=False) == Step(restart)


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RECOVERING])
def test_what_is_started_is_left_to_start(phase: Phase) -> None:
    """An abort changes nothing; a removal ends the record."""
    restart = in_phase(phase, record={"started_at_s": 940.0})

    assert lifecycle.abort_for_shutdown(restart, now_s=999.0) == Step(restart)
    assert kinds(lifecycle.removed(restart)) == ["Remember", "Say"]
    assert kinds(lifecycle.abandon(restart)) == ["Remember", "Say"]
    assert lifecycle.is_unsettled(restart) is (phase is Phase.STARTING)
    assert lifecycle.holds_place(restart, now_s=999.9)
    assert not lifecycle.holds_place(restart, now_s=1000.0)


@pytest.mark.parametrize(
    ("phase", "wake_at_s"),
    [
        (Phase.INTENDED, None),
        (Phase.EVIDENCE, 995.1),
        (Phase.READY, None),
        (Phase.STOPPING, 995.0 + 5.0 + 60.0),
        (Phase.DOWN, 995.0 + 3.0),
        (Phase.STARTING, 995.0 + 2.0),
        (Phase.RECOVERING, 995.0 + 60.0),
    ],
)
def test_each_step_is_due_at_its_time(phase: Phase, wake_at_s: float | None) -> None:
    """And not a moment before."""
    restart = in_phase(phase, record={"pause_s": 3.0})
    assert lifecycle.wake_at_s(restart, timeouts=TIMEOUTS) == wake_at_s
    if wake_at_s is None:
        return

    early, due = (
        lifecycle.elapsed(restart, timeouts=TIMEOUTS, now_s=now_s)
        for now_s in (wake_at_s - 0.01, wake_at_s)
    )

    assert early == Step(restart)
    assert due != Step(restart)


def test_a_plain_term_is_due_by_its_own_times() -> None:
    """KILL after the shutdown timeout, given up a minute later, asked again in 2 s."""
    term = in_phase(Phase.STOPPING, durable=False)
    killed = in_phase(Phase.STOPPING, durable=False, record={"killed": True})

    assert lifecycle.wake_at_s(term, timeouts=TIMEOUTS) == 995.0 + 4.0
    assert lifecycle.wake_at_s(killed, timeouts=TIMEOUTS) == 995.0 + 4.0 + 60.0
    unanswered = replace(term, asked_at_s=997.0)
    assert lifecycle.wake_at_s(unanswered, timeouts=TIMEOUTS) == 999.0
    assert (
        lifecycle.wake_at_s(replace(term, is_unkillable=True), timeouts=TIMEOUTS)
        is None
    )


@pytest.mark.parametrize(
    ("waited_s", "killed"), [(4.9, False), (5.0, True), (6.0, True)]
)
def test_who_outlived_stopwaitsecs_was_killed(waited_s: float, *, killed: bool) -> None:
    """supervisord does not say so; the time does."""
    restart = in_phase(Phase.STOPPING, record={"stop_sent_at_s": 995.0})

    step = lifecycle.seen(
        restart, ProcessState.STOPPED, 7, timeouts=TIMEOUTS, now_s=995.0 + waited_s
    )

    assert step.restart is not None
    assert step.restart.record.killed is killed


@pytest.mark.parametrize("cause", [Cause.EXITED, Cause.FATAL])
def test_a_node_that_is_down_by_its_own_hand_holds_no_place(cause: Cause) -> None:
    """In no phase: its back-off must not keep others from being healed."""
    for phase in Phase:
        restart = in_phase(phase, record={"cause": cause})
        assert not lifecycle.holds_place(restart, now_s=996.0)


def test_a_long_pause_holds_a_place_for_a_minute() -> None:
    """Then the next node is healed."""
    restart = in_phase(Phase.DOWN, record={"pause_s": 300.0})

    assert lifecycle.holds_place(restart, now_s=995.0 + 59.9)
    assert not lifecycle.holds_place(restart, now_s=995.0 + 60.0)


def test_a_node_whose_starts_fail_holds_a_place_for_a_minute_from_its_stop() -> None:
    """Each failed start begins a new pause, and none of them a new minute."""
    restart = in_phase(Phase.STARTING, record={"stopped_at_s": 995.0})
    failed = said(START, Answer.FAULT, 50)  # SPAWN_ERROR
    again = lifecycle.answered(restart, failed, now_s=1040.0).restart

    assert again is not None
    assert again.phase is Phase.DOWN
    assert lifecycle.holds_place(again, now_s=995.0 + 59.9)
    assert not lifecycle.holds_place(again, now_s=995.0 + 60.0)


@pytest.mark.parametrize(
    ("state", "pid"),
    [
        (ProcessState.EXITED, None),
        (ProcessState.BACKOFF, None),
        (ProcessState.FATAL, None),
        (ProcessState.RUNNING, 8),
        (ProcessState.STOPPING, 8),
    ],
)
def test_an_intent_whose_process_is_another_is_dropped(
    state: ProcessState, pid: int | None
) -> None:
    """It died and was brought back, or somebody else is at it."""
    found = ProcessInfo(name=N0, state=state, pid=pid, started_ago_s=100.0)

    step = resuming.resume(
        in_phase(Phase.READY), found, timeouts=TIMEOUTS, now_s=1000.0
    )

    assert step.restart is None
    assert kinds(step) == ["Forget", "Say"]


@pytest.mark.parametrize(
    ("started_ago_s", "is_ours"), [(20.0, True), (9.0, True), (8.9, False)]
)
def test_a_stopped_process_that_started_after_the_intent_is_a_successor(
    started_ago_s: float, *, is_ours: bool
) -> None:
    """supervisord tells its start in whole seconds: one second is allowed for."""
    found = ProcessInfo(
        name=N0, state=ProcessState.STOPPED, pid=None, started_ago_s=started_ago_s
    )

    step = resuming.resume(
        in_phase(Phase.READY), found, timeouts=TIMEOUTS, now_s=1000.0
    )

    assert (step.restart is not None) is is_ours


def test_an_intent_of_a_node_that_is_no_more_ends() -> None:
    """numprocs has shrunk while the listener was dead: the stop is on record."""
    world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=5.0))).run(2)
    hang(world)
    world.run(3)
    world.kill_listener()
    del world.processes[N0]

    world.start_listener()
    world.run(10)

    assert [record.node for record in world.records] == [N0]
    assert world.intents == {}


def test_a_node_that_is_no_more_is_forgotten() -> None:
    """A survey without it, though no event told of its removal."""
    world = World().run(2)
    del world.processes[N0]
    world.tell(Lost())

    assert world.swarm is not None
    assert N0 not in world.swarm.nodes


def test_an_end_that_is_told_late_is_of_a_former_process() -> None:
    """A survey was ahead of it."""
    world = World().run(2)
    world.tell(StateChanged(name=N0, state=ProcessState.EXITED, pid=1))

    assert world.swarm is not None
    assert world.swarm.nodes[N0].state is ProcessState.RUNNING
    assert world.swarm.nodes[N0].failures == ()


def test_a_new_node_is_followed_from_its_first_event() -> None:
    """The survey after GroupAdded comes later."""
    world = World().run(2)
    world.tell(StateChanged(name="swarm:node_9", state=ProcessState.STARTING))

    assert world.swarm is not None
    assert world.swarm.nodes["swarm:node_9"].state is ProcessState.STARTING


def test_a_reading_of_a_former_process_says_nothing() -> None:
    """Its successor has memory of its own."""
    limits = replace(POLICY.limits, memory_limit_bytes=100)
    world = World(policy=replace(POLICY, limits=limits)).run(2)
    world.tell(Measured(name=N0, pid=1, memory_bytes=10**6))
    world.run(2)

    assert world.of(Stop) == []


def test_the_listener_wakes_for_what_is_due() -> None:
    """A step of a restart, or the second look at a silent node."""
    world = World(1).run(3)
    swarm = world.swarm
    assert swarm is not None
    assert swarm.wake_at_s() is None

    world.processes[N0].is_silent = True
    while swarm.nodes[N0].silent_since_s is None:
        world.run(0.5)
    assert swarm.wake_at_s() == world.now_s + 0.5
    world.run(0.5)
    assert swarm.wake_at_s() == world.now_s + 0.1  # evidence
    assert swarm.policies == {"swarm": POLICY}
    assert swarm.reporting_groups == {"swarm"}


def test_a_status_file_without_a_listener_still_gives_a_word() -> None:
    """From supervisord's state alone."""
    assert health_by_state(ProcessState.RUNNING).word is Word.BOOTING
    assert health_by_state(ProcessState.FATAL).word is Word.UNHEALTHY


def test_a_record_is_shown_in_wall_clock_texts() -> None:
    """Moments that did not come are null; durations are there for what ended."""
    record = replace(in_phase(Phase.DOWN).record, stop_sent_at_s=991.5)

    shown = record.as_json(lambda moment_s: f"at {moment_s}")

    assert shown["detected_at"] == "at 990.0"
    assert shown["recovered_at"] is None
    assert shown["seconds"] == {"detected_to_stop": 1.5}


def test_a_term_whose_process_was_replaced_is_no_restart() -> None:
    """The stacks went to it, or TERM would have."""
    for restart in (
        in_phase(Phase.EVIDENCE),
        in_phase(Phase.STOPPING, durable=False),
    ):
        step = lifecycle.answered(restart, said(TERM, Answer.OTHER_PID), now_s=1000.0)

        assert step.restart is None
        assert kinds(step) == ["Forget", "Say"]


def test_a_booting_process_is_no_place_for_a_restart_without_one() -> None:
    """supervisord has it back: there is nothing to start."""
    restart = in_phase(Phase.READY, record={"pid": None, "cause": Cause.FATAL})

    step = lifecycle.seen(
        restart, ProcessState.RUNNING, 8, timeouts=TIMEOUTS, now_s=1000.0
    )

    assert step.restart is None


def test_a_start_is_asked_again_two_seconds_after_the_last_time() -> None:
    """Not two seconds after the first."""
    again = starting.start(in_phase(Phase.STARTING), now_s=1000.0).restart

    assert again is not None
    assert again.since_s == 995.0
    assert lifecycle.wake_at_s(again, timeouts=TIMEOUTS) == 1002.0


def test_silence_counts_only_while_supervisord_answers() -> None:
    """One that stands still has reports of healthy nodes to tell."""
    world = World().run(3)
    swarm = world.swarm
    assert swarm is not None
    world.processes[N0].is_silent = True
    world.lost_calls = 10**6
    world.run(20)
    assert world.of(Intend) == []
    assert swarm.wake_at_s() is None

    world.lost_calls = 0
    world.run(10)
    assert [record.status for record in world.records] == [-1]


def test_silence_is_looked_at_again_after_half_a_second() -> None:
    """The report may be in the queue behind the answer."""
    world = World().run(3)
    swarm = world.swarm
    assert swarm is not None
    world.processes[N0].is_silent = True
    while swarm.nodes[N0].silent_since_s is None:
        world.run(0.5)

    world.now_s += 0.4
    world.tell(Tick())
    assert world.of(Intend) == []
    world.now_s += 0.1
    world.tell(Tick())
    assert len(world.of(Intend)) == 1


def test_an_intent_that_is_being_written_needs_no_waking() -> None:
    """The journal's answer comes by itself."""
    world = World().run(2)
    swarm = world.swarm
    assert swarm is not None
    hung = report(pid=world.pid(0), consume_age_ms=5_001)

    swarm.handle(
        Reported(name=N0, pid=world.pid(0) or 0, report=hung), now_s=world.now_s
    )

    assert swarm.wake_at_s() is None


def test_a_process_told_again_before_its_stop_is_still_the_one() -> None:
    """A survey says what is known."""
    restart = in_phase(Phase.EVIDENCE)

    for pid in (7, None):
        step = lifecycle.seen(
            restart, ProcessState.RUNNING, pid, timeouts=TIMEOUTS, now_s=995.0
        )
        assert step == Step(restart)


def test_another_pid_is_another_process() -> None:
    """Also where the events between the two were lost."""
    node = appeared(N0, ProcessState.RUNNING, 7, now_s=1000.0)
    node = reported(node, Reported(name=N0, pid=7, report=report()), now_s=1001.0)

    same = moved(node, ProcessState.RUNNING, 7, now_s=1002.0)
    other = moved(node, ProcessState.RUNNING, 8, now_s=1002.0)

    assert same == node
    assert (other.pid, other.report, other.seen_at_s) == (8, None, 1002.0)


def test_an_exit_after_our_term_is_no_death_of_its_own() -> None:
    """The restart counts once, as a restart does."""
    world = World().run(2)
    world.disk_is_full = True
    hang(world)
    world.run(5)

    assert world.swarm is not None
    assert len(world.swarm.nodes[N0].failures) == 1


def test_who_waits_for_the_longest_is_healed_first() -> None:
    """Whatever its name."""
    world = World().run(2)
    world.processes[N0].ignores_term = True
    hang(world, 0)
    world.run(1)
    hang(world, 3)
    world.run(1)
    hang(world, 1)

    world.run(40)

    assert [record.node[-1] for record in world.records] == ["0", "3", "1"]


def test_what_no_event_told_is_seen_within_a_minute() -> None:
    """Nor any gap in the serials."""
    world = World().run(2)
    world.loses_events = True
    process = world.processes[N0]
    process.pid = None
    world.change(process, ProcessState.FATAL)
    world.loses_events = False

    world.run(61)

    assert [record.cause for record in world.records] == [Cause.FATAL]
