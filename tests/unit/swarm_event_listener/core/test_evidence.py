"""No verdict on old evidence: what was said before a standstill, or by one of many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.model.events import (
    Event,
    Measured,
    Remember,
    Reported,
    Stalled,
    Stop,
    Thawed,
    Tick,
)
from tests.simulation import POLICY, World, report

BROKEN: list[dict[str, Any]] = [
    {"consume_age_ms": 5_001},
    {"poll_age_ms": 5_001},
    {"stalled_ms": 5_001, "stalled": ("orders/1",)},
    {"unsteady_ms": 5_001},
]


def _age_of(broken: dict[str, Any]) -> str:
    return next(iter(broken))


def say(world: World, node: int, *, late_s: float = 0.0, **fields: Any) -> None:
    """Let a node's report come, made so long ago."""
    process = world.processes[f"swarm:node_{node}"]
    assert process.pid is not None
    made = report(pid=process.pid, at_ms=round((world.now_s - late_s) * 1000), **fields)
    world.tell(Reported(name=process.name, pid=process.pid, report=made))


def say_all(world: World, **fields: Any) -> None:
    """Let all nodes report at the moment."""
    for node in range(len(world.processes)):
        say(world, node, **fields)


def silent_world(**fields: Any) -> World:
    """Return a world whose nodes have just reported and say no more by themselves.

    Its listener is there for longer than what ages are in these tests.
    """
    world = World(policy=replace(POLICY, interval_s=0.5, **fields))
    for process in world.processes.values():
        process.is_silent = True
    world.tell(Tick())
    world.now_s += 15
    say_all(world)
    world.tell(Tick())
    return world


def pass_time(world: World, seconds: float) -> None:
    """Let time pass, with a tick."""
    world.now_s += seconds
    world.tell(Tick())


@pytest.mark.parametrize("broken", BROKEN)
def test_what_was_said_before_a_stall_of_the_listener_is_no_evidence(
    broken: dict[str, Any],
) -> None:
    """Its own word after that is: a node that still breaks the rule is restarted."""
    world = silent_world()
    world.now_s += 15
    world.tell(Stalled())
    say_all(world, late_s=1)
    say(world, 0, late_s=0.2, **broken)
    pass_time(world, 0.2)
    assert world.of(Stop) == []

    world.now_s += 0.3
    say_all(world)
    say(world, 0, **{**broken, _age_of(broken): 21_000})
    pass_time(world, 0.2)
    pass_time(world, 0.2)

    assert len(world.of(Stop)) == 1


@pytest.mark.parametrize("broken", BROKEN)
def test_what_supervisord_hands_over_late_is_no_evidence(
    broken: dict[str, Any],
) -> None:
    """A node that is well by now is left alone, also where nobody saw the freeze."""
    world = silent_world()
    world.now_s += 4
    for late_s in (3.5, 2.5, 1.5, 0.1):
        say(world, 0, late_s=late_s, **broken)
    pass_time(world, 0.4)
    say(world, 0, **broken)  # what it prints has gone on just now
    pass_time(world, 0.4)

    for _ in range(10):
        world.now_s += 0.5
        say_all(world)
        world.tell(Tick())

    assert world.of(Stop) == []
    assert world.of(Remember) == []


def test_a_node_that_still_hangs_after_a_freeze_is_restarted() -> None:
    """Its first report of after that is enough."""
    world = silent_world()
    world.now_s += 15
    say(world, 0, late_s=14, consume_age_ms=5_001)
    assert world.of(Stop) == []

    world.now_s += 1.1
    say(world, 0, consume_age_ms=21_101)
    pass_time(world, 0.2)

    assert len(world.of(Stop)) == 1


def test_each_freeze_counts() -> None:
    """A report made between two of them tells nothing of the time after the second."""
    world = silent_world()
    world.now_s += 15
    say_all(world, late_s=14)
    world.now_s += 5
    say_all(world)
    world.now_s += 15
    say(world, 0, late_s=12, consume_age_ms=5_001)
    pass_time(world, 0.5)

    assert world.of(Stop) == []


def test_on_a_machine_that_is_always_late_nodes_are_healed() -> None:
    """All reports come seven seconds late: that is no freeze, and hides no hang."""
    world = silent_world()
    for late_s in (2, 4, 6, 7, 7, 7, 7, 7):
        world.now_s += 0.5
        say_all(world, late_s=late_s)
        say(world, 0, late_s=late_s, consume_age_ms=5_001)
        world.tell(Tick())

    assert len(world.of(Stop)) == 1


def test_a_long_silence_of_supervisord_is_a_freeze_without_any_late_report() -> None:
    """Reports of other programs need not tell when they were made."""
    world = silent_world()
    world.tell(Thawed())
    say(world, 0, late_s=0.1, consume_age_ms=5_001)
    pass_time(world, 0.2)

    assert world.of(Stop) == []


def test_a_standstill_that_ended_the_listener_is_known_to_the_next() -> None:
    """Its work stood still, too; what goes on hanging is restarted."""
    world = silent_world()
    unheard_since_s = world.now_s
    world.now_s += 21
    world.start_listener(unheard_since_s=unheard_since_s)
    world.now_s += 0.2
    say_all(world)
    say(world, 0, consume_age_ms=21_200)
    pass_time(world, 0.2)
    assert world.of(Stop) == []

    world.now_s += 6
    say_all(world)
    say(world, 0, consume_age_ms=27_400)
    pass_time(world, 0.2)
    assert [stop.name for stop in world.of(Stop)] == ["swarm:node_0"]


def test_a_dry_run_records_no_old_evidence_and_nothing_twice() -> None:
    """What was recorded before a freeze is the same trouble after it."""
    world = silent_world(dry_run=frozenset({2}))
    say(world, 0, consume_age_ms=5_001)
    world.now_s += 15
    world.tell(Stalled())
    say(world, 0, late_s=1, consume_age_ms=5_001)
    say(world, 1, late_s=1, consume_age_ms=5_001)
    pass_time(world, 0.5)
    say(world, 0, consume_age_ms=21_000)
    pass_time(world, 0.5)

    assert [record.record.node for record in world.of(Remember)] == ["swarm:node_0"]


def test_memory_is_read_anew_after_a_stall() -> None:
    """Readings in a row are not in a row across it."""
    limits = replace(POLICY.limits, memory_limit_bytes=100, memory_samples=2)
    world = silent_world(limits=limits)
    pid = world.pid(0) or 0
    over = Measured(name="swarm:node_0", pid=pid, memory_bytes=101)
    world.tell(over)
    world.now_s += 15
    world.tell(Stalled())
    world.tell(over)
    assert world.of(Stop) == []

    world.tell(over)
    pass_time(world, 0.2)

    assert len(world.of(Stop)) == 1


def test_a_frozen_group_is_heard_whichever_tick_comes_between() -> None:
    """The first node waits for the others, whose reports come 0.11 s later."""
    world = silent_world()
    world.now_s += 0.5
    say(world, 0, unsteady_ms=5_001)
    pass_time(world, 0.05)
    world.now_s += 0.06
    for node in (1, 2, 3):
        say(world, node, unsteady_ms=4_500)
    for _ in range(20):
        pass_time(world, 0.5)
        say_all(world, unsteady_ms=9_000)

    assert world.of(Stop) == []


def test_who_has_not_reported_in_time_is_not_waited_for() -> None:
    """Two intervals are enough for the others; the one that is frozen pays then."""
    world = silent_world()
    world.now_s += 0.7
    say(world, 0, unsteady_ms=5_001)
    pass_time(world, 0.9)
    assert world.of(Stop) == []

    pass_time(world, 0.2)
    pass_time(world, 0.2)

    assert [stop.name for stop in world.of(Stop)] == ["swarm:node_0"]


def test_nodes_that_hear_no_word_of_kafka_speak_for_the_one_that_is_unsteady() -> None:
    """Of a group that a broker freezes only who was in a rebalance is over a limit."""
    world = silent_world()
    for age_ms in range(500, 20_000, 500):
        world.now_s += 0.5
        say(world, 0, unsteady_ms=age_ms, kafka_groups=(f"abcd+{age_ms}",))
        for node in (1, 2, 3):
            say(world, node, brokers_up=1, kafka_groups=(f"abcd+{age_ms + 1000}",))
        world.tell(Tick())
    assert world.of(Stop) == []

    for _ in range(4):
        world.now_s += 0.5
        say(world, 0, unsteady_ms=20_000, kafka_groups=("abcd+19000",))
        for node in (1, 2, 3):
            say(world, node, brokers_up=1, kafka_groups=("abcd+5500",))
        world.tell(Tick())

    assert [stop.name for stop in world.of(Stop)] == ["swarm:node_0"]


@pytest.mark.parametrize("event", [Stalled(), Thawed(for_s=15.0)])
def test_what_stood_still_with_supervisord_is_not_behind_by_that(event: Event) -> None:
    """A handler that prints was held up: its batch is as old as it was."""
    world = silent_world()
    world.now_s += 15
    world.tell(event)
    for age_ms in (16_000, 16_500, 17_000, 17_500):
        world.now_s += 0.5
        say_all(world)
        say(world, 0, consume_age_ms=age_ms)
        world.tell(Tick())
    assert world.of(Stop) == []

    world.now_s += 3
    say(world, 0, consume_age_ms=20_500)
    pass_time(world, 0.2)

    assert len(world.of(Stop)) == 1
