"""When reports are due, what they say, and what happens when nobody reads them."""

import os
import select
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.supervisord.node_reports import decode
from swarm_worker.process.parent_death import ParentWatch
from swarm_worker.reporting.channel import Channel, ChannelGone
from swarm_worker.reporting.clock import NodeClock
from swarm_worker.reporting.reporter import Reporter
from swarm_worker.reporting.schedule import Crossings, Limits, Schedule
from swarm_worker.shared.report import BEGIN, END, Report, State
from tests.clock import FakeClock
from tests.eventually import eventually

# --- when -----------------------------------------------------------------------------

waits = st.floats(min_value=0.0, max_value=3.0)
intervals = st.sampled_from([0.5, 0.7, 1.0, 5.0])


def moments(
    interval_s: float, steps: list[tuple[float, bool]], *, start_s: float = 1000.25
) -> list[float]:
    """Return when reports were written by a thread that looked at these moments."""
    schedule = Schedule(interval_s=interval_s)
    now_s = start_s
    written: list[float] = []
    for wait_s, changed in steps:
        due_at_s = schedule.due_at_s(now_s=now_s, changed=changed)
        if due_at_s <= now_s:
            schedule.wrote(due_at_s=due_at_s, now_s=now_s)
            written.append(now_s)
        now_s += wait_s
    return written


@given(intervals, st.lists(st.tuples(waits, st.booleans()), max_size=60))
def test_never_more_than_two_reports_in_a_second(
    interval_s: float, steps: list[tuple[float, bool]]
) -> None:
    """However states change and however late the thread is, but for its jitter."""
    written = moments(interval_s, steps)

    for first_s, third_s in zip(written, written[2:], strict=False):
        assert third_s - first_s >= 1.0 - 0.11


def test_the_first_report_is_due_at_once() -> None:
    """Before the app is imported."""
    assert Schedule(interval_s=5.0).due_at_s(now_s=3.3, changed=False) == 3.3


@given(intervals, st.floats(min_value=1.0, max_value=1e6))
def test_regular_reports_are_at_multiples_of_the_interval(
    interval_s: float, start_s: float
) -> None:
    """The same moments for all nodes of a machine, whenever they began."""
    schedule = Schedule(interval_s=interval_s)
    schedule.wrote(due_at_s=start_s, now_s=start_s)
    before_s = start_s
    for _ in range(20):
        due_at_s = schedule.due_at_s(now_s=before_s, changed=False)
        late_s = due_at_s + 0.01
        assert due_at_s / interval_s == pytest.approx(round(due_at_s / interval_s))
        assert before_s < due_at_s <= before_s + max(interval_s, 1.0) + interval_s
        schedule.wrote(due_at_s=due_at_s, now_s=late_s)
        before_s = due_at_s


def test_half_a_second_between_reports_is_kept_despite_jitter() -> None:
    """The limit of two a second does not halve the shortest interval."""
    schedule = Schedule(interval_s=0.5)
    now_s = 1000.49
    due: list[float] = []
    for jitter_s in (0.0, 0.02, 0.0, 0.03, 0.001, 0.0):
        due_at_s = schedule.due_at_s(now_s=now_s, changed=False)
        now_s = due_at_s + jitter_s
        schedule.wrote(due_at_s=due_at_s, now_s=now_s)
        due.append(due_at_s)

    assert due == [1000.49, 1000.5, 1001.5, 1002.0, 1002.5, 1003.0]


def test_a_change_of_state_does_not_wait_for_the_interval() -> None:
    """Unless two reports were just written."""
    schedule = Schedule(interval_s=60.0)
    schedule.wrote(due_at_s=1000.0, now_s=1000.0)
    assert schedule.due_at_s(now_s=1000.2, changed=True) == 1000.2

    schedule.wrote(due_at_s=1000.2, now_s=1000.2)
    assert schedule.due_at_s(now_s=1000.3, changed=True) == 1001.0
    assert schedule.due_at_s(now_s=1000.3, changed=False) == 1020.0


# --- limits that are crossed ----------------------------------------------------------

LIMITS = Limits(polling_ms=3_000, consuming_ms=2_000, stability_ms=6_000)


def aged(**ages_ms: int) -> Report:
    """Return the report of a running node with these ages."""
    return Report(node=0, pid=1, state=State.RUNNING, **ages_ms)  # type: ignore[arg-type]


def test_each_limit_is_news_once_until_its_age_comes_back() -> None:
    """Nothing that a report has told is told again out of turn."""
    crossings = Crossings(LIMITS)
    assert not crossings.look(aged(consume_age_ms=2_000))  # at the limit: healthy
    over = aged(consume_age_ms=2_001)
    assert crossings.look(over)
    assert crossings.look(over)  # not written yet
    crossings.told(over)

    assert not crossings.look(aged(consume_age_ms=9_000))
    assert crossings.look(aged(consume_age_ms=9_000, poll_age_ms=3_001))
    assert not crossings.look(aged(consume_age_ms=5))
    assert crossings.look(over)


@pytest.mark.parametrize(
    ("ages_ms", "in_s"),
    [
        ({}, float("inf")),
        ({"poll_age_ms": 2_900}, 0.101),
        ({"poll_age_ms": 10, "consume_age_ms": 1_500}, 0.501),
        ({"stalled_ms": 1_999, "consume_age_ms": 2_001}, 0.002),
        ({"unsteady_ms": 6_000}, 0.001),
        ({"unsteady_ms": 6_001}, float("inf")),
    ],
)
def test_the_next_crossing_is_foreseen(ages_ms: dict[str, int], in_s: float) -> None:
    """Of the ages that are still within their limits, the one that is nearest."""
    assert Crossings(LIMITS).next_in_s(aged(**ages_ms)) == pytest.approx(in_s)


def test_a_limit_that_is_unknown_and_a_node_that_is_not_judged_have_no_news() -> None:
    """As for the listener: only running and quiet nodes are judged."""
    late = aged(consume_age_ms=10**6, poll_age_ms=10**6, unsteady_ms=10**6)
    assert not Crossings(Limits()).look(late)
    assert not Crossings(LIMITS).look(replace(late, state=State.STOPPING))
    assert Crossings(LIMITS).look(replace(late, state=State.QUIET))


# --- the node's clock -----------------------------------------------------------------


def test_nothing_ages_while_the_node_is_frozen() -> None:
    """A late wake-up is taken out of the clock; ordinary jitter is not."""
    machine = FakeClock()
    clock = NodeClock(machine)

    machine.advance(0.7)
    clock.woke(late_s=0.2, busy_s=0.0)
    assert clock() == 1000.7

    machine.advance(60.5)
    clock.woke(late_s=60.0, busy_s=0.1)
    assert clock() == pytest.approx(1001.2)


def test_a_process_that_was_busy_was_not_frozen() -> None:
    """A handler that holds the GIL for long does age."""
    machine = FakeClock()
    clock = NodeClock(machine)

    machine.advance(10.5)
    clock.woke(late_s=10.0, busy_s=9.0)
    assert clock() == 1010.5


# --- what is written ------------------------------------------------------------------


class FakeParentWatch(ParentWatch):
    """A parent that exits when a test says so."""

    def __init__(self) -> None:
        self.exited = False

    @property
    def has_exited(self) -> bool:
        """What the test said."""
        return self.exited


@dataclass
class Rig:
    """A reporter on a pipe, with a clock that stands still."""

    read_fd: int
    write_fd: int
    machine: FakeClock = field(default_factory=FakeClock)
    parent: FakeParentWatch = field(default_factory=FakeParentWatch)
    state: State = State.BOOTING
    not_joined: str = ""
    began_at_s: float | None = None
    described_at_s: float | None = None
    orphaned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the reporter."""
        os.set_blocking(self.write_fd, False)
        self.channel = Channel(self.write_fd)
        self.reporter = Reporter(
            channel=self.channel,
            parent=self.parent,
            describe=self.describe,
            interval_s=5.0,
            clock=NodeClock(self.machine),
            limits=Limits(consuming_ms=2_000, polling_ms=3_000),
            monotonic=self.machine,
            cpu=lambda: 0.0,
            on_orphaned=self.orphaned.append,
        )

    def describe(self, now_s: float) -> Report:
        """Return a report of the moment."""
        self.described_at_s = now_s
        age_ms = None if self.began_at_s is None else (now_s - self.began_at_s) * 1000
        consume_age_ms = None if age_ms is None else round(age_ms)
        return Report(
            node=1,
            pid=2,
            state=self.state,
            consume_age_ms=consume_age_ms,
            not_joined=self.not_joined,
        )

    def step_at(self, now_s: float) -> float:
        """Let the reporter look at a moment."""
        self.machine.now_s = now_s
        return self.reporter.step()

    def written(self) -> list[Report]:
        """Return the reports since the last call."""
        if not select.select([self.read_fd], [], [], 0)[0]:
            return []
        text = os.read(self.read_fd, 1 << 17).decode("ascii")
        payloads = [part.partition(END)[0] for part in text.split(BEGIN)[1:]]
        reports = [decode(payload) for payload in payloads]
        return [report for report in reports if isinstance(report, Report)]


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Yield a reporter on a pipe."""
    made = Rig(*os.pipe())
    yield made
    made.channel.close()
    os.close(made.read_fd)


def test_reports_are_numbered_and_carry_their_moment(rig: Rig) -> None:
    """``at_ms`` is the machine's clock, so that a late report is recognised."""
    rig.step_at(1002.0)
    rig.step_at(1002.5)
    rig.step_at(1005.0)

    assert [(r.seq, r.at_ms) for r in rig.written()] == [(0, 1002000), (1, 1005000)]


def test_a_changed_state_is_reported_once(rig: Rig) -> None:
    """At the next look, not at the next interval."""
    rig.step_at(1001.0)
    rig.state = State.RUNNING
    rig.step_at(1001.5)
    rig.step_at(1002.0)

    assert [r.state for r in rig.written()] == [State.BOOTING, State.RUNNING]


def test_a_group_that_lets_the_node_in_is_reported_at_once(rig: Rig) -> None:
    """Nobody waits for an interval to see a restarted node recover."""
    rig.not_joined = "no assignment has come yet"
    rig.step_at(1001.0)
    rig.not_joined = ""
    rig.step_at(1002.0)
    rig.step_at(1003.0)

    assert [bool(each.not_joined) for each in rig.written()] == [True, False]


@pytest.mark.parametrize(
    ("state", "moments_s"),
    [(State.QUIET, [1001.0, 1003.0]), (State.RUNNING, [1001.0])],
)
def test_the_end_of_a_quiet_nodes_work_is_reported_at_once(
    rig: Rig, state: State, moments_s: list[float]
) -> None:
    """A roll waits for it; of a node at work it is nothing to tell of."""
    rig.state, rig.began_at_s = state, 1000.5
    rig.step_at(1001.0)
    rig.step_at(1002.0)
    rig.began_at_s = None
    rig.step_at(1003.0)
    rig.step_at(1003.5)

    assert [(r.at_ms or 0) / 1000 for r in rig.written()] == moments_s


def test_a_limit_is_reported_as_soon_as_it_is_crossed(rig: Rig) -> None:
    """Not at the next multiple of the interval; and once."""
    rig.state = State.RUNNING
    rig.step_at(1001.0)
    rig.began_at_s = 1001.1
    assert rig.step_at(1002.8) == pytest.approx(0.301)
    rig.step_at(1003.101)
    rig.step_at(1003.6)

    assert [r.consume_age_ms for r in rig.written()] == [None, 2001]


def test_a_report_that_would_block_is_dropped_and_the_state_told_later(
    rig: Rig,
) -> None:
    """A supervisord that stands still costs reports, never time."""
    rig.step_at(1001.0)
    rig.written()
    while rig.channel.send(b"x" * 4096):
        pass
    dropped_before = rig.reporter.dropped
    rig.state = State.RUNNING
    rig.step_at(1002.0)
    assert rig.reporter.dropped == dropped_before + 1

    while select.select([rig.read_fd], [], [], 0)[0]:
        os.read(rig.read_fd, 1 << 17)
    rig.step_at(1003.1)
    assert [r.state for r in rig.written()] == [State.RUNNING]
    assert rig.orphaned == []


def test_a_frozen_node_describes_itself_without_the_freeze(rig: Rig) -> None:
    """Ages are of the node's clock, the report's moment is the machine's."""
    wait_s = rig.step_at(1001.0)
    rig.step_at(1001.0 + wait_s + 120.0)

    assert rig.described_at_s == pytest.approx(1001.0 + wait_s)
    assert [r.at_ms for r in rig.written()] == [1001000, 1121500]


def test_an_orphan_knows_without_writing(rig: Rig) -> None:
    """Its parent ended, or nobody reads the pipe any more."""
    rig.step_at(1001.0)
    rig.parent.exited = True
    rig.step_at(1001.5)
    assert rig.orphaned == ["its parent process ended"]


def test_a_pipe_without_reader_makes_an_orphan() -> None:
    """Seen at the next look, though no report is due."""
    rig = Rig(*os.pipe())
    rig.step_at(1001.0)
    os.close(rig.read_fd)
    rig.step_at(1001.5)

    assert rig.orphaned == ["nobody reads its reports"]
    with pytest.raises(ChannelGone, match="nobody reads"):
        rig.channel.send(b"x")
    rig.channel.close()


def test_a_descriptor_that_user_code_closed_is_not_taken_for_supervisords_end() -> None:
    """The line names the process itself, where to look."""
    rig = Rig(*os.pipe())
    rig.step_at(1001.0)
    os.close(rig.write_fd)
    rig.step_at(1001.5)
    assert rig.orphaned == []
    rig.step_at(1006.0)

    assert rig.orphaned == ["the report channel was closed in this process"]
    os.close(rig.read_fd)


def test_a_descriptor_that_was_taken_over_is_not_written_to(rig: Rig) -> None:
    """User code that closes descriptors must not find reports in its files."""
    theirs, other = os.pipe()
    os.dup2(other, rig.write_fd)

    with pytest.raises(ChannelGone, match="closed in this process"):
        rig.channel.send(b"x")
    assert not select.select([theirs], [], [], 0)[0]
    rig.channel.close()  # as in each child that is forked from now on
    for fd in (rig.write_fd, theirs, other):  # still open
        os.close(fd)


def test_the_thread_reports_by_itself(rig: Rig) -> None:
    """Start writes the first report before it returns; stop ends the thread."""
    rig.reporter.start()
    assert len(rig.written()) == 1
    assert rig.reporter.alive

    rig.reporter.stop()  # waits for half a second at the most
    eventually(lambda: not rig.reporter.alive, describe="the thread ends")


def test_the_end_is_told_whatever_was_told_just_before(rig: Rig) -> None:
    """At the cost of a third report in one second, once in a process's life."""
    for state in (State.BOOTING, State.RUNNING, State.STOPPING):
        rig.state = state
        rig.step_at(1000.0)
    assert [r.state for r in rig.written()] == [State.BOOTING, State.RUNNING]

    rig.reporter.tell_end()
    assert [(r.seq, r.state) for r in rig.written()] == [(2, State.STOPPING)]
