"""The swarm's decisions, seen through a simulated supervisord."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import (
    Answer,
    Closed,
    Closing,
    GroupRemoved,
    Intend,
    Level,
    Ordered,
    OrderKind,
    ProcessInfo,
    ProcessState,
    Publish,
    Reported,
    Say,
    Signal,
    Stalled,
    Start,
    StateChanged,
    Stop,
    SupervisorChanged,
    Surveyed,
    Tick,
)
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.model.rules import Limits, Status
from swarm_event_listener.core.swarm import Swarm
from swarm_worker.shared.report import ForeignReport, Report, State
from tests.simulation import POLICY, World, report

N0 = "swarm:node_0"


def hang(world: World, node: int = 0) -> int:
    """Let a node's batch be too old; give its pid."""
    process = world.processes[f"swarm:node_{node}"]
    process.report = {"consume_age_ms": 5_001, "in_flight": ("orders/3@7",)}
    assert process.pid is not None
    return process.pid


def test_a_hung_node_is_restarted_once_with_a_record() -> None:
    """One intent, one stop, one start, one record that tells it all."""
    world = World()
    old = hang(world)

    world.run(10)

    (record,) = world.records
    assert (record.node, record.pid, record.status) == (N0, old, 2)
    assert record.cause is Cause.RULE
    assert record.in_flight == ("orders/3@7",)
    assert "consuming_ttl: 5.0 s > 5.0 s at orders/3@7" in record.reason
    assert record.new_pid == world.pid(0) != old
    assert record.recovered_at_s is not None
    assert not record.killed
    assert [stop.pid for stop in world.of(Stop)] == [old]
    assert len(world.of(Start)) == 1
    assert world.intents == {}
    assert world.down_most == 1


def test_the_order_of_a_restart_is_kept() -> None:
    """Intent, evidence, stop, gap, start; the gap counts from the node's exit."""
    world = World()
    hang(world)

    world.run(10)

    steps = [
        type(action).__name__
        for action in world.actions
        if isinstance(action, Intend | Signal | Stop | Start)
    ]
    assert steps == ["Intend", "Signal", "Intend", "Stop", "Intend", "Start"]
    (record,) = world.records
    assert record.stopped_at_s is not None
    assert record.started_at_s is not None
    assert record.started_at_s - record.stopped_at_s >= POLICY.backoff.gap_s


def test_each_step_is_published_for_other_listeners() -> None:
    """Stopping, started, recovered: superlance-style listeners can follow."""
    world = World()
    hang(world)

    world.run(10)

    assert [event.type for event in world.of(Publish)] == [
        "swarm.node.stopping",
        "swarm.node.started",
        "swarm.node.recovered",
    ]


def test_memory_over_its_limit_takes_stacks_too() -> None:
    """Status 3 asks who holds it, before the stop."""
    policy = replace(POLICY, limits=replace(POLICY.limits, memory_limit_bytes=100))
    world = World(policy=policy)
    world.processes[N0].memory_bytes = 101

    world.run(10)

    assert [record.status for record in world.records] == [3]
    assert [signal.signal for signal in world.of(Signal)] == ["TTIN"]


def test_memory_needs_consecutive_samples() -> None:
    """One reading below the limit starts the count anew."""
    limits = replace(POLICY.limits, memory_limit_bytes=100, memory_samples=3)
    world = World(policy=replace(POLICY, limits=limits))
    process = world.processes[N0]

    for memory_bytes in (101, 101, 99, 101, 101):
        process.memory_bytes = memory_bytes
        world.run(1)
    assert world.of(Stop) == []

    process.memory_bytes = 101
    world.run(2)  # its stacks come first
    assert len(world.of(Stop)) == 1


@pytest.mark.parametrize("state", ["booting", "running"])
def test_a_limit_below_the_boot_size_is_said_loudly(state: str) -> None:
    """A node that never handled a message cannot be leaking."""
    policy = replace(POLICY, limits=replace(POLICY.limits, memory_limit_bytes=100))
    world = World(policy=policy)
    world.processes[N0].report = {"messages": 0, "state": state}
    world.processes[N0].memory_bytes = 101

    world.run(6)

    (said,) = world.said("memory_limit_below_boot_size")
    assert said.level is Level.ERROR


def test_a_node_that_had_room_before_its_first_message_has_a_limit_above_that() -> None:
    """Its last report is of before the message that took all the memory."""
    policy = replace(POLICY, limits=replace(POLICY.limits, memory_limit_bytes=100))
    world = World(policy=policy)
    world.processes[N0].report = {"messages": 0}
    world.processes[N0].memory_bytes = 99
    world.run(6)
    world.processes[N0].memory_bytes = 101

    world.run(3)

    assert len(world.of(Stop)) == 1
    assert world.said("memory_limit_below_boot_size") == []


def test_a_node_that_has_not_reported_to_a_new_listener_may_well_leak() -> None:
    """It gets the time to tell what it has handled, then it is restarted all the same.

    Without that no word is said of its boot size.
    """
    limits = replace(POLICY.limits, memory_limit_bytes=100, report_timeout_s=60.0)
    policy = replace(POLICY, limits=limits)
    world = World(policy=policy)
    world.processes[N0].is_silent = True
    world.processes[N0].memory_bytes = 101

    world.run(9)
    assert world.of(Stop) == []

    world.run(3)
    assert len(world.of(Stop)) == 1
    assert world.said("memory_limit_below_boot_size") == []


def test_a_silent_node_is_found_just_beyond_its_timeout() -> None:
    """Silence is judged by the listener's own timer."""
    world = World()
    world.run(3)
    world.processes[N0].is_silent = True

    world.run(4)
    assert world.of(Stop) == []

    world.run(6)
    assert [record.status for record in world.records] == [-1]


def test_a_node_that_ignores_term_is_killed_by_supervisord() -> None:
    """The listener waits for supervisord's KILL, and the record says so."""
    world = World()
    hang(world)
    world.processes[N0].ignores_term = True

    world.run(20)

    assert [record.killed for record in world.records] == [True]
    assert len(world.of(Stop)) == 1


def test_a_node_that_never_reported_gets_no_ttin() -> None:
    """Its default action would stop a process that has no handler yet."""
    world = World()
    world.run(2)
    world.is_born_silent = True
    world.die(N0)
    world.run(3)
    world.is_born_silent = False

    world.run(10)

    assert [record.status for record in world.records] == [-1]
    assert world.of(Signal) == []


def test_nobody_is_judged_silent_before_the_group_ever_reported() -> None:
    """Then it is the reporting that is broken: one ERROR, no restart."""
    world = World()
    for process in world.processes.values():
        process.is_silent = True

    world.run(60)

    assert world.of(Stop) == []
    assert len(world.said("group_never_reported")) == 1


def test_a_group_that_once_reported_is_judged_by_the_next_listener() -> None:
    """All nodes frozen and the listener restarted: silence still counts."""
    world = World().run(3)
    for process in world.processes.values():
        process.is_silent = True
    world.kill_listener()
    world.start_listener()

    world.run(120)

    assert {record.status for record in world.records} == {-1}
    assert len(world.records) == 4
    assert world.down_count() == 0


def test_an_operators_stop_stays() -> None:
    """Also over a restart of the listener."""
    world = World().run(2)
    world.stop(N0)

    world.run(30)
    world.kill_listener()
    world.start_listener()
    world.run(30)

    assert world.processes[N0].state is ProcessState.STOPPED
    assert world.records == []


def test_an_operators_stop_during_evidence_stays() -> None:
    """supervisord accepted it before ours: the listener stands down."""
    world = World()
    hang(world)
    world.tell(Reported(name=N0, pid=world.pid(0) or 0, report=_hung()))
    assert world.intents

    world.stop(N0)
    world.run(30)

    assert world.processes[N0].state is ProcessState.STOPPED
    assert world.of(Stop) == []
    assert world.records == []
    assert world.intents == {}


def test_an_operators_stop_of_a_successor_stays() -> None:
    """The listener died, the node was replaced and then stopped: not by our intent.

    Also when the intent was never acted on, and the node died by itself.
    """
    for is_stopped_by_us in (True, False):
        world = World().run(10)
        world.is_born_silent = True
        world.tell(Reported(name=N0, pid=world.pid(0) or 0, report=_hung()))
        if is_stopped_by_us:
            world.run(5)  # stopped, started, and not recovered yet
        world.kill_listener()
        if not is_stopped_by_us:
            world.run(5)
            world.die(N0)
            world.run(2)
        assert world.intents
        world.stop(N0)
        world.run(1 if is_stopped_by_us else 0)

        world.start_listener()
        world.run(30)

        assert world.processes[N0].state is ProcessState.STOPPED
        assert len(world.records) == is_stopped_by_us
        assert world.intents == {}


def _hung() -> Report:
    return report(consume_age_ms=5_001)


def test_an_operators_start_in_the_gap_wins() -> None:
    """The node is up: the record is kept and nothing is started twice."""
    world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=30.0)))
    hang(world)
    world.run(5)
    assert world.processes[N0].state is ProcessState.STOPPED

    world.start(N0)
    world.run(60)

    assert world.of(Start) == []
    assert [record.new_pid for record in world.records] == [world.pid(0)]


def test_a_node_that_dies_during_evidence_is_left_to_supervisord() -> None:
    """Nothing of ours happened to it, and the new process is not stopped."""
    world = World()
    hang(world)
    world.tell(Reported(name=N0, pid=world.pid(0) or 0, report=_hung()))

    world.die(N0)
    world.run(30)

    assert world.of(Stop) == []
    assert world.records == []
    assert world.down_count() == 0


def test_no_more_nodes_are_down_than_allowed() -> None:
    """All frozen at once: they are healed one after the other, all of them."""
    world = World(node_count=8).run(2)
    for process in world.processes.values():
        process.is_silent = process.ignores_term = True

    world.run(200)

    assert world.down_most <= 2
    assert len(world.records) == 8
    assert all(record.recovered_at_s for record in world.records)


def test_a_node_that_waits_and_gets_well_is_left_alone() -> None:
    """The governor's queue is no sentence."""
    world = World().run(2)
    hang(world, 0)
    hang(world, 1)
    world.run(1)
    assert len(world.said("restart_waits")) == 1

    world.processes["swarm:node_1"].report = {}
    world.run(30)

    assert [record.node for record in world.records] == [N0]


def test_a_crash_loop_is_paced() -> None:
    """Beyond max_restarts a new process is stopped, and started after the back-off."""
    world = World().run(2)

    for _ in range(600):
        if world.processes[N0].state is ProcessState.RUNNING:
            world.run(0.5)
            world.die(N0)
        world.run(0.5)

    backed_off = [record for record in world.records if record.cause is Cause.EXITED]
    assert len(backed_off) >= 3
    pauses_s = [record.pause_s for record in backed_off]
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[-1] == POLICY.backoff.backoff_max_s
    assert world.of(Publish)[0].type == "swarm.node.backing_off"


def test_a_node_in_back_off_comes_back() -> None:
    """The pause ends, for ever again: the node is never given up."""
    world = World().run(2)
    for _ in range(7):
        world.die(N0)
        world.run(1)
    assert world.processes[N0].state is ProcessState.STOPPED

    world.run(120)

    assert world.processes[N0].state is ProcessState.RUNNING
    assert world.records[-1].recovered_at_s is not None


def test_an_operators_start_in_a_back_off_wins() -> None:
    """Whoever starts a node by hand has looked at it."""
    world = World(
        policy=replace(POLICY, backoff=BackoffPolicy(gap_s=60.0, max_restarts=1))
    )
    world.run(2)
    for _ in range(3):
        world.die(N0)
        world.run(1)
    assert world.processes[N0].state is ProcessState.STOPPED

    world.start(N0)
    world.run(30)

    assert world.processes[N0].state is ProcessState.RUNNING


def test_a_fatal_node_is_tried_again() -> None:
    """supervisord gave it up; the listener does not."""
    world = World().run(2)
    process = world.processes[N0]
    process.pid = None
    world.change(process, ProcessState.FATAL)

    world.run(10)

    assert [record.cause for record in world.records] == [Cause.FATAL]
    assert process.state is ProcessState.RUNNING


def test_an_exit_that_was_expected_is_left_to_the_operator() -> None:
    """Exit 78 and 5 stay down, and one ERROR says so."""
    world = World().run(2)
    world.processes[N0].state = ProcessState.EXITED
    world.tell(
        StateChanged(
            name=N0, state=ProcessState.EXITED, pid=world.pid(0), expected=True
        )
    )

    assert [say.level for say in world.said("node_exited_for_good")] == [Level.ERROR]
    assert world.of(Start) == []


def test_a_node_that_exited_before_its_listener_came_is_told_of() -> None:
    """Exit 78 at once, while the listener still starts: the operator must know."""
    for code, said in ((78, True), (5, True), (1, False)):
        info = ProcessInfo(name=N0, state=ProcessState.EXITED, pid=None, exit_code=code)
        swarm = Swarm({"swarm": POLICY})
        actions = swarm.handle(Surveyed(processes=(info,)), now_s=1000.0)
        told = [a.event for a in actions if isinstance(a, Say)]
        assert ("node_exited_for_good" in told) is said


def exits(world: World, exit_code: int, node: int = 0) -> None:
    """Let a node exit with a code that supervisord leaves for a person."""
    world.processes[f"swarm:node_{node}"].exit_code = exit_code
    world.die(f"swarm:node_{node}")


def test_what_could_not_work_is_tried_again_until_it_is_mended() -> None:
    """Exit 78: every restart_backoff_max; what heals it is on record, once."""
    world = World().run(2)
    exits(world, 78)
    exited_at_s = world.now_s
    world.run(55)
    assert world.of(Start) == []
    world.born_exit_code = 78

    world.run(7)
    assert len(world.of(Start)) == 1
    assert world.processes[N0].state is ProcessState.EXITED
    assert world.now_s - exited_at_s < 65

    world.run(56)
    assert len(world.of(Start)) == 1, "not in a hot loop"
    world.born_exit_code = 0
    world.run(10)

    assert world.processes[N0].state is ProcessState.RUNNING
    (record,) = world.records
    assert (record.cause, record.status) == (Cause.EXITED, None)
    assert record.reason == "exit 78: tried again every 60 s"
    assert record.recovered_at_s is not None
    assert world.of(Stop) == []
    assert world.intents == {}


def test_a_fenced_node_is_not_tried_again() -> None:
    """Exit 5: another process is this node, and a start would fence that."""
    world = World().run(2)
    exits(world, 5)

    world.run(200)

    assert world.of(Start) == []
    assert world.processes[N0].state is ProcessState.EXITED


def test_an_operator_ends_the_tries() -> None:
    """By a hold, until it is released; by a stop of what was started again."""
    world = World().run(2)
    exits(world, 78)
    world.tell(Ordered(kind=OrderKind.HOLD, names=(N0,)))
    world.run(200)
    assert world.of(Start) == []

    world.tell(Ordered(kind=OrderKind.RELEASE, names=(N0,)))
    world.run(3)
    assert len(world.of(Start)) == 1

    world.stop(N0)
    world.run(200)
    assert len(world.of(Start)) == 1
    assert world.processes[N0].state is ProcessState.STOPPED


def test_tries_are_no_failures_for_which_an_operators_start_is_put_off() -> None:
    """However often it was tried: what he starts runs."""
    world = World(
        policy=replace(POLICY, backoff=BackoffPolicy(backoff_max_s=10.0))
    ).run(2)
    exits(world, 78)
    world.born_exit_code = 78
    world.run(200)
    assert len(world.of(Start)) > 10
    assert world.records == []
    world.born_exit_code = 0

    world.start(N0)
    world.run(3)

    assert world.of(Stop) == []
    assert world.processes[N0].state is ProcessState.RUNNING


def test_a_dry_run_and_a_listener_that_ends_try_nothing_again() -> None:
    """Both leave alone what is there."""
    policy = replace(POLICY, dry_run=frozenset(Status))
    world = World(policy=policy).run(2)
    exits(world, 78)
    assert world.run(200).of(Start) == []

    world = World().run(2)
    exits(world, 78)
    world.run(50)
    world.tell(Closing())
    assert world.run(50).of(Start) == []


@pytest.mark.parametrize("killed_after_s", [1.0, 30.0, 60.5, 61.0, 61.5])
def test_the_next_listener_goes_on_with_the_tries(killed_after_s: float) -> None:
    """Its time is that of the exit, as supervisord tells it, not of a listener."""
    world = World().run(2)
    exits(world, 78)
    exited_at_s = world.now_s
    world.run(killed_after_s)
    world.kill_listener()
    world.run(3)
    world.start_listener()

    world.run(max(0.0, exited_at_s + 64 - world.now_s))

    assert world.processes[N0].state is ProcessState.RUNNING
    assert len(world.of(Start)) == 1


def test_listeners_that_come_and_go_still_try_again() -> None:
    """None of them lives for as long as restart_backoff_max."""
    world = World().run(2)
    exits(world, 78)
    for _ in range(9):
        world.run(10)
        world.kill_listener()
        world.start_listener()

    assert world.processes[N0].state is ProcessState.RUNNING


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0])
@pytest.mark.parametrize("away_s", [0.5, 5.0])
def test_a_killed_listeners_restart_is_finished_by_the_next(
    seconds: float, away_s: float
) -> None:
    """At whatever step it is killed: one stop, one record, the node runs."""
    world = World()
    hang(world)
    world.processes[N0].ignores_term = True
    world.tell(Reported(name=N0, pid=world.pid(0) or 0, report=_hung()))
    world.run(seconds)

    world.kill_listener()
    world.run(away_s)
    world.start_listener()
    world.run(30)

    assert len(world.of(Stop)) == 1
    assert [record.status for record in world.records] == [2]
    assert world.down_count() == 0
    assert world.intents == {}


def test_a_full_disk_does_not_stop_supervision() -> None:
    """Without a durable intent the node gets TERM, and supervisord brings it back."""
    world = World()
    world.disk_is_full = True
    hang(world)

    world.run(10)

    assert [signal.signal for signal in world.of(Signal)] == ["TERM"]
    assert world.of(Stop) == []
    assert [record.status for record in world.records] == [2]
    assert world.down_count() == 0


def test_a_node_that_ignores_term_on_a_full_disk_is_killed_by_us() -> None:
    """supervisord does not escalate a plain signal."""
    world = World()
    world.disk_is_full = True
    hang(world)
    world.processes[N0].ignores_term = True

    world.run(20)

    assert [signal.signal for signal in world.of(Signal)] == ["TERM", "KILL"]
    assert [record.killed for record in world.records] == [True]


def test_a_stalled_listener_judges_nobody_by_the_time_it_missed() -> None:
    """Silence is counted anew after the listener itself did not run."""
    world = World().run(3)
    world.now_s += 120

    world.tell(Stalled())
    world.run(2)

    assert world.of(Stop) == []


def test_during_an_outage_the_guard_holds_fire() -> None:
    """Half of the group without a broker: 1, 2 and 4 are Kafka's fault; 3 is not."""
    limits = replace(POLICY.limits, memory_limit_bytes=100)
    world = World(policy=replace(POLICY, limits=limits)).run(2)
    hang(world, 0)
    for node in (1, 2):
        world.processes[f"swarm:node_{node}"].report = {"brokers_up": 0}
    world.run(2)
    world.run(20)

    held = [record.status for record in world.records if record.status != 2]
    assert held == []

    world.processes["swarm:node_3"].memory_bytes = 101
    world.run(10)
    assert 3 in [record.status for record in world.records]


def test_the_outage_guard_speaks_once_and_lets_go() -> None:
    """Afterwards a node that is still hung is restarted."""
    world = World()
    for process in world.processes.values():
        process.report = {"brokers_up": 0, "consume_age_ms": 9_000}
        pid = process.pid or 0
        report_now = report(brokers_up=0)
        world.tell(Reported(name=process.name, pid=pid, report=report_now))
    world.run(20)
    assert world.of(Stop) == []
    assert len(world.said("outage_guard_holds_fire")) == 1

    for process in world.processes.values():
        process.report = {}
    hang(world)
    world.run(10)

    assert len(world.said("outage_over")) == 1
    assert [record.status for record in world.records] == [2]


@pytest.mark.parametrize(
    ("age", "status"), [("unsteady_ms", 4), ("stalled_ms", 2)], ids=str
)
def test_who_comes_back_later_than_others_has_his_limit_anew(
    age: str, status: int
) -> None:
    """The nodes of a frozen broker come back one by one."""
    world = World(node_count=3).run(2)
    for process in world.processes.values():
        process.report = {"brokers_up": 0}
    world.run(2)
    for process in world.processes.values():
        process.report = {"brokers_up": 0, age: 9_000}
    world.run(4)
    assert len(world.said("outage_guard_holds_fire")) == 1

    for node in (1, 2):
        world.processes[f"swarm:node_{node}"].report = {}
    began_s = world.now_s
    world.processes[N0].report = {age: 15_000}
    world.run(5)
    assert len(world.said("outage_over")) == 1
    assert world.of(Stop) == []

    world.run(5)
    assert [record.status for record in world.records] == [status]
    assert world.records[0].detected_at_s - began_s > 5.0


def test_a_listener_that_was_not_there_takes_what_was_before_it_for_an_outage() -> None:
    """It may have started just after one; a batch that hangs is no matter of Kafka."""
    world = World(node_count=4).run(2)
    world.processes[N0].report = {"unsteady_ms": 60_000}
    world.processes["swarm:node_1"].report = {"stalled_ms": 60_000}
    world.processes["swarm:node_2"].report = {"consume_age_ms": 60_000}
    world.kill_listener()
    world.start_listener()
    world.run(4)
    assert {stop.name for stop in world.of(Stop)} == {"swarm:node_2"}

    world.run(10)
    assert {stop.name for stop in world.of(Stop)} == {
        f"swarm:node_{node}" for node in range(3)
    }


def test_what_was_said_in_an_outage_is_no_evidence_after_it() -> None:
    """The next report counts, which a node that hangs makes, too."""
    world = World(node_count=2)
    for process in world.processes.values():
        process.is_silent = True
    world.now_s += 2
    for process in world.processes.values():
        told = report(brokers_up=0, consume_age_ms=4_000)
        world.tell(Reported(name=process.name, pid=process.pid or 0, report=told))
    world.tell(Tick())
    world.now_s += 1
    for process in world.processes.values():
        told = report(brokers_up=0, consume_age_ms=5_001)
        world.tell(Reported(name=process.name, pid=process.pid or 0, report=told))
    world.tell(Tick())
    other = world.processes["swarm:node_1"]

    world.tell(Reported(name=other.name, pid=other.pid or 0, report=report()))
    world.tell(Tick())
    assert world.of(Intend) == []

    world.now_s += 1
    told = report(consume_age_ms=6_000)
    world.tell(Reported(name=N0, pid=world.pid(0) or 0, report=told))
    world.run(2)
    assert [stop.name for stop in world.of(Stop)] == [N0]


def stopped_but_for(world: World, count: int) -> World:
    """Let an operator stop all nodes of a world but the first few."""
    for process in list(world.processes.values())[count:]:
        world.stop(process.name)
    return world.run(3)


def test_a_quarter_is_that_of_the_nodes_that_run() -> None:
    """Of twelve, eight are stopped: of the four that hang one is down at a time."""
    world = stopped_but_for(World(node_count=12), 4)
    for node in range(4):
        hang(world, node)

    most = max(world.run(0.5).down_count() for _ in range(80)) - 8

    assert most == 1
    assert {record.node for record in world.records} == {
        f"swarm:node_{node}" for node in range(4)
    }


def test_an_outage_is_that_of_half_of_the_nodes_that_run() -> None:
    """Of twelve, eight are stopped: two of the others without a broker are half."""
    world = stopped_but_for(World(node_count=12), 4)
    for node in (1, 2):
        world.processes[f"swarm:node_{node}"].report = {"brokers_up": 0}
    world.run(2)
    hang(world)

    world.run(20)

    assert len(world.said("outage_guard_holds_fire")) == 1
    assert world.of(Stop) == []


def test_a_node_that_is_down_for_a_restart_is_one_of_those_that_run() -> None:
    """Else the share would shrink with each restart, and the guard would speak up."""
    world = stopped_but_for(World(node_count=12), 8)
    for node in range(8):
        hang(world, node)

    most = max(world.run(0.5).down_count() for _ in range(20)) - 4

    assert most == 2


def test_a_group_that_is_stopped_unheard_does_not_report_now() -> None:
    """That it never reported is over with it, yet nobody has reported."""
    world = World(node_count=2)
    world.is_born_silent = True
    for process in world.processes.values():
        process.is_silent = True
    world.kill_listener()
    world.intents.clear()
    world.start_listener()
    world.swarm = Swarm({"swarm": POLICY})
    world.tell(Surveyed(processes=world.survey()))
    world.run(30)
    assert len(world.said("group_never_reported")) == 1

    stopped_but_for(world, 0)

    assert world.said("group_reports") == []


def test_a_frozen_group_is_heard_before_its_first_node_pays() -> None:
    """Status 4 of one node waits for the others' reports of the same moment."""
    world = World()
    for process in world.processes.values():
        process.report = {"unsteady_ms": 5_001}

    world.run(20)

    assert world.of(Stop) == []


def test_one_frozen_node_is_restarted() -> None:
    """Status 4 of one node of four is the node's own."""
    world = World()
    world.processes[N0].report = {"unsteady_ms": 5_001}

    world.run(10)

    assert [record.status for record in world.records] == [4]


def test_a_dry_run_records_once_and_does_nothing() -> None:
    """What would have been done is on record, once for each trouble."""
    world = World(policy=replace(POLICY, dry_run=frozenset({2})))
    hang(world)
    world.run(20)
    assert world.of(Stop) == []
    assert [record.dry_run for record in world.records] == [True]

    world.processes[N0].report = {}
    world.run(2)
    hang(world)
    world.run(5)
    assert len(world.records) == 2


def test_a_dry_run_of_one_status_leaves_the_others_alone() -> None:
    """Status 1 is acted on while 2 is only recorded."""
    world = World(policy=replace(POLICY, dry_run=frozenset({2})))
    world.processes[N0].report = {"consume_age_ms": 9_000, "poll_age_ms": 9_000}

    world.run(10)

    assert [record.status for record in world.records] == [1]


def test_a_watching_listener_does_not_touch_fatal_nodes() -> None:
    """--dry-run means that nothing is done at all."""
    world = World(policy=replace(POLICY, dry_run=frozenset(Status)))
    process = world.processes[N0]
    process.pid = None
    world.change(process, ProcessState.FATAL)

    world.run(30)

    assert world.of(Start) == []


def test_a_held_node_is_left_alone_until_released() -> None:
    """A node under a debugger hangs as long as it likes, over a new listener too."""
    world = World().run(2)
    hang(world)
    world.tell(Ordered(kind=OrderKind.HOLD, names=(N0,)))
    world.run(10)
    world.kill_listener()
    world.start_listener()
    world.run(10)
    assert world.of(Stop) == []

    world.tell(Ordered(kind=OrderKind.RELEASE, names=("swarm:*",)))
    world.run(10)
    assert [record.status for record in world.records] == [2]


@pytest.mark.parametrize("seconds", [0.0, 1.5, 3.0])
@pytest.mark.parametrize("is_new_listener", [False, True])
def test_a_node_that_is_held_in_its_restart_stays_as_it_is(
    seconds: float, *, is_new_listener: bool
) -> None:
    """Evidence, stop or gap: supervisord would refuse the operator's own stop then."""
    world = World(policy=replace(POLICY, backoff=BackoffPolicy(gap_s=30.0)))
    old = hang(world)
    world.processes[N0].ignores_term = seconds == 1.5
    world.tell(Reported(name=N0, pid=old, report=_hung()))
    world.run(seconds)
    was = world.processes[N0].state

    world.tell(Ordered(kind=OrderKind.HOLD, names=(N0,)))
    if is_new_listener:
        world.kill_listener()
        world.start_listener()
    world.run(60)

    is_running = was is ProcessState.RUNNING
    assert world.processes[N0].state is (
        ProcessState.RUNNING if is_running else ProcessState.STOPPED
    )
    assert len(world.records) == (0 if is_running else 1)
    assert world.of(Start) == []
    assert world.intents == {}


def test_a_report_of_a_former_process_changes_nothing() -> None:
    """Late reports cannot keep a silent node alive, nor condemn a healthy one."""
    world = World().run(2)
    old = world.pid(0) or 0
    world.die(N0)
    world.run(1)

    world.tell(Reported(name=N0, pid=old, report=_hung()))
    world.run(5)

    assert world.of(Stop) == []


def test_a_report_of_another_version_proves_life_and_no_more() -> None:
    """It is not judged, and silence counts from it."""
    world = World().run(2)
    world.processes[N0].is_silent = True
    for _ in range(10):
        world.tell(Reported(name=N0, pid=world.pid(0) or 0, report=ForeignReport(2)))
        world.run(1)
    assert world.of(Stop) == []

    world.run(10)
    assert [record.status for record in world.records] == [-1]


def test_a_boot_without_end_is_status_minus_one_unless_excused() -> None:
    """No broker, or an id that Kafka still holds, excuse a long boot."""
    policy = replace(POLICY, limits=Limits(report_timeout_s=4.0, boot_ttl_s=10.0))
    world = World(policy=policy)
    booting = {"state": State.BOOTING, "poll_age_ms": None}
    for excuse in ({"brokers_up": 0}, {"awaits_id": True}):
        world.processes[N0].report = {**booting, **excuse}
        world.run(30)
    assert world.of(Stop) == []

    world.processes[N0].report = booting
    world.run(12)
    assert [stop.name for stop in world.of(Stop)] == [N0]


def test_a_stopping_node_is_judged_by_its_silence_alone() -> None:
    """Somebody signalled it: its ages mean nothing, its silence does."""
    world = World().run(2)
    world.processes[N0].report = {"state": State.STOPPING, "poll_age_ms": 10**6}
    world.run(10)
    assert world.of(Stop) == []

    world.processes[N0].is_silent = True
    world.run(10)
    assert [record.status for record in world.records] == [-1]


def test_a_message_that_kills_each_time_is_named() -> None:
    """The same oldest message at each failure: the record names the suspect."""
    world = World(
        policy=replace(POLICY, backoff=BackoffPolicy(gap_s=1.0, max_restarts=3))
    )
    for _ in range(3):
        hang(world)
        world.run(12)

    assert [record.suspect for record in world.records] == [None, None, "orders/3@7"]


def test_nothing_is_done_while_supervisord_shuts_down() -> None:
    """Its own stops are nobody's violation."""
    world = World().run(2)
    world.tell(SupervisorChanged(state="STOPPING"))
    hang(world)

    world.run(30)

    assert world.of(Stop) == []


def test_a_removed_group_is_forgotten() -> None:
    """Restarts of nodes that are no more end without a start, and nobody is alarmed."""
    world = World()
    hang(world)
    world.run(2)
    assert world.down_count() == 1

    world.tell(GroupRemoved(group="swarm"))

    assert world.swarm is not None
    assert not world.swarm.nodes
    assert world.intents == {}
    assert world.said("node_left_down") == []


def test_a_closing_listener_leaves_no_node_down() -> None:
    """What is down is started at once, what is stopping as soon as it is gone."""
    world = World(
        node_count=8, policy=replace(POLICY, backoff=BackoffPolicy(gap_s=60.0))
    )
    hang(world, 0)
    world.run(3)
    hang(world, 1)
    world.processes["swarm:node_1"].ignores_term = True
    world.run(2)
    assert world.down_count() == 2
    assert world.swarm is not None

    world.tell(Closing())
    world.run(6)

    assert world.swarm.is_settled
    world.tell(Closed())
    assert world.down_count() == 0
    assert world.intents == {}
    assert len(world.records) == 2


def test_a_listener_that_cannot_wait_says_whom_it_left_down() -> None:
    """An ERROR with the command that helps."""
    world = World()
    hang(world)
    world.processes[N0].ignores_term = True
    world.run(2)

    world.tell(Closing())
    world.tell(Closed())

    assert [say.fields["node"] for say in world.said("node_left_down")] == [N0]
    assert world.intents == {}


def test_an_unkillable_node_does_not_hold_up_the_others() -> None:
    """A process in uninterruptible sleep frees its place after a minute, loudly."""
    world = World(node_count=2).run(2)
    hang(world, 0)
    hang(world, 1)
    stuck = replace(POLICY.stop_timeouts, stop_wait_s=10**6)
    world.policy = replace(
        POLICY, stop_timeouts=stuck
    )  # supervisord never gets it killed
    world.processes[N0].ignores_term = True

    world.run(80)

    assert len(world.said("node_unkillable")) == 1
    assert [record.node for record in world.records] == ["swarm:node_1"]


def test_a_start_that_was_ignored_is_asked_again() -> None:
    """supervisord says True to a start while the process is still STOPPING."""
    world = World()
    hang(world)
    ignored: list[str] = []
    really = world.start

    def start(name: str) -> dict[str, object]:
        if len(ignored) < 2:
            ignored.append(name)
            return {"answer": Answer.DONE}
        return really(name)

    world.start = start  # type: ignore[method-assign]

    world.run(20)

    assert world.down_count() == 0
    assert [record.status for record in world.records] == [2]


def test_a_start_that_fails_is_tried_again_later() -> None:
    """No such file: an ERROR, a minute's pause, and on."""
    world = World()
    hang(world)
    really = world.start

    def no_file(name: str) -> dict[str, object]:
        assert name == N0
        return {"answer": Answer.FAULT, "fault": 20}

    world.start = no_file  # type: ignore[method-assign]
    world.run(10)
    assert len(world.said("start_failed")) == 1

    world.start = really  # type: ignore[method-assign]
    world.run(90)

    assert world.down_count() == 0


def test_an_unanswered_stop_is_asked_again_and_counts_once() -> None:
    """supervisord may have carried it out: NOT_RUNNING then means ours."""
    world = World()
    hang(world)
    really = world.stop
    lost: list[str] = []

    def stop(name: str, pid: int | None = None) -> dict[str, object]:
        answer = really(name, pid)
        if not lost:
            lost.append(name)
            return {"answer": Answer.UNREACHABLE}
        return answer

    world.stop = stop  # type: ignore[method-assign]
    world.processes[N0].ignores_term = True

    world.run(30)

    assert [record.status for record in world.records] == [2]
    assert world.down_count() == 0
