"""The rolling restart, through a simulated supervisord."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.model.events import (
    Closing,
    GroupAdded,
    GroupRemoved,
    Intend,
    Ordered,
    OrderKind,
    ProcessState,
    Reported,
    RollCancelled,
    RollOrdered,
    Signal,
    Stop,
)
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.node import Failure, Node, appeared
from swarm_event_listener.core.reports import reported
from swarm_event_listener.core.rolling_restart import (
    NodeInProgress,
    Roll,
    RollStep,
    advance,
)
from swarm_event_listener.storage.restored_state import restored
from swarm_worker.shared.report import Failing, ForeignReport, State
from tests.simulation import POLICY, World, report

ORDER = RollOrdered(group="swarm", timeout_s=20.0)


def test_all_nodes_are_restarted_one_after_the_other() -> None:
    """Each is told to be quiet, drained, restarted; then the next; one is down."""
    world = World().run(2)
    old = [world.pid(node) for node in range(4)]
    world.tell(ORDER)

    world.run(60)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert rolled.is_over
    assert rolled.failure is None
    assert len(rolled.done) == 4
    assert world.down_most == 1
    assert [record.cause for record in world.records] == [Cause.ROLL] * 4
    assert {world.pid(node) for node in range(4)}.isdisjoint(old)
    assert [s.signal for s in world.of(Signal)] == ["TSTP"] * 4
    assert len(world.said("roll_ends")) == 1
    for_each_node = len(world.said("roll_goes_on")) / 4
    assert 1 <= for_each_node <= 4  # when something changed, not with each tick


def test_a_node_with_work_is_not_stopped_before_its_batches_are_done() -> None:
    """Quiet first: a batch in flight keeps its node from being stopped."""
    world = World().run(2)
    busy = world.processes["swarm:node_0"]
    busy.report = {"consume_age_ms": 100}
    world.tell(ORDER)
    world.run(5)
    assert world.of(Stop) == []

    busy.report = {**busy.report, "consume_age_ms": None}
    world.run(2)
    assert [stop.name for stop in world.of(Stop)] == ["swarm:node_0"]


def test_a_node_that_is_drained_is_restarted_by_its_report() -> None:
    """It does nothing until then: the next tick may be a second away."""
    world = World().run(2)
    node = world.processes["swarm:node_0"]
    node.report = {"consume_age_ms": 100}
    world.tell(ORDER)
    world.run(2)
    assert world.of(Intend) == []

    node.report = {**node.report, "consume_age_ms": None}
    world.report_of(node)

    assert [intend.name for intend in world.of(Intend)] == ["swarm:node_0"]


def test_a_node_that_failed_often_is_not_kept_down_by_a_roll() -> None:
    """Its turn is no failure; what it failed at is perhaps what was mended."""
    world = World().run(2)
    for _ in range(POLICY.backoff.max_restarts + 3):
        world.processes["swarm:node_0"].report = {"consume_age_ms": 10**9}
        world.run(int(POLICY.backoff.backoff_max_s) + 30)
        world.processes["swarm:node_0"].report = {}
        world.run(5)
    assert world.records[-1].pause_s > POLICY.backoff.gap_s
    world.tell(ORDER)

    world.run(60)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].failure is None
    rolled = [r for r in world.records if r.cause is Cause.ROLL]
    assert [(r.pause_s, r.suspect) for r in rolled] == [
        (POLICY.backoff.gap_s, None)
    ] * 4


def test_a_node_that_does_not_drain_halts_the_roll_and_works_on() -> None:
    """It goes back to work, the others are not touched, and the failure is named."""
    world = World().run(2)
    world.processes["swarm:node_1"].report = {"consume_age_ms": 100}
    world.tell(ORDER)

    world.run(60)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert rolled.is_over
    assert rolled.failure == "swarm:node_1 did not end its batches within 20 s"
    assert rolled.done == ("swarm:node_0",)
    assert world.processes["swarm:node_1"].report["state"] is State.RUNNING
    assert len(world.of(Stop)) == 1


def test_new_code_that_crashes_halts_the_roll_after_one_node() -> None:
    """The first death ends the roll: nobody else is taken down."""
    world = World().run(2)
    old = world.pid(0)
    world.is_born_silent = True
    world.tell(ORDER)
    while world.pid(0) in {old, None}:
        world.run(0.5)

    world.die("swarm:node_0")
    world.run(40)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].failure == "swarm:node_0 failed in its turn"
    assert {record.node for record in world.records} == {"swarm:node_0"}


def test_new_code_that_hangs_halts_the_roll_after_one_node() -> None:
    """The node does not report again: nobody else is taken down."""
    world = World().run(2)
    world.tell(ORDER)
    world.run(1)
    world.is_born_silent = True

    world.run(80)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert rolled.failure == "swarm:node_0 failed in its turn"
    assert {record.node for record in world.records} == {"swarm:node_0"}


def test_a_node_that_its_group_does_not_let_in_halts_the_roll() -> None:
    """Polls alone are no work; the failure has Kafka's reason."""
    world = World().run(2)
    world.tell(ORDER)
    world.born_report = {"not_joined": "group g: JoinGroup failed"}

    world.run(90)

    assert world.swarm is not None
    failure = world.swarm.rolls["swarm"].failure
    told = "was not back (group g: JoinGroup failed)"
    assert failure == f"swarm:node_0 {told} within 20 s"
    assert {record.node for record in world.records} == {"swarm:node_0"}


def test_a_node_without_partitions_is_no_success() -> None:
    """A node that held partitions has to hold some again."""
    world = World().run(2)
    world.tell(ORDER)
    world.born_report = {"assigned": 0}

    world.run(40)

    assert world.swarm is not None
    failure = world.swarm.rolls["swarm"].failure
    assert failure == "swarm:node_0 got no partitions back within 20 s"


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6])
def test_a_killed_listeners_roll_is_finished_by_the_next(seconds: float) -> None:
    """Each node is restarted exactly once all the same."""
    world = World().run(2)
    world.tell(ORDER)
    world.run(seconds)
    world.kill_listener()
    world.run(1)
    world.start_listener()

    world.run(60)

    assert sorted(record.node for record in world.records) == [
        f"swarm:node_{node}" for node in range(4)
    ]
    assert world.down_most <= 1
    assert world.note.rolls == ()


def test_a_cancelled_roll_finishes_the_node_whose_turn_it_is() -> None:
    """Ctrl-C stops between nodes."""
    world = World().run(2)
    world.tell(ORDER)
    world.run(2)

    world.tell(RollCancelled(group="swarm"))
    world.run(30)

    assert [record.node for record in world.records] == ["swarm:node_0"]
    assert world.down_count() == 0


def test_a_second_roll_is_refused_while_one_is_under_way() -> None:
    """The first goes on as it was."""
    world = World().run(2)
    world.tell(ORDER)
    world.tell(ORDER)

    world.run(60)

    assert len(world.said("roll_refused")) == 1
    assert len(world.records) == 4


def test_a_stopped_node_is_skipped() -> None:
    """An operator stopped it: a roll does not start it."""
    world = World().run(2)
    world.stop("swarm:node_2")
    world.run(2)
    world.tell(ORDER)

    world.run(60)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].skipped == ("swarm:node_2",)
    assert len(world.records) == 3


def test_a_node_in_back_off_is_the_listeners_to_start() -> None:
    """It needs no turn: what is started after the order has the new code."""
    backoff = replace(POLICY.backoff, max_restarts=1)
    world = World(policy=replace(POLICY, backoff=backoff)).run(2)
    for _ in range(2):
        world.die("swarm:node_0")
        world.run(1)
    world.tell(ORDER)

    world.run(60)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert (rolled.restarting, rolled.skipped) == (("swarm:node_0",), ())
    assert rolled.failure is None
    assert len(rolled.done) == 3


def test_a_closing_listener_begins_no_further_node() -> None:
    """What is under way comes up; the rest is left alone."""
    world = World().run(2)
    world.tell(ORDER)
    world.run(2)

    world.tell(Closing())
    world.run(30)

    assert len(world.of(Stop)) <= 1
    assert world.down_count() == 0


def test_a_roll_and_a_rule_share_the_governors_places() -> None:
    """One node is quiet for its turn, another hangs: one is down at a time."""
    world = World().run(2)
    busy = world.processes["swarm:node_0"]
    busy.report = {"consume_age_ms": 100}
    world.tell(ORDER)
    world.run(2)
    world.processes["swarm:node_3"].report = {"consume_age_ms": 9_000}
    world.processes["swarm:node_3"].ignores_term = True
    world.run(1)
    busy.report = {**busy.report, "consume_age_ms": None}

    world.run(60)

    assert world.down_most == 1
    assert world.swarm is not None
    assert len(world.swarm.rolls["swarm"].done) == 4


def test_two_that_are_drained_at_once_do_not_take_the_same_place() -> None:
    """One of the two places is another's, who is down by a rule."""
    world = World().run(2)
    busy = [world.processes[f"swarm:node_{n}"] for n in (0, 1)]
    for process in busy:
        process.report = {"consume_age_ms": 100}
    world.tell(RollOrdered(group="swarm", max_unavailable=2, timeout_s=60.0))
    world.run(2)
    world.processes["swarm:node_3"].report = {"consume_age_ms": 9_000}
    world.processes["swarm:node_3"].ignores_term = True
    world.run(1)
    for process in busy:
        process.report = {**process.report, "consume_age_ms": None}

    world.run(60)

    assert world.down_most == 2
    assert world.swarm is not None
    assert len(world.swarm.rolls["swarm"].done) == 4


def test_a_roll_that_finds_no_place_in_time_says_so() -> None:
    """The node goes back to work."""
    world = World().run(2)
    busy = world.processes["swarm:node_0"]
    busy.report = {"consume_age_ms": 100}
    world.tell(RollOrdered(group="swarm", timeout_s=6.0))
    world.run(1)
    world.processes["swarm:node_3"].report = {"consume_age_ms": 9_000}
    world.processes["swarm:node_3"].ignores_term = True
    world.run(1)
    busy.report = {**busy.report, "consume_age_ms": None}
    world.run(6)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].failure == (
        "swarm:node_0 found too many others down within 6 s"
    )
    assert busy.report["state"] is State.RUNNING


def test_a_held_node_is_not_rolled() -> None:
    """It is under somebody's debugger."""
    world = World().run(2)
    world.tell(Ordered(kind=OrderKind.HOLD, names=("swarm:node_1",)))
    world.tell(ORDER)

    world.run(60)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert (rolled.held, rolled.skipped) == (("swarm:node_1",), ())
    assert rolled.failure is None
    assert len(rolled.done) == 3


def test_nodes_that_will_be_left_alone_do_not_wait_for_their_turn() -> None:
    """It is known from the start how many will be restarted."""
    world = World().run(2)
    world.stop("swarm:node_0")
    world.run(2)
    held = ("swarm:node_0", "swarm:node_1")
    world.tell(Ordered(kind=OrderKind.HOLD, names=held))
    world.tell(ORDER)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert rolled.waiting == ("swarm:node_2", "swarm:node_3")
    assert rolled.skipped == ("swarm:node_0",)  # held, but it has no old code to run
    assert rolled.held == ("swarm:node_1",)


def test_a_node_that_is_being_healed_has_its_turn() -> None:
    """It may have been started again before the new code was there."""
    world = World().run(2)
    world.processes["swarm:node_0"].report = {"consume_age_ms": 9_000}
    while world.processes["swarm:node_0"].state is not ProcessState.STOPPED:
        world.run(0.5)
    world.tell(ORDER)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].waiting[0] == "swarm:node_0"


def test_a_node_that_is_held_before_its_turn_is_left_with_the_old_code() -> None:
    """Its name is kept apart from those of nodes that do not run."""
    world = World().run(2)
    world.tell(ORDER)
    world.run(1)
    world.tell(Ordered(kind=OrderKind.HOLD, names=("swarm:node_3",)))

    world.run(60)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert (rolled.held, rolled.skipped) == (("swarm:node_3",), ())
    assert rolled.failure is None


def test_a_roll_of_nobody_is_over_at_once() -> None:
    """All are held."""
    world = World().run(2)
    world.tell(Ordered(kind=OrderKind.HOLD, names=("swarm",)))
    world.tell(ORDER)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].is_over
    assert len(world.swarm.rolls["swarm"].held) == 4
    assert len(world.said("roll_ends")) == 1


def test_a_node_that_is_held_in_its_turn_ends_the_roll_and_works_on() -> None:
    """Nobody restarts what an operator holds."""
    world = World().run(2)
    busy = world.processes["swarm:node_0"]
    busy.report = {"consume_age_ms": 100}
    world.tell(ORDER)
    world.run(2)

    world.tell(Ordered(kind=OrderKind.HOLD, names=("swarm:node_0",)))
    busy.report = {**busy.report, "consume_age_ms": None}
    world.run(20)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].failure == "swarm:node_0 is held"
    assert world.of(Stop) == []
    assert busy.report["state"] is State.RUNNING


@pytest.mark.parametrize(
    ("is_held", "why"), [(False, "was stopped by somebody else"), (True, "is held")]
)
def test_a_node_that_stays_down_in_its_turn_ends_the_roll(
    *, is_held: bool, why: str
) -> None:
    """At once, and it says so: nobody is about to start it."""
    down = replace(
        appeared("swarm:node_0", ProcessState.STOPPED, None, now_s=1000.0),
        is_held=is_held,
    )
    turned = NodeInProgress(
        name=down.name, pid=7, since_s=999.0, had_partitions=True, is_asked=True
    )
    rolled = Roll(
        group="swarm", max_unavailable=1, timeout_s=300.0,
        waiting=("swarm:node_1",), turned=(turned,),
    )  # fmt: skip

    step = advance(rolled, {down.name: down}, free_places=1, now_s=1000.0)

    assert step.roll.is_over
    assert step.roll.failure == f"swarm:node_0 {why}"
    assert step.to_restart == ()


def test_a_roll_ends_with_its_group() -> None:
    """`supervisorctl update`: nobody of the group that follows is restarted."""
    world = World().run(2)
    busy = world.processes["swarm:node_0"]
    busy.report = {"consume_age_ms": 100}
    world.tell(ORDER)
    world.run(1)

    world.tell(GroupRemoved(group="swarm"))
    world.tell(GroupAdded(group="swarm"))
    busy.report = {**busy.report, "consume_age_ms": None}
    world.run(30)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert (rolled.turned, rolled.waiting) == ((), ())  # none is left as it was
    assert str(rolled.failure).startswith("supervisord removed the group")
    assert len(world.said("roll_ends")) == 1
    assert world.of(Stop) == []


def test_a_removed_group_ends_no_other_roll_and_no_roll_twice() -> None:
    """Nor does it say so."""
    world = World().run(2)
    world.tell(ORDER)
    world.tell(GroupRemoved(group="other"))
    assert world.said("roll_ends") == []

    world.run(60)
    world.tell(GroupRemoved(group="swarm"))

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].failure is None
    assert len(world.said("roll_ends")) == 1


def test_a_roll_of_an_unwatched_group_is_refused() -> None:
    """There is nobody to roll, and nothing to cancel."""
    world = World().run(2)
    world.tell(RollOrdered(group="other"))
    world.tell(RollCancelled(group="other"))

    assert len(world.said("roll_refused")) == 1


def test_nodes_without_our_reports_are_rolled() -> None:
    """Their graceful stop drains them; running is all that is known of the new one."""
    world = World(1).run(1)
    process = world.processes["swarm:node_0"]
    process.is_silent = world.is_born_silent = True
    world.kill_listener()
    world.start_listener()
    world.tell(ORDER)
    for _ in range(20):
        pid = process.pid
        if pid is not None and process.state is ProcessState.RUNNING:
            world.tell(Reported(name=process.name, pid=pid, report=ForeignReport(2)))
        world.run(1)

    assert world.swarm is not None
    assert world.swarm.rolls["swarm"].done == ("swarm:node_0",)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"group": 7},
        {"max_unavailable": "1"},
        {"timeout_s": float("nan")},
        {"waiting": "swarm:node_0"},
        {"done": [1]},
        {"held": [1]},
        {"ordered_at_s": "x"},
        {"is_cancelled": 1},
        {"failure": 1},
        {"turned": [{"name": "swarm:node_0"}]},
        {"turned": [1]},
    ],
)
def test_a_roll_that_cannot_be_read_back_is_refused(spoilt: dict[str, object]) -> None:
    """Whatever stands in the journal, the next listener does not fall over it."""
    roll = Roll(group="swarm", max_unavailable=1, timeout_s=1.0, waiting=())
    plain = {**roll.as_json(), **spoilt}

    left = restored({}, {"rolls": [plain, roll.as_json()]}, now_s=1000.0)

    assert left.rolls == (roll,)


def test_a_roll_goes_on_through_an_upgrade_and_back() -> None:
    """What is unknown is left out, and what was not told yet is nothing."""
    roll = Roll(group="swarm", max_unavailable=1, timeout_s=1.0, waiting=("a", "b"))
    older = roll.as_json()
    del older["held"], older["ordered_at_s"]
    newer = {**roll.as_json(), "more": 1}

    left = restored({}, {"rolls": [older, newer]}, now_s=1000.0)

    assert left.rolls == (roll, roll)


# --- single steps ---------------------------------------------------------------------

A, B = "swarm:node_0", "swarm:node_1"


def idle(name: str, **fields: Any) -> Node:
    """Return a node that runs as pid 7 and has nothing in flight."""
    node = appeared(name, ProcessState.RUNNING, 7, now_s=900.0)
    told = Reported(name=name, pid=7, report=report(**fields))
    return reported(node, told, now_s=900.0)


def a_roll(**fields: Any) -> Roll:
    """Return a roll in which the first node is in progress, since 1000."""
    first = NodeInProgress(
        name=A, pid=7, since_s=1000.0, had_partitions=True, is_asked=True
    )
    fresh = Roll(group="swarm", max_unavailable=2, timeout_s=20.0, waiting=(B,))
    return replace(fresh, turned=(first,), **fields)


def step_of(roll: Roll, *nodes: Node, free_places: int, now_s: float) -> RollStep:
    """Move a roll on."""
    by_name = {node.name: node for node in nodes}
    return advance(roll, by_name, free_places=free_places, now_s=now_s)


def test_only_a_quiet_node_without_work_is_restarted() -> None:
    """Idle is not enough: it could take the next batch at any moment."""
    roll = a_roll(waiting=())
    quiet = {"state": State.QUIET}

    for told, is_restarted in (
        ({}, False),
        ({**quiet, "consume_age_ms": 1}, False),
        (quiet, True),
    ):
        step = step_of(roll, idle(A, **told), free_places=1, now_s=1001.0)
        assert (step.to_restart == (A,)) is is_restarted


def test_a_quiet_node_keeps_a_place_for_itself() -> None:
    """Two may have their turn, but only one may be down."""
    for free_places, turned_count in ((1, 1), (2, 2)):
        step = step_of(
            a_roll(), idle(A), idle(B), free_places=free_places, now_s=1001.0
        )
        assert len(step.roll.turned) == turned_count


def test_a_node_that_is_no_more_ends_the_roll() -> None:
    """Nobody told that it went: a survey found it missing."""
    step = step_of(a_roll(), idle(B), free_places=1, now_s=1001.0)

    assert step.roll.is_over
    assert step.roll.failure == f"{A} is no longer known"
    assert step.actions == ()


def test_a_node_that_is_just_starting_is_waited_for() -> None:
    """Then it runs, or is down: passed over it might run the old code."""
    roll = replace(a_roll(), turned=(), waiting=(A,))
    starting = replace(idle(A), state=ProcessState.STARTING)

    for node, waiting, held in (
        (starting, (A,), ()),
        (replace(starting, is_held=True), (), (A,)),
        (replace(starting, state=ProcessState.BACKOFF), (), ()),
        (idle(A), (), ()),
    ):
        step = step_of(roll, node, free_places=1, now_s=1001.0)
        assert (step.roll.waiting, step.roll.held) == (waiting, held)


def test_no_more_have_their_turn_than_were_ordered() -> None:
    """However many places are free."""
    step = step_of(
        a_roll(max_unavailable=1), idle(A), idle(B), free_places=9, now_s=1001.0
    )

    assert len(step.roll.turned) == 1


def test_a_turn_that_takes_exactly_its_time_is_in_time() -> None:
    """And a moment more is too late."""
    for now_s, failure in (
        (1020.0, None),
        (1020.1, f"{A} did not end its batches within 20 s"),
    ):
        step = step_of(a_roll(), idle(A), free_places=1, now_s=now_s)
        assert step.roll.failure == failure


def test_only_what_fails_after_its_turn_began_is_the_rolls_failure() -> None:
    """What failed before was brought back, and is rolled."""
    for at_s, failure in ((1000.0, None), (1000.1, f"{A} failed in its turn")):
        node = replace(idle(A), failures=(Failure(at_s),))
        step = step_of(a_roll(), node, free_places=1, now_s=1001.0)
        assert step.roll.failure == failure


def test_a_roll_does_not_wait_for_a_message_that_fails() -> None:
    """Before and after a node's restart: what it needs may be days away."""
    world = World().run(2)
    message = Failing(at="t/0@7", error="E()", attempts=8, for_ms=180_000)
    world.tell(ORDER)
    for _ in range(60):
        for process in world.processes.values():
            process.report = {"failing": (message,), "failing_count": 1}
        world.run(1)

    assert world.swarm is not None
    rolled = world.swarm.rolls["swarm"]
    assert (rolled.is_over, rolled.failure, len(rolled.done)) == (True, None, 4)
    assert [record.cause for record in world.records] == [Cause.ROLL] * 4
    healths = {
        world.swarm.health(node, now_s=world.now_s).word
        for node in world.swarm.nodes.values()
    }
    assert healths == {"failing"}
