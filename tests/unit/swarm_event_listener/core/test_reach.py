"""A node that alone has lost Kafka is healed; where none has a broker, none is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.health import Word
from swarm_event_listener.core.model.events import Ordered, OrderKind, Stop
from swarm_worker.shared.report import GroupReach, mark_of
from tests.simulation import POLICY, World

BILLING = mark_of("billing")
AUDIT = mark_of("audit")
WELL: dict[str, Any] = {"brokers_up": 1, "kafka_groups": (f"{BILLING}+100",)}
TTL_S = 12.0


def make_world(count: int = 4, *, ttl_s: float = TTL_S, **fields: Any) -> World:
    """Return nodes of one Kafka group that have a broker."""
    limits = replace(POLICY.limits, stability_ttl_s=ttl_s)
    world = World(count, replace(POLICY, limits=limits, interval_s=1.0, **fields))
    world.born_report = WELL
    for process in world.processes.values():
        process.report = WELL
    return world.run(3)


def lose(world: World, *nodes: int, group: str = BILLING) -> None:
    """Let nodes have no broker from now on; `pass_time` lets the time grow."""
    for node in nodes:
        world.processes[f"swarm:node_{node}"].report = {
            "brokers_up": 0,
            "no_broker_ms": 0,
            "no_broker": "group billing: oauth_cb has not returned for 40 s",
            "kafka_groups": (f"{group}-0",),
        }


def pass_time(world: World, seconds: float) -> None:
    """Let time pass, and with it the times that the nodes tell."""
    for _ in range(round(seconds)):
        for process in world.processes.values():
            age_ms = process.report.get("no_broker_ms")
            if age_ms is not None:
                (reach,) = process.report["kafka_groups"]
                mark = GroupReach.read(reach).mark
                process.report = {
                    **process.report,
                    "no_broker_ms": age_ms + 1000,
                    "kafka_groups": (f"{mark}-{age_ms + 1000}",),
                }
        world.run(1)


def stopped(world: World) -> list[str]:
    """Return the nodes that were stopped, in order."""
    return [stop.name.removeprefix("swarm:node_") for stop in world.of(Stop)]


def test_a_node_that_says_no_more_is_silent_and_not_alone() -> None:
    """Frozen before it had a broker: nobody knows whether it lacks one still."""
    world = make_world(ttl_s=2.0)  # shorter than the longest silence
    lose(world, 0)
    pass_time(world, 1)
    world.processes["swarm:node_0"].is_silent = True
    pass_time(world, 12)

    assert [record.status for record in world.records] == [-1]


def test_a_node_that_alone_has_no_broker_is_restarted() -> None:
    """After stability_ttl, as status 4, with the cause that it tells."""
    world = make_world()
    lose(world, 0)
    pass_time(world, TTL_S - 2)
    assert stopped(world) == []

    pass_time(world, 12)

    (record,) = world.records
    assert (record.node, record.status) == ("swarm:node_0", 4)
    assert (
        "while other nodes have one: group billing: oauth_cb has not" in record.reason
    )


def test_who_finds_a_broker_later_than_others_was_not_alone_in_the_outage() -> None:
    """It counts from the first that has one again, however short the outage was."""
    world = make_world(ttl_s=5.0)
    lose(world, 0, 1, 2, 3)
    pass_time(world, 8)
    for node in (1, 2, 3):
        world.processes[f"swarm:node_{node}"].report = WELL
    pass_time(world, 4)
    assert stopped(world) == []

    pass_time(world, 4)

    assert stopped(world) == ["0"]


def test_where_none_has_a_broker_none_is_restarted() -> None:
    """However long it takes, and whoever lost it first."""
    world = make_world()
    for node in range(4):
        lose(world, node)
        pass_time(world, 1)

    pass_time(world, 60)

    assert stopped(world) == []
    assert len(world.said("outage_guard_holds_fire")) == 1


def test_a_connection_over_which_nothing_comes_is_no_broker_that_answers() -> None:
    """That to a frozen broker stands for a minute: the others have none either."""
    world = make_world()
    lose(world, 0)
    pass_time(world, 4)
    for process in list(world.processes.values())[1:]:
        process.report = {**WELL, "kafka_groups": (f"{BILLING}+60000",)}

    pass_time(world, 60)

    assert stopped(world) == []


def test_time_that_a_broker_was_frozen_is_not_time_alone() -> None:
    """When it answers others again, the one without has all the time to come back."""
    world = make_world()
    lose(world, 0)
    pass_time(world, 4)
    for process in list(world.processes.values())[1:]:
        process.report = {**WELL, "kafka_groups": (f"{BILLING}+60000",)}
    pass_time(world, 40)
    for process in list(world.processes.values())[1:]:
        process.report = WELL

    pass_time(world, TTL_S - 2)
    assert stopped(world) == []
    pass_time(world, 6)

    assert stopped(world) == ["0"]


def test_the_only_node_of_a_group_is_excused() -> None:
    """Nobody can tell that it is not Kafka; so is one whose others were stopped."""
    for count in (1, 3):
        world = make_world(count)
        for process in list(world.processes.values())[1:]:
            world.stop(process.name)
        world.run(15)
        lose(world, 0)
        pass_time(world, 60)

        assert [name for name in stopped(world) if name == "0"] == []
        assert world.swarm is not None
        node = world.swarm.nodes["swarm:node_0"]
        health = world.swarm.health(node, now_s=world.now_s)
        assert health.word is Word.BOOTING
        assert "oauth_cb has not returned" in health.why
        assert health.why.endswith("excused, as the only node of its group that runs")


def test_they_are_restarted_one_at_a_time_also_where_they_are_most() -> None:
    """Each waits for the one before it to have a broker: the guard is replaced."""
    world = make_world(max_unavailable=3)
    lose(world, 0, 1, 2)
    lost = world.processes["swarm:node_0"].report
    world.born_report = lost
    pass_time(world, 20)
    first = stopped(world)
    assert len(first) == 1

    world.born_report = WELL
    world.processes[f"swarm:node_{first[0]}"].report = WELL
    pass_time(world, 30)

    assert sorted(stopped(world)) == ["0", "1", "2"]
    assert len({record.node for record in world.records}) == 3
    assert world.down_most == 1


def test_one_that_no_restart_helps_does_not_keep_others_from_being_healed() -> None:
    """It comes again after the others: they had waited for longer."""
    world = make_world()
    lose(world, 0, 1)
    world.born_report = world.processes["swarm:node_0"].report
    pass_time(world, 20)
    (first,) = stopped(world)

    pass_time(world, 16)

    assert stopped(world)[1:2] == [{"0": "1", "1": "0"}[first]]


def test_a_cluster_of_which_only_some_nodes_have_a_group_is_no_ones_loss() -> None:
    """The brokers of another Kafka group prove nothing."""
    world = make_world()
    lose(world, 0, 1, group=AUDIT)

    pass_time(world, 60)

    assert stopped(world) == []


def test_a_node_with_one_of_its_clients_cut_off_is_restarted() -> None:
    """Its other client has a broker, so it is not even taken for troubled."""
    world = make_world()
    both = (f"{AUDIT}+100", f"{BILLING}+100")
    for process in world.processes.values():
        process.report = {**WELL, "kafka_groups": both}
    world.born_report = world.processes["swarm:node_1"].report
    world.run(3)
    for age_s in range(1, 20):
        world.processes["swarm:node_0"].report = {
            "brokers_up": 1,
            "no_broker_ms": age_s * 1000,
            "kafka_groups": (f"{AUDIT}-{age_s * 1000}", f"{BILLING}+100"),
        }
        world.run(1)
        if stopped(world):
            break

    assert stopped(world) == ["0"]


@pytest.mark.parametrize("ttl_s", [None, 600.0])
def test_the_limit_is_that_of_rule_4(ttl_s: float | None) -> None:
    """Turned off, or long: nobody is restarted for it sooner."""
    world = make_world()
    limits = replace(world.policy.limits, stability_ttl_s=ttl_s)
    world.policy = replace(world.policy, limits=limits)
    world.start_listener()
    lose(world, 0)

    pass_time(world, 60)

    assert stopped(world) == []


def test_a_held_node_is_left_alone_and_waited_for_by_nobody() -> None:
    """An operator's word stands, and does not stand in others' way."""
    world = make_world()
    lose(world, 0, 1)
    world.born_report = world.processes["swarm:node_0"].report
    pass_time(world, 20)
    (first,) = stopped(world)
    world.tell(Ordered(kind=OrderKind.HOLD, names=(f"swarm:node_{first}",)))
    pass_time(world, 3)

    assert len(stopped(world)) == 2


@pytest.mark.parametrize("text", ["", "x", "a+", "a-b", "a+²", "-", "+" * 40])
def test_what_cannot_be_read_tells_nothing(text: str) -> None:
    """A report comes from a process that may be of another version, or lie."""
    reach = GroupReach.read(text)

    assert (reach.heard_ms, reach.without_ms) == (None, None)
    assert str(GroupReach.read("ab12-7")) == "ab12-7"
    assert GroupReach.read("ab12+7").heard_ms == 7
