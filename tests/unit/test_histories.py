"""What holds for every history, whatever happens to nodes, listener and disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_event_listener.events import ProcessState, Stop
from swarm_event_listener.record import Cause
from swarm_event_listener.restarts import Pace
from tests.simulation import POLICY, World

NODES = 4

sick = st.sampled_from(
    [
        {"consume_age_ms": 9_000, "in_flight": ("orders/3@7",)},
        {"poll_age_ms": 9_000},
        {"unsteady_ms": 9_000},
        {"brokers_up": 0},
    ]
)
faults = st.one_of(
    st.tuples(st.just("sick"), st.integers(0, NODES - 1), sick),
    st.tuples(st.just("well"), st.integers(0, NODES - 1)),
    st.tuples(st.just("die"), st.integers(0, NODES - 1)),
    st.tuples(st.just("silent"), st.integers(0, NODES - 1)),
    st.tuples(st.just("stubborn"), st.integers(0, NODES - 1)),
    st.tuples(st.just("operator_stops"), st.integers(0, NODES - 1)),
    st.tuples(st.just("operator_starts"), st.integers(0, NODES - 1)),
    st.tuples(st.just("listener_dies")),
    st.tuples(st.just("disk_full"), st.booleans()),
)
histories = st.lists(st.tuples(faults, st.integers(0, 12)), max_size=25)


class Story:
    """A world to which things happen, and what its operator last said."""

    def __init__(self) -> None:
        pace = Pace(gap_s=1.0, max_restarts=4, period_s=60.0, backoff_max_s=20.0)
        self.world = World(NODES, replace(POLICY, pace=pace)).run(2)
        self.stopped_by_operator: set[str] = set()

    def happens(self, what: str, *args: object) -> None:
        """Let one thing happen."""
        getattr(self, what)(*args)

    def sick(self, node: int, fields: dict[str, object]) -> None:
        """Let a node report something bad."""
        self.world.processes[f"swarm:node_{node}"].report = fields

    def well(self, node: int) -> None:
        """Let a node be healthy again."""
        process = self.world.processes[f"swarm:node_{node}"]
        process.report = {}
        process.is_silent = process.ignores_term = False

    def die(self, node: int) -> None:
        """Let a process end by itself."""
        self.world.die(f"swarm:node_{node}")

    def silent(self, node: int) -> None:
        """Let a node stop reporting."""
        self.world.processes[f"swarm:node_{node}"].is_silent = True

    def stubborn(self, node: int) -> None:
        """Let a node ignore TERM."""
        self.world.processes[f"swarm:node_{node}"].ignores_term = True

    def operator_stops(self, node: int) -> None:
        """`supervisorctl stop`: counts when supervisord accepted it."""
        name = f"swarm:node_{node}"
        if "fault" not in self.world.stop(name):
            self.stopped_by_operator.add(name)

    def operator_starts(self, node: int) -> None:
        """`supervisorctl start`; while the process is STOPPING it has no effect."""
        name = f"swarm:node_{node}"
        self.world.start(name)
        if self.world.processes[name].state is not ProcessState.STOPPING:
            self.stopped_by_operator.discard(name)

    def listener_dies(self) -> None:
        """SIGKILL, and supervisord starts it again a second later."""
        self.world.kill_listener()
        self.world.run(1)
        self.world.start_listener()

    def disk_full(self, is_full: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Let the disk be full, or not."""
        self.world.disk_is_full = is_full


def live(history: list[tuple[tuple[object, ...], int]]) -> Story:
    """Live through a history, and let everything be well for long enough at its end."""
    story = Story()
    for (what, *args), seconds in history:
        story.happens(str(what), *args)
        story.world.run(seconds)
    story.world.disk_is_full = False
    for node in range(NODES):
        story.well(node)
    story.world.run(100)
    return story


@settings(max_examples=20, deadline=None)
@given(histories)
def test_every_history_ends_well(history: list[tuple[tuple[object, ...], int]]) -> None:
    """Whatever happened, afterwards all is as its operator wants it.

    Each node runs unless its operator stopped it; no process was told to stop twice;
    nothing is left begun; every record of a rule's restart belongs to a process of its
    own.
    """
    story = live(history)
    world = story.world

    for name, process in world.processes.items():
        wanted = (
            ProcessState.STOPPED
            if name in story.stopped_by_operator
            else ProcessState.RUNNING
        )
        assert process.state is wanted, name
    stops = Counter(stop.pid for stop in world.of(Stop))
    assert all(times == 1 for times in stops.values())
    assert world.intents == {}
    by_rule = [r.pid for r in world.records if r.cause is Cause.RULE]
    assert len(by_rule) == len(set(by_rule))


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(NODES)), st.integers(0, 6)), max_size=12)
)
def test_one_node_at_a_time_is_down_by_our_hand(falls: list[tuple[int, int]]) -> None:
    """With a quarter of four allowed, hung nodes are healed one by one."""
    story = Story()
    for node, seconds in falls:
        story.sick(node, {"consume_age_ms": 9_000})
        story.stubborn(node)
        story.world.run(seconds)
    story.world.run(100)

    assert story.world.down_most <= 1
    assert story.world.down_count() == 0


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 3_900), min_size=1, max_size=60))
def test_a_node_that_is_healthy_in_time_is_never_touched(gaps_ms: list[int]) -> None:
    """However irregularly it reports, within its timeout nothing happens to it."""
    world = World(1).run(2)
    process = world.processes["swarm:node_0"]
    for gap_ms in gaps_ms:
        process.is_silent = True
        world.now_s += gap_ms / 1000
        process.is_silent = False
        world.report_of(process)
        world.run(0)

    assert world.of(Stop) == []
