"""The course of the demo, from what is seen to what is done."""

from dataclasses import replace

import pytest

from swarm_worker.demo.faults import Fault, Kind
from swarm_worker.demo.story import (
    Finding,
    Finish,
    Order,
    Say,
    Scene,
    Seen,
    Step,
    StopProducing,
    Story,
)

HANG = Fault(kind=Kind.HANGS, node=1, status=2, deed="hangs", cause="so it is")
LEAK = Fault(kind=Kind.LEAKS, node=0, status=3, deed="leaks", cause="so it is")


def seen(now_s: float, *, pids: tuple[int, int] = (10, 11)) -> Seen:
    """Two nodes that both consumed just now."""
    return Seen(
        now_s=now_s,
        consumer_pids=dict(enumerate(pids)),
        consumed_at_s={0: now_s, 1: now_s},
    )


def found(status: int = 2, *, pid: int = 11, at_s: float | None = None) -> Finding:
    """What the listener wrote of node 1."""
    return Finding(node=1, pid=pid, status=status, reason="x", detected_at_s=at_s)


def deeds(steps: list[Step]) -> list[Step]:
    """Leave out what is only said."""
    return [step for step in steps if not isinstance(step, Say)]


def story_at_fault(*faults: Fault) -> Story:
    """A story whose first fault has begun at 100 s."""
    story = Story(faults, nodes=2)
    for now_s in (98.0, 99.0):
        story.go_on(seen(now_s))
    story.go_on(replace(seen(100.0), began=frozenset(faults[:1])))
    return story


def test_nothing_is_done_until_every_node_consumes() -> None:
    """A fault in a swarm that is still booting would show nothing."""
    story = Story([HANG], nodes=2)
    half = Seen(now_s=1.0, consumer_pids={0: 10}, consumed_at_s={0: 1.0})

    assert story.go_on(half) == []
    assert deeds(story.go_on(seen(2.0))) == []
    assert deeds(story.go_on(seen(3.0))) == [Order(HANG)]


def test_a_node_that_consumed_long_ago_does_not_consume() -> None:
    """The next fault waits for a node that has fallen behind."""
    story = Story([HANG], nodes=2)
    story.go_on(seen(1.0))
    behind = replace(seen(10.0), consumed_at_s={0: 10.0, 1: 8.0})

    assert story.go_on(behind) == []


def test_a_fault_is_timed_from_when_the_node_took_its_order() -> None:
    """Not from the order: a node takes it with its next batch."""
    story = story_at_fault(HANG)

    story.go_on(replace(seen(103.5), findings=[found(at_s=103.2)]))
    story.go_on(seen(108.0, pids=(10, 12)))
    act = story.acts[0]

    assert (act.began_at_s, act.found_at_s, act.recovered_at_s) == (100, 103.2, 108)
    assert act.is_right


def test_a_finding_about_another_process_is_not_the_faults() -> None:
    """What the listener wrote of the node's former life does not count."""
    story = story_at_fault(HANG)

    story.go_on(replace(seen(103.0), findings=[found(pid=9)]))

    assert story.acts[0].finding is None
    assert story.scene is Scene.FAULT


def test_a_wrong_status_is_no_success() -> None:
    """The node recovers, yet it was called by the wrong name."""
    story = story_at_fault(HANG)

    story.go_on(replace(seen(103.0), findings=[found(status=1)]))
    story.go_on(seen(108.0, pids=(10, 12)))

    assert story.scene is Scene.QUIET
    assert not story.acts[0].is_right


def test_a_node_that_comes_back_unfound_does_not_stop_the_story() -> None:
    """It died by itself; the demo goes on, and is no success."""
    story = story_at_fault(HANG)

    story.go_on(seen(104.0, pids=(10, 12)))

    assert story.scene is Scene.QUIET
    assert not story.acts[0].is_right


def test_faults_come_one_after_the_other_and_the_end_waits_for_the_last_message() -> (
    None
):
    """Orders: the first, the second, no more messages, the end when none is left."""
    story = story_at_fault(HANG, LEAK)
    story.go_on(replace(seen(103.0), findings=[found()]))
    story.go_on(seen(108.0, pids=(10, 12)))

    assert deeds(story.go_on(seen(109.0, pids=(10, 12)))) == [Order(LEAK)]
    story.go_on(replace(seen(110.0, pids=(10, 12)), began=frozenset({LEAK})))
    story.go_on(seen(115.0, pids=(13, 12)))
    assert deeds(story.go_on(seen(116.0, pids=(13, 12)))) == [StopProducing()]
    assert story.go_on(replace(seen(117.0), lost_count=1)) == []
    assert story.go_on(seen(118.0)) == [Finish()]
    assert story.go_on(seen(119.0)) == []


@pytest.mark.parametrize("at_s", [None, 102.5])
def test_the_listeners_own_moment_is_taken_where_it_is_known(
    at_s: float | None,
) -> None:
    """A finished record has none on this clock: then it is when it was seen."""
    story = story_at_fault(HANG)

    story.go_on(replace(seen(103.0), findings=[found(at_s=at_s)]))

    assert story.acts[0].found_at_s == (at_s or 103.0)
