"""Spares: nodes that are down since their group is to run fewer."""

from __future__ import annotations

from swarm_event_listener.core.health import Health, Word
from swarm_event_listener.core.model.events import (
    Ordered,
    OrderKind,
    ProcessInfo,
    ProcessState,
    RollOrdered,
    ScaleRead,
    Start,
    Surveyed,
)
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.swarm import Swarm
from swarm_worker.shared.scale import Scale
from tests.simulation import POLICY, World

LAST = "swarm:node_3"
FINISHED_S = 5.0  # after an order


def health(world: World, name: str = LAST) -> Health:
    """Return how the listener calls a node."""
    assert world.swarm is not None
    return world.swarm.health(world.swarm.nodes[name], now_s=world.now_s)


def states(world: World) -> list[ProcessState]:
    """Return the states of all nodes."""
    return [process.state for process in world.processes.values()]


R, E = ProcessState.RUNNING, ProcessState.EXITED


def test_a_spare_is_well_and_has_not_died() -> None:
    """As soon as it ends, and once a survey has told its exit code."""
    world = World().run(2)
    world.scale(3)
    world.run(1)
    assert health(world) == Health(Word.SPARE, "3 nodes are to run")
    world.run(70)
    assert health(world).word is Word.SPARE
    assert (world.deaths, world.records) == ([], [])
    assert world.said("node_exited_for_good") == []
    assert states(world) == [R, R, R, E]


def test_a_spare_that_ended_unseen_has_not_died_either() -> None:
    """The events were lost, or there was no listener."""
    world = World().run(2)
    world.loses_events = True
    world.scale(3)
    world.run(2)
    world.loses_events = False
    world.tell(Surveyed(processes=world.survey()))
    world.kill_listener()
    world.orders = {"swarm": Scale(nodes=2)}
    world.run(3)
    world.start_listener()
    world.run(5)

    assert states(world) == [R, R, E, E]
    assert {health(world, f"swarm:node_{n}").word for n in (2, 3)} == {Word.SPARE}
    assert (world.deaths, world.said("node_died")) == ([], [])


def test_what_is_missing_is_started_where_nobody_else_did() -> None:
    """All together, when whoever gave the order has had the time to."""
    world = World().run(2)
    world.scale(1)
    world.run(10)
    world.scale(3)
    world.run(1)
    assert states(world) == [R, E, E, E]
    world.run(FINISHED_S)
    assert states(world) == [R, R, R, E]
    assert world.deaths == []
    assert [record.reason for record in world.records] == [
        "exit 6: it was a spare, and is to run"
    ] * 2


def test_what_an_operator_wants_down_is_not_started() -> None:
    """A node that he has stopped, or holds."""
    world = World().run(2)
    world.stop("swarm:node_1")
    world.run(2)
    world.scale(1)
    world.run(2)
    world.tell(Ordered(kind=OrderKind.HOLD, names=("swarm:node_2",)))
    world.scale(4)
    world.run(20)
    assert states(world) == [R, ProcessState.STOPPED, E, R]


def test_a_node_that_is_to_run_and_takes_itself_for_a_spare_has_died() -> None:
    """Its number is another one than ours: it is tried, ever and again."""
    world = World().run(70)
    world.born_exit_code, world.logged_end = 6, {"exit_code": 6}
    world.die(LAST)
    world.run(2)
    assert health(world).word is Word.UNHEALTHY
    world.run(10)
    died = world.deaths[-1].death
    assert died is not None
    assert "as a spare, although it is to run" in str(died)
    started = len(world.of(Start))
    world.run(POLICY.backoff.backoff_max_s)
    assert len(world.of(Start)) == started + 1
    world.born_exit_code = 0
    world.run(POLICY.backoff.backoff_max_s + 5)
    assert states(world) == [R, R, R, R]


def test_a_node_that_was_born_before_an_order_is_tried_soon() -> None:
    """It has read the number of before."""
    world = World().run(2)
    world.scale(4)
    world.run(10)
    world.born_exit_code = 6
    world.die(LAST)
    world.run(1)
    world.born_exit_code = 0
    world.run(POLICY.backoff.gap_s + 2)
    assert states(world) == [R, R, R, R]


def test_a_roll_leaves_spares_out() -> None:
    """They begin with the new code whenever they are needed."""
    world = World().run(2)
    world.scale(2)
    world.run(5)
    world.tell(RollOrdered(group="swarm"))
    world.run(30)
    assert world.swarm is not None
    roll = world.swarm.rolls["swarm"]
    assert (roll.done, roll.skipped) == (("swarm:node_0", "swarm:node_1"), ())


def test_each_change_is_on_record_once() -> None:
    """With who and why, also over the listener's death; and that it was taken away."""
    world = World().run(2)
    world.scale(3)
    world.run(2)
    world.tell(ScaleRead(orders=world.orders))
    world.kill_listener()
    world.start_listener()
    world.run(2)
    world.orders = {**world.orders, "other": Scale(nodes=1)}
    world.tell(ScaleRead(orders=world.orders))
    world.orders = {}
    world.tell(ScaleRead(orders={}))
    world.run(1)

    told = [(s.fields["group"], s.fields["nodes"]) for s in world.said("swarm_scaled")]
    assert told == [("swarm", 3), ("swarm", "as start_nodes says")]
    first, last = world.note.scaled
    assert (first["before"], first["nodes"], first["by"]) == (None, 3, "me")
    assert (last["before"], last["nodes"]) == (3, None)


def test_the_setting_counts_where_nothing_was_ordered() -> None:
    """And a node of which no id is known is to run."""
    swarm = Swarm({"g": Policy(start_nodes=1)})
    infos = tuple(
        ProcessInfo(name=f"g:{name}", state=E, pid=None, exit_code=6)
        for name in ("a_0", "a_1", "b")
    )
    swarm.handle(ScaleRead(orders={}), now_s=1.0)
    swarm.handle(Surveyed(processes=infos), now_s=1.0)
    words = [swarm.health(n, now_s=1.0).word for n in swarm.nodes.values()]
    assert words == [Word.UNHEALTHY, Word.SPARE, Word.UNHEALTHY]


def test_the_status_tells_of_each_program() -> None:
    """By its group, or by group and program where that has two."""
    world = World().run(2)
    world.processes["swarm:node_0"].report = {"least_nodes": 2}
    world.scale(3)
    world.run(3)
    assert world.swarm is not None
    told = world.swarm.scale["swarm"]
    figures = {"nodes": 3, "running": 3, "least": 2, "most": 4, "partitions": 9}
    assert {key: told[key] for key in figures} == figures
    assert told["by"] == "me"

    swarm = Swarm({"g": Policy()})
    names = ("a_0", "a_1", "b_0")
    infos = tuple(ProcessInfo(name=f"g:{n}", state=R, pid=1) for n in names)
    swarm.handle(Surveyed(processes=infos), now_s=1.0)
    swarm.handle(ScaleRead(orders={"g:a": Scale(nodes=9)}), now_s=1.0)
    assert {key: told["nodes"] for key, told in swarm.scale.items()} == {
        "g:a": 2,
        "g:b": 1,
    }
