"""The listener's loop on pipes: what supervisord sees of it, what it lets through."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from swarm_event_listener.core.model.death import OutOfMemory
from swarm_event_listener.core.model.events import (
    Action,
    Answer,
    Answered,
    Closed,
    Event,
    ExitRead,
    Measured,
    Ordered,
    OrderKind,
    ProcessInfo,
    ProcessState,
    Reported,
    ScaleRead,
    Stalled,
    Stop,
    Survey,
    Surveyed,
    Thawed,
    Tick,
)
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.listener.actions import MARK, Actions, needs_supervisor
from swarm_event_listener.listener.loop import EXIT_FRESH, EXIT_OK, Listener
from swarm_event_listener.listener.main import forget_standstill
from swarm_event_listener.outlets.outlets import Outlets
from swarm_event_listener.storage.journal import Journal, StatusFile
from swarm_event_listener.storage.scale_orders import ScaleOrders
from swarm_event_listener.supervisord.exit_reader import ExitReader
from swarm_event_listener.supervisord.memory import MemoryReader
from swarm_event_listener.supervisord.protocol import ProtocolError
from swarm_event_listener.supervisord.rpc import Supervisor, SupervisorUnreachable
from swarm_worker.shared.report import BEGIN, END, Report, State, encode
from tests.clock import FakeClock

INFO = ProcessInfo(name="w:w_00", state=ProcessState.RUNNING, pid=os.getpid())


class Spy(Swarm):
    """The real core, whose events are kept; some may set something off."""

    def __init__(self) -> None:
        super().__init__({"w": Policy()})
        self.heard: list[Event] = []
        self.on: dict[type, Callable[[], None]] = {}
        self.is_busy = False

    @property
    def is_settled(self) -> bool:
        """Tell that it is not, where the test says so."""
        return not self.is_busy and super().is_settled

    def handle(self, event: Event, *, now_s: float) -> list[Action]:
        """Keep an event, and decide as ever."""
        if not isinstance(event, ScaleRead):  # of which there is one as it begins
            self.heard.append(event)
        self.on.get(type(event), lambda: None)()
        return super().handle(event, now_s=now_s)

    def kinds(self) -> list[str]:
        """Return the names of the events' kinds, without those of the timer."""
        timed = (Tick, Measured)
        return [type(e).__name__ for e in self.heard if not isinstance(e, timed)]


def _ignore(_text: str) -> None:
    return


@dataclass
class FakeSupervisor:
    """Answers what it is told to; its own events go into the listener's stdin."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    is_reachable: bool = True
    on_mark: Callable[[str], None] = _ignore
    on_stop: Callable[[str], None] = _ignore
    on_wake: Callable[[], None] = lambda: None
    on_log: Callable[[], str] = lambda: ""

    def processes(self) -> tuple[ProcessInfo, ...]:
        """Return one process, unless unreachable."""
        if not self.is_reachable:
            raise SupervisorUnreachable("gone")
        return (INFO,)

    def process(self, _name: str) -> ProcessInfo:
        """Return the one process."""
        return INFO

    def log_end(self, _size_bytes: int) -> str:
        """Return what the log has."""
        return self.on_log()

    def wake(self) -> None:
        """Take its turn."""
        self.on_wake()

    def stop(self, name: str) -> None:
        """Tell what was stopped."""
        self.on_stop(name)

    def signal(self, _name: str, _signal_name: str) -> None:
        """Let the process take its evidence."""

    def send_event(self, event_type: str, data: str) -> None:
        """Keep what was sent."""
        self.sent.append((event_type, data))
        if event_type == MARK:
            self.on_mark(data)


class Bench:
    """A listener between two pipes."""

    def __init__(self, folder: Path) -> None:
        self.stdin, self.feed = os.pipe()
        self.answers, self.stdout = os.pipe()
        self.wake, self.waker = os.pipe()
        self.clock = FakeClock(step_s=0.001)
        self.core = Spy()
        self.supervisor = FakeSupervisor()
        self.serial = 0
        self.journal = Journal(folder, lock_wait_s=0.0)
        exit_reader = ExitReader(cast("Supervisor", self.supervisor), clock=self.clock)
        self.listener = Listener(
            self.core,
            Actions(
                cast("Supervisor", self.supervisor),
                self.journal,
                exit_reader=exit_reader,
                wall=lambda moment_s: f"at {moment_s:.0f}",
            ),
            memory_readers={
                "w": MemoryReader("rss", with_children=False, limit_bytes=None)
            },
            exit_reader=exit_reader,
            scale_orders=ScaleOrders({"w": folder}),
            outlets=Outlets(
                StatusFile(folder), wall=lambda moment_s: f"at {moment_s:.0f}"
            ),
            stdin=self.stdin,
            stdout=self.stdout,
            wake=self.wake,
            clock=self.clock,
        )

    def mark(self, data: str) -> None:
        """Queue a mark, as supervisord would."""
        self.event("REMOTE_COMMUNICATION", f"type:{MARK}\n{data}")

    def event(self, name: str, payload: str, *, skip: int = 0) -> None:
        """Write an event to the listener, after ``skip`` that are lost."""
        if self.feed < 0:
            return
        self.serial += 1 + skip
        header = (
            f"ver:3.0 server:s serial:1 pool:p poolserial:{self.serial} "
            f"eventname:{name} len:{len(payload)}\n"
        )
        os.write(self.feed, (header + payload).encode())

    def report(self, text: str | None = None, *, group: str = "w") -> None:
        """Write a report, by default a healthy one."""
        if text is None:
            report = Report(node=0, pid=7, state=State.RUNNING, poll_age_ms=1)
            text = payload_of(report)
        self.event(
            "PROCESS_COMMUNICATION_STDOUT",
            f"processname:w_00 groupname:{group} pid:{INFO.pid}\n{text}",
        )

    def dies(self) -> None:
        """Write that the node has died."""
        self.event(
            "PROCESS_STATE_EXITED",
            "processname:w_00 groupname:w from_state:RUNNING expected:0 "
            f"pid:{INFO.pid}",
        )

    def end_read(self) -> Event:
        """Wait until it is known how; return what the core is told."""
        if "ExitRead" not in self.core.kinds():
            reader = self.listener._exit_reader
            assert select.select([reader.descriptor], [], [], 10.0)[0]
            self.listener._take_ends()
        return next(e for e in self.core.heard if isinstance(e, ExitRead))

    def run(self, *then: Callable[[], None], stays_open: bool = False) -> int:
        """Run the listener; once it surveys do ``then``, and write nothing more."""

        def go_on(mark: str) -> None:
            self.supervisor.on_mark = self.mark
            self.mark(mark)
            for do in then:
                do()
            if not stays_open:
                self.end()

        self.supervisor.on_mark = go_on
        return self.listener.run()

    def hang(self) -> None:
        """Have supervisord hang from now on: each call takes 4 s to no avail."""
        self.supervisor.is_reachable = False
        actions = self.listener._actions
        vars(actions)["carry_out"] = self._carry_out_slowly
        self.listener._pending.append(Survey())

    def _carry_out_slowly(self, action: Action) -> Event | None:
        if needs_supervisor(action):
            self.clock.advance(4)
        return None

    def end(self) -> None:
        """Close the events, as supervisord does when it ends."""
        if self.feed >= 0:
            os.close(self.feed)
        self.feed = -1

    def answered(self) -> bytes:
        """Return what the listener wrote to supervisord."""
        return os.read(self.answers, 65_536)

    def close(self) -> None:
        """Close all descriptors."""
        self.journal.close()
        for descriptor in (
            self.stdin,
            self.feed,
            self.answers,
            self.stdout,
            self.wake,
            self.waker,
        ):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield a listener that has not been started."""
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_every_event_is_acknowledged_once(bench: Bench) -> None:
    """READY first; then an answer for each event, whatever it is."""
    bench.report()
    bench.event("TICK_5", "when:1")

    assert bench.run(lambda: bench.event("SOMETHING", "x")) == EXIT_OK

    assert bench.answered() == b"READY\n" + b"RESULT 2\nOKREADY\n" * 4


def test_an_event_is_acknowledged_only_when_it_is_there_as_a_whole(
    bench: Bench,
) -> None:
    """An earlier answer makes supervisord write into a full pipe, which ends it."""
    os.write(bench.feed, b"ver:3.0 server:s serial:1 pool:p poolserial:1 ")
    os.write(bench.feed, b"eventname:TICK_5 len:600\nwhen:")

    assert bench.run() == EXIT_OK

    assert bench.answered() == b"READY\n"


def test_what_was_queued_before_the_survey_is_the_past(bench: Bench) -> None:
    """The survey is told in its place among the events: none turns time back."""
    named = "processname:w_00 groupname:w"
    bench.event("PROCESS_STATE_STARTING", f"{named} from_state:STOPPED tries:0")
    bench.report()

    bench.run(
        lambda: bench.event(
            "PROCESS_STATE_RUNNING", f"{named} from_state:STARTING pid:{INFO.pid}"
        )
    )

    assert bench.core.kinds() == ["Surveyed", "StateChanged"]
    assert bench.core.heard[0] == Surveyed(processes=(INFO,))


def test_without_a_mark_it_surveys_all_the_same(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A listener that is not subscribed to commands says so, and works."""
    bench.clock.step_s = 2.5
    bench.core.on[Surveyed] = bench.end
    bench.event("TICK_5", "when:1")

    assert bench.listener.run() == EXIT_OK

    assert bench.core.heard[0] == Surveyed(processes=(INFO,))
    assert "survey_unmarked" in caplog.text


def test_events_reach_the_core_in_order(bench: Bench) -> None:
    """States, reports and commands; a gap in the numbers before what followed it."""
    exited = (
        f"processname:w_00 groupname:w from_state:RUNNING expected:0 pid:{INFO.pid}"
    )

    bench.run(
        bench.report,
        lambda: bench.event("PROCESS_STATE_EXITED", exited, skip=3),
        lambda: bench.event("REMOTE_COMMUNICATION", 'type:swarm.hold\n["w:w_00"]'),
    )

    kinds = bench.core.kinds()
    assert kinds[:5] == ["Surveyed", "Reported", "Lost", "StateChanged", "Ordered"]
    assert Ordered(kind=OrderKind.HOLD, names=("w:w_00",)) in bench.core.heard
    assert bench.listener._counters.lost_events == 3


@pytest.mark.parametrize(
    ("printed", "do"),
    [([], "raise buffer_size"), (["a line"], "leave EVENT and PROCESS_LOG out of")],
)
def test_what_to_do_about_lost_events_goes_by_what_is_heard(
    bench: Bench, caplog: pytest.LogCaptureFixture, printed: list[str], do: str
) -> None:
    """No buffer is large enough for all that processes print."""
    named = "processname:w_00 groupname:w pid:7 channel:stderr"

    bench.run(
        bench.report,
        *(
            partial(bench.event, "PROCESS_LOG_STDERR", f"{named}\n{line}", skip=3)
            for line in printed
        ),
        lambda: bench.event("TICK_5", "when:1", skip=3),
    )

    said = [r.getMessage() for r in caplog.records if "events_lost" in r.getMessage()]
    assert len(said) == 1 + len(printed)
    assert all(do in line for line in said)


def test_an_event_that_is_repeated_is_dropped(bench: Bench) -> None:
    """supervisord repeats events behind later ones: no state goes back, no loss."""
    named = "processname:w_00 groupname:w"

    def repeat() -> None:
        bench.serial -= 2
        bench.event("PROCESS_STATE_STOPPING", f"{named} from_state:RUNNING pid:7")
        bench.serial += 1

    bench.run(
        lambda: bench.event(
            "PROCESS_STATE_STOPPING", f"{named} from_state:RUNNING pid:7"
        ),
        lambda: bench.event(
            "PROCESS_STATE_STOPPED", f"{named} from_state:STOPPING pid:7"
        ),
        repeat,
        bench.report,
    )

    assert bench.core.kinds()[:4] == [
        "Surveyed",
        "StateChanged",
        "StateChanged",
        "Reported",
    ]
    assert bench.listener._counters.lost_events == 0


def test_an_order_that_came_before_the_nodes_is_kept(bench: Bench) -> None:
    """Queued while the listener was down, it is given once there are nodes to hold."""
    bench.event("REMOTE_COMMUNICATION", 'type:swarm.hold\n["w:w_00"]')

    bench.run()

    assert bench.core.kinds()[:2] == ["Surveyed", "Ordered"]
    assert bench.core.nodes["w:w_00"].is_held


def test_a_listener_that_ends_looks_for_itself(bench: Bench) -> None:
    """supervisord sends no events to a listener that is STOPPING."""
    bench.core.is_busy = True
    bench.clock.step_s = 0.3
    bench.run(lambda: _write(bench.waker, b"!"), stays_open=True)

    kinds = bench.core.kinds()
    closing = kinds.index("Closing")
    assert kinds[closing + 1 : -1].count("Surveyed") >= 1


def test_other_programs_are_not_listened_to(bench: Bench) -> None:
    """What a process of another group writes is not even read."""
    bench.run(
        lambda: bench.report(group="other"),
        lambda: bench.report("nonsense", group="other"),
    )

    assert bench.core.kinds() == ["Surveyed"]
    assert bench.listener._counters.bad_reports == 0


def test_bad_reports_and_orders_are_counted_and_said_rarely(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for many, with its control characters escaped."""
    bench.run(
        *[lambda: bench.report("\x1b[2Jnonsense")] * 5,
        lambda: bench.event("REMOTE_COMMUNICATION", "type:swarm.hold\n{}"),
        lambda: bench.event("REMOTE_COMMUNICATION", "type:other\n{}"),
    )

    counters = bench.listener._counters
    assert (counters.bad_reports, counters.bad_orders, counters.reports) == (5, 1, 0)
    assert caplog.text.count("report_rejected") == 1
    assert "\x1b" not in caplog.text


def test_a_broken_stream_is_not_survived(bench: Bench) -> None:
    """The caller ends: supervisord starts the listener afresh."""
    with pytest.raises(ProtocolError):
        bench.run(lambda: _write(bench.feed, b"nonsense\n"))


def test_a_stop_is_carried_out_after_its_intent(bench: Bench, tmp_path: Path) -> None:
    """From a report to a stop by RPC; the journal has it by then."""
    late = Report(node=0, pid=7, state=State.RUNNING, consume_age_ms=999_000)
    seen: list[object] = []

    def stop(name: str) -> None:
        journal = json.loads((tmp_path / "journal.json").read_bytes())
        seen.extend([name, journal["intents"]["w:w_00"]["record"]["status"]])
        bench.end()

    bench.supervisor.on_stop = stop
    bench.run(lambda: bench.report(payload_of(late)), stays_open=True)

    assert seen == ["w:w_00", 2]


def test_nothing_heard_for_long_asks_for_a_fresh_start(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """supervisord gives up on a listener without a word: only silence tells."""
    bench.clock.step_s = 0.3

    assert bench.run(stays_open=True) == EXIT_FRESH

    assert "listener_unheard" in caplog.text


def test_the_next_listener_learns_since_when_nothing_was_heard(
    bench: Bench, tmp_path: Path
) -> None:
    """Once something was: else it is this process that is deaf."""
    bench.clock.step_s = 0.3
    heard_at_s: list[float] = []
    bench.core.on[Reported] = lambda: heard_at_s.append(bench.clock.now_s)

    assert bench.run(bench.report, stays_open=True) == EXIT_FRESH

    notes = json.loads((tmp_path / "journal.json").read_bytes())["notes"]
    assert notes["unheard_since_s"] == pytest.approx(heard_at_s[0], abs=5)


def test_a_standstill_is_told_to_one_listener(tmp_path: Path) -> None:
    """A later one would take it for one of days, and all that hangs for well."""
    journal = Journal(tmp_path, lock_wait_s=0.0)
    journal.note({"held": ["w:w_00"], "unheard_since_s": 100.0})

    forget_standstill(journal)

    notes = json.loads((tmp_path / "journal.json").read_bytes())["notes"]
    assert notes == {"held": ["w:w_00"]}
    journal.close()


def test_a_deaf_listener_tells_of_no_standstill(bench: Bench) -> None:
    """supervisord may be well, and not send this one a thing."""
    bench.clock.step_s = 0.3

    assert bench.listener.run() == EXIT_FRESH

    assert "unheard_since_s" not in bench.journal.notes


def test_time_that_was_lost_is_told_before_anything_else(bench: Bench) -> None:
    """After a freeze silence is nobody's fault: the core hears of the freeze first."""
    bench.core.on[Reported] = lambda: bench.clock.advance(120)
    bench.core.on[Stalled] = bench.end

    bench.run(bench.report, stays_open=True)

    kinds = bench.core.kinds()
    assert kinds[: kinds.index("Stalled")] == ["Surveyed", "Reported"]


def test_time_spent_on_a_supervisord_that_says_nothing_is_not_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a frozen supervisord would be taken for a frozen listener, for ever."""
    bench.core.on[Surveyed] = lambda: bench.core.on.update({Tick: bench.hang})

    assert bench.run(stays_open=True) == EXIT_FRESH

    assert "Stalled" not in bench.core.kinds()
    assert "listener_unheard" in caplog.text


def test_a_listener_that_is_asked_to_end_says_so_to_the_core(bench: Bench) -> None:
    """Closing, then Closed, then exit 0."""
    os.write(bench.waker, b"!")

    assert bench.run(stays_open=True) == EXIT_OK

    assert [k for k in bench.core.kinds() if k.startswith("Clos")] == [
        "Closing",
        "Closed",
    ]
    assert isinstance(bench.core.heard[-1], Closed)


def test_an_unreachable_supervisord_is_said_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """And asked again, until it answers or says nothing for too long."""
    bench.supervisor.is_reachable = False
    bench.clock.step_s = 2.5
    bench.event("TICK_5", "when:1")

    assert bench.listener.run() == EXIT_FRESH

    assert caplog.text.count("supervisor_unreachable") == 1
    assert bench.core.kinds() == []


def test_a_turn_that_supervisord_takes_is_an_answer(bench: Bench) -> None:
    """No other call need come for long: the health must not wait for one."""
    actions = bench.listener._actions
    bench.supervisor.is_reachable = False
    actions.survey_now()
    assert not actions.is_reachable

    actions.wake_supervisor()

    assert actions.is_reachable


def test_waiting_for_a_turn_of_supervisord_is_no_stall(bench: Bench) -> None:
    """The call has its time-out, and what is judged after it is judged as ever."""

    def give_no_answer() -> None:
        bench.clock.advance(4)
        bench.end()
        raise SupervisorUnreachable("timed out")

    bench.supervisor.on_wake = give_no_answer
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as p:
        bench.listener._exits.await_end(p.pid)
        p.kill()
        bench.run(stays_open=True)

    assert "Stalled" not in bench.core.kinds()
    assert not bench.listener._actions.is_reachable


def test_a_log_that_supervisord_does_not_give_keeps_no_event_waiting(
    bench: Bench,
) -> None:
    """A node dies, and how is looked up beside the loop."""
    lets = threading.Event()
    bench.supervisor.on_log = lambda: str(lets.wait(10.0))
    bench.run(bench.dies, bench.report)

    assert bench.core.kinds()[-2:] == ["StateChanged", "Reported"]
    assert not lets.is_set()
    lets.set()
    assert bench.end_read() == ExitRead(name="w:w_00", pid=INFO.pid)


def test_of_a_process_that_was_killed_the_kernel_is_asked(bench: Bench) -> None:
    """Its counter says whether it was for want of memory."""
    at = f"{datetime.now():%Y-%m-%d %H:%M:%S},123"  # noqa: DTZ005 - as supervisord
    end = f"{at} WARN exited: w_00 (terminated by SIGKILL; not expected)\n"
    bench.supervisor.on_log = lambda: end
    kills = bench.listener._oom_kills
    vars(kills)["claim"] = lambda *_, **_at: OutOfMemory.YES
    bench.run(bench.dies)

    assert bench.end_read() == ExitRead(
        name="w:w_00", pid=INFO.pid, signal="SIGKILL", out_of_memory=OutOfMemory.YES
    )


def test_the_status_file_shows_the_nodes(bench: Bench, tmp_path: Path) -> None:
    """Whoever may read it sees what the listener sees."""
    bench.core.on[Tick] = bench.end
    bench.clock.step_s = 0.05
    bench.run(stays_open=True)

    status = json.loads((tmp_path / "status.json").read_bytes())

    assert status["listener"]["pid"] == os.getpid()
    (node,) = status["nodes"]
    assert (node["node"], node["state"], node["pid"]) == (
        "w:w_00",
        "RUNNING",
        os.getpid(),
    )


def test_no_call_is_made_for_another_process(bench: Bench) -> None:
    """A stop for a pid that is no more is not sent on."""
    stopped: list[str] = []
    bench.supervisor.on_stop = stopped.append

    answered = bench.listener._actions.carry_out(Stop(name="w:w_00", pid=1))

    assert stopped == []
    assert isinstance(answered, Answered)
    assert answered.answer is Answer.OTHER_PID


def payload_of(report: Report) -> str:
    """Return what supervisord cuts out of a report's frame."""
    return encode(report).decode("ascii").partition(BEGIN)[2].partition(END)[0]


def _write(descriptor: int, data: bytes) -> None:
    os.write(descriptor, data)


def test_an_event_after_none_for_long_tells_that_supervisord_stood_still(
    bench: Bench,
) -> None:
    """It comes before what the event itself tells; a shorter pause is none."""
    bench.clock.step_s = 0.2
    pauses_s = [11.0, 6.0]
    since_s = bench.clock.now_s

    def report_after_a_pause() -> None:
        nonlocal since_s
        if pauses_s and bench.clock.now_s - since_s > pauses_s[0]:
            pauses_s.pop(0)
            since_s = bench.clock.now_s
            bench.report()
            if not pauses_s:
                bench.end()

    def begin() -> None:
        nonlocal since_s
        since_s = bench.clock.now_s
        bench.report()
        bench.core.on[Tick] = report_after_a_pause

    assert bench.run(begin, stays_open=True) == EXIT_OK

    told = [kind for kind in bench.core.kinds() if kind in {"Reported", "Thawed"}]
    assert told == ["Reported", "Thawed", "Reported", "Reported"]
    assert Thawed in {type(event) for event in bench.core.heard}
