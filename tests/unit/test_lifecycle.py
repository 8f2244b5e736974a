"""A restart where answers, events, records, disks or listeners are lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm_event_listener.events import (
    Answer,
    Closed,
    Closing,
    GroupAdded,
    GroupRemoved,
    Level,
    Lost,
    Ordered,
    ProcessState,
    Reported,
    RollOrdered,
    Signal,
    Start,
    StateChanged,
    Stop,
    SupervisorChanged,
    Word,
)
from swarm_event_listener.record import Cause
from swarm_event_listener.restarts import Pace
from swarm_event_listener.rules import Status
from tests.simulation import POLICY, World, report

N0 = "swarm:node_0"
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
    world.tell(Ordered(word=Word.HOLD, names=(N0,)))
    fatal(world)
    world.run(10)
    assert world.of(Start) == []

    world.tell(Ordered(word=Word.RELEASE, names=(N0,)))
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
    pace = Pace(gap_s=1.0, max_restarts=3, period_s=600.0, backoff_max_s=60.0)
    world = World(policy=replace(POLICY, pace=pace)).run(2)
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
    pace = Pace(gap_s=1.0, max_restarts=2, period_s=600.0, backoff_max_s=60.0)
    world = World(policy=replace(POLICY, pace=pace)).run(2)
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
    for _ in range(POLICY.pace.max_restarts):
        assert world.said("message_suspected") == []
        world.processes[N0].report = {"in_flight": ("orders/3@7",)}
        world.run(2)
        world.die(N0)
        world.run(1)

    (said,) = world.said("message_suspected")
    assert said.level is Level.ERROR
    assert said.fields["suspect"] == "orders/3@7"


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
    world.tell(Ordered(word=Word.HOLD, names=(N0,)))
    world.kill_listener()
    world.start_listener()
    if is_released:
        world.tell(Ordered(word=Word.RELEASE, names=(N0,)))

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
        world = World(policy=replace(POLICY, pace=Pace(gap_s=5.0))).run(2)
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
    world = World(policy=replace(POLICY, pace=Pace(gap_s=60.0))).run(2)
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
    world = World(policy=replace(POLICY, pace=Pace(gap_s=5.0))).run(2)
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
    world.tell(Ordered(word=Word.HOLD, names=(N0,)))

    world.tell(Closing())
    assert world.swarm is not None
    assert world.swarm.is_settled
    world.tell(Closed())

    assert world.said("node_left_down") == []
    assert len(world.records) == 1


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
    world = World(policy=replace(POLICY, pace=Pace(gap_s=5.0))).run(2)
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
