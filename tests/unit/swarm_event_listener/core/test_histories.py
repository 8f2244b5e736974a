"""What holds for every history, whatever happens to nodes, listener and disk.

More of them::

    from tests.unit.swarm_event_listener.core.test_histories import many; many(3000)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm_event_listener.core.health import WELL, Word
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import (
    Closed,
    Closing,
    GroupAdded,
    GroupRemoved,
    Lost,
    Ordered,
    OrderKind,
    ProcessState,
    RollCancelled,
    RollOrdered,
    Stalled,
    Stop,
    SupervisorChanged,
)
from swarm_worker.shared.settings import EXIT_SPARE
from tests.simulation import POLICY, World

NODES = 4
History = list[tuple[tuple[object, ...], int]]

node = st.integers(0, NODES - 1)
few = st.integers(1, 3)
sick = st.sampled_from(
    [
        {"consume_age_ms": 9_000, "in_flight": ("orders/3@7",)},
        {"poll_age_ms": 9_000},
        {"unsteady_ms": 9_000},
        {"brokers_up": 0},
    ]
)
about_nodes = [
    "well",
    "die",
    "silent",
    "stubborn",
    "fatal",
    "bloated",
    "operator_stops",
    "operator_starts",
    "operator_restarts",
    "hold",
    "release",
]
about_all = [
    "listener_dies",
    "listener_ends",
    "stalled",
    "roll",
    "cancel_roll",
    "group_comes_anew",
    "supervisor_hesitates",
]
faults = st.one_of(
    st.tuples(st.just("sick"), node, sick),
    st.tuples(st.sampled_from(about_nodes), node),
    st.tuples(st.sampled_from(about_all)),
    st.tuples(st.just("scale"), st.integers(1, NODES)),
    st.tuples(st.just("disk_full"), st.booleans()),
    st.tuples(st.sampled_from(["lost_calls", "lost_answers"]), few),
    st.tuples(st.just("lost_events"), st.integers(1, 8)),
)
histories = st.lists(st.tuples(faults, st.integers(0, 12)), max_size=25)


def name_of(node: int) -> str:
    """Return the full name of a node."""
    return f"swarm:node_{node}"


class Story:
    """A world to which things happen, and what its operator last said."""

    def __init__(self) -> None:
        backoff = BackoffPolicy(
            gap_s=1.0, max_restarts=4, period_s=60.0, backoff_max_s=20.0
        )
        limits = replace(POLICY.limits, memory_limit_bytes=100)
        self.world = World(NODES, replace(POLICY, backoff=backoff, limits=limits)).run(
            2
        )
        self.may_be_stopped: set[str] = set()
        self.must_be_stopped: set[str] = set()

    def happens(self, what: str, *args: object) -> None:
        """Let one thing happen."""
        getattr(self, what)(*args)

    def sick(self, node: int, fields: dict[str, object]) -> None:
        """Let a node report something bad."""
        self.world.processes[name_of(node)].report = fields

    def well(self, node: int) -> None:
        """Let a node be healthy again."""
        process = self.world.processes[name_of(node)]
        process.report = {}
        process.is_silent = process.ignores_term = False
        process.memory_bytes = 50

    def die(self, node: int) -> None:
        """Let a process end by itself."""
        self.world.die(name_of(node))

    def silent(self, node: int) -> None:
        """Let a node stop reporting."""
        self.world.processes[name_of(node)].is_silent = True

    def stubborn(self, node: int) -> None:
        """Let a node ignore TERM."""
        self.world.processes[name_of(node)].ignores_term = True

    def bloated(self, node: int) -> None:
        """Let a node's memory be over its limit."""
        self.world.processes[name_of(node)].memory_bytes = 101

    def fatal(self, node: int) -> None:
        """Let supervisord give a node up."""
        process = self.world.processes[name_of(node)]
        if process.state is ProcessState.RUNNING:
            self.world.change(process, ProcessState.FATAL)

    def operator_stops(self, node: int) -> None:
        """`supervisorctl stop`: counts when supervisord accepted it."""
        name = name_of(node)
        if "fault" not in self.world.stop(name):
            self.may_be_stopped.add(name)
            self.must_be_stopped.add(name)

    def operator_starts(self, node: int) -> None:
        """`supervisorctl start`; while the process is STOPPING it has no effect."""
        name = name_of(node)
        self.world.start(name)
        if self.world.processes[name].state is not ProcessState.STOPPING:
            self.may_be_stopped.discard(name)
            self.must_be_stopped.discard(name)

    def operator_restarts(self, node: int) -> None:
        """`supervisorctl restart`: a stop, its end, a start."""
        self.operator_stops(node)
        self.world.run(1)
        self.operator_starts(node)

    def hold(self, node: int) -> None:
        """`supervisorctl swarm hold`: what is down by our hand then stays down."""
        self.may_be_stopped.add(name_of(node))
        self.world.tell(Ordered(kind=OrderKind.HOLD, names=(name_of(node),)))

    def release(self, node: int) -> None:
        """`supervisorctl swarm release`."""
        self.world.tell(Ordered(kind=OrderKind.RELEASE, names=(name_of(node),)))

    def listener_dies(self) -> None:
        """SIGKILL, and supervisord starts it again a second later."""
        self.world.kill_listener()
        self.world.run(1)
        self.world.start_listener()

    def listener_ends(self) -> None:
        """TERM: it may take 8 s; whom it leaves down it names."""
        swarm = self.world.swarm
        assert swarm is not None
        said_before = len(self.world.said("node_left_down"))
        self.world.tell(Closing())
        for _ in range(8):
            if swarm.is_settled:
                break
            self.world.run(1)
        self.world.tell(Closed())
        self.world.kill_listener()
        for said in self.world.said("node_left_down")[said_before:]:
            self.may_be_stopped.add(said.fields["node"])
        self.world.run(1)
        self.world.start_listener()

    def stalled(self) -> None:
        """The machine sleeps."""
        self.world.now_s += 300
        self.world.tell(Stalled())

    def roll(self) -> None:
        """`supervisorctl swarm roll`."""
        self.world.tell(RollOrdered(group="swarm", timeout_s=20.0))

    def cancel_roll(self) -> None:
        """Ctrl-C in it."""
        self.world.tell(RollCancelled(group="swarm"))

    def group_comes_anew(self) -> None:
        """`update`: all nodes are stopped, removed, added and started."""
        for process in self.world.processes.values():
            self.world.stop(process.name)
        self.world.run(6)
        self.world.tell(GroupRemoved(group="swarm"))
        for process in self.world.processes.values():
            if process.pid is None:
                self.world.spawn(process)
        self.may_be_stopped.clear()
        self.must_be_stopped.clear()
        self.world.tell(GroupAdded(group="swarm"))

    def supervisor_hesitates(self) -> None:
        """supervisord says that it ends, and runs on."""
        self.world.tell(SupervisorChanged(state="STOPPING"))
        self.world.run(2)
        self.world.tell(SupervisorChanged(state="RUNNING"))

    def scale(self, nodes: int) -> None:
        """`supervisorctl swarm scale`, killed once the number is in its file."""
        self.world.scale(nodes)

    def disk_full(self, is_full: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """Let the disk be full, or not."""
        self.world.disk_is_full = is_full

    def lost_calls(self, count: int) -> None:
        """Let calls never reach supervisord."""
        self.world.lost_calls = count

    def lost_answers(self, count: int) -> None:
        """Let supervisord do as it is told and not answer."""
        self.world.lost_answers = count

    def lost_events(self, seconds: int) -> None:
        """Let supervisord's buffer overflow; the gap in the serials tells of it."""
        self.world.loses_events = True
        self.world.run(seconds)
        self.world.loses_events = False
        self.world.tell(Lost())


def live(history: History) -> Story:
    """Live through a history, and let everything be well for long enough at its end."""
    story = Story()
    for (what, *args), seconds in history:
        story.happens(str(what), *args)
        story.world.run(seconds)
    story.world.disk_is_full = False
    story.world.lost_calls = story.world.lost_answers = 0
    for node in range(NODES):
        story.well(node)
        story.release(node)
    story.world.run(130, step_s=1.0)
    return story


def running_or_spare(world: World) -> list[str]:
    """Return the nodes that nobody has stopped."""
    return [
        name
        for name, process in world.processes.items()
        if process.state in {ProcessState.RUNNING, ProcessState.EXITED}
    ]


def health_word(world: World, name: str) -> Word:
    """Return how the listener calls a node."""
    assert world.swarm is not None
    return world.swarm.health(world.swarm.nodes[name], now_s=world.now_s).word


def ends_well(history: History) -> None:
    """Check what holds afterwards."""
    story = live(history)
    world = story.world

    for name, process in world.processes.items():
        if name in story.must_be_stopped:
            assert process.state is ProcessState.STOPPED, name
        elif name in story.may_be_stopped:
            continue
        elif world.is_beyond(process):
            assert process.state is ProcessState.EXITED, name
            assert process.exit_code == EXIT_SPARE, name
        else:
            assert process.state is ProcessState.RUNNING, name
    assert all(health_word(world, name) in WELL for name in running_or_spare(world))
    stops = Counter((stop.name, stop.pid) for stop in world.of(Stop))
    unanswered = any(what[0] in {"lost_calls", "lost_answers"} for what, _ in history)
    assert unanswered or all(times == 1 for times in stops.values())
    assert world.intents == {}
    stopped = [r.pid for r in world.records if r.pid is not None]
    assert len(stopped) == len(set(stopped))


@settings(max_examples=6, deadline=None)
@given(histories)
def test_every_history_ends_well(history: History) -> None:
    """Whatever happened, afterwards all is as its operator wants it.

    Each node runs unless its operator stopped or held it, or wants fewer; no process
    was told to stop twice, unless no answer came; nothing is left begun; every record
    of a process is its only one.
    """
    ends_well(history)


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(NODES)), st.integers(0, 6)), max_size=12)
)
def test_one_node_at_a_time_is_down_by_our_hand(falls: list[tuple[int, int]]) -> None:
    """A quarter of four may be down: the hung are healed one by one, rolled or not."""
    story = Story()
    story.roll()
    for node, seconds in falls:
        story.sick(node, {"consume_age_ms": 9_000})
        story.stubborn(node)
        story.world.run(seconds)
    story.world.run(100)

    assert story.world.down_most <= 1
    assert story.world.down_count() == 0


@settings(max_examples=6, deadline=None)
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


def many(count: int) -> None:
    """Try so many histories."""
    unlimited = settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    unlimited(given(histories)(ends_well))()
