"""A supervisord, its nodes and a journal as plain data, around the real core.

Time moves only when told. What it knows of supervisord's answers is what
``tests/contract`` checks on the real one.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import (
    Action,
    Answer,
    Answered,
    Event,
    ExitRead,
    FaultCode,
    Forget,
    Intend,
    Journaled,
    Measured,
    Note,
    ProcessInfo,
    ProcessState,
    Publish,
    ReadExit,
    Remember,
    Reported,
    Say,
    ScaleRead,
    Signal,
    Start,
    StateChanged,
    Stop,
    Survey,
    Surveyed,
    Tick,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import Limits
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.restart.restart import StopTimeouts
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.storage.restored_state import restored
from swarm_worker.shared.report import Report, State
from swarm_worker.shared.scale import Scale
from swarm_worker.shared.settings import EXIT_SPARE, STAYS_DOWN

P = ProcessState

POLICY = Policy(
    limits=Limits(
        report_timeout_s=4.0,
        polling_ttl_s=5.0,
        consuming_ttl_s=5.0,
        stability_ttl_s=5.0,
    ),
    backoff=BackoffPolicy(
        gap_s=1.0, max_restarts=5, period_s=600.0, backoff_max_s=60.0
    ),
    stop_timeouts=StopTimeouts(stop_wait_s=5.0, shutdown_timeout_s=4.0),
)


@dataclass
class Process:
    """One process of the simulated supervisord."""

    name: str
    state: ProcessState = P.STOPPED
    pid: int | None = None
    since_s: float = 0.0
    started_at_s: float = 0.0
    is_silent: bool = False
    ignores_term: bool = False
    report: Mapping[str, Any] = field(default_factory=dict)
    memory_bytes: int | None = None
    exit_code: int = 0


class World:
    """A swarm of ``count`` nodes under a listener that can be killed."""

    def __init__(self, node_count: int = 4, policy: Policy = POLICY) -> None:
        self.now_s = 1000.0
        self.policy = policy
        self.pids = count(100)
        self.processes = {
            name: Process(name)
            for name in (f"swarm:node_{i}" for i in range(node_count))
        }
        self.intents: dict[str, str] = {}
        self.records: list[Record] = []
        self.deaths: list[Record] = []
        self.logged_end: Mapping[str, Any] = {"signal": "SIGKILL"}
        self.reads_log = True
        self.note = Note(held=(), reporting_groups=())
        self.disk_is_full = False
        self.lost_calls = 0  # so many calls never reach supervisord
        self.lost_answers = 0  # so many are carried out without an answer
        self.loses_events = False
        self.respawns = True  # autorestart
        self.actions: list[Action] = []
        self.swarm: Swarm | None = None
        self.down_most = 0
        self.pending: deque[Event] = deque()
        self.is_handling = False
        self.is_born_silent = False
        self.born_exit_code = 0  # with which each new process ends at once; 0: it runs
        self.born_report: Mapping[str, Any] = {}
        self.orders: Mapping[str, Scale] = {}
        for process in self.processes.values():
            self.spawn(process)
        self.start_listener()

    # --- the listener -------------------------------------------------------------

    def start_listener(self, **noted: float) -> None:
        """Start a listener that finds what the last one left and noted at its end."""
        intents = {name: json.loads(text) for name, text in self.intents.items()}
        notes = {**json.loads(json.dumps(dataclasses.asdict(self.note))), **noted}
        left = restored(intents, notes, now_s=self.now_s)
        self.swarm = Swarm({"swarm": self.policy}, left)
        self.tell(ScaleRead(orders=self.orders))
        self.tell(Surveyed(processes=self.survey()))

    def kill_listener(self) -> None:
        """SIGKILL: what is not in the journal is gone."""
        self.swarm = None

    def tell(self, event: Event) -> None:
        """Let the core handle an event, and carry out all that follows from it.

        As in the real loop an action's answer comes before the events that the action
        causes: those have to travel through the listener's stdin.
        """
        self.pending.append(event)
        if self.is_handling:
            return
        self.is_handling = True
        while self.pending:
            self.handle(self.pending.popleft())
        self.is_handling = False

    def handle(self, event: Event) -> None:
        """Let the core handle one event and the answers to its actions."""
        if self.swarm is None:
            return
        for action in self.swarm.handle(event, now_s=self.now_s):
            self.actions.append(action)
            answer = self.carry_out(action)
            if answer is not None:
                self.handle(answer)

    def carry_out(self, action: Action) -> Event | None:  # noqa: C901
        """Do what the shell would do, and give what it would answer."""
        match action:
            case Intend(name=name, intent=intent):
                if not self.disk_is_full:
                    self.intents[name] = json.dumps(intent)
                return Journaled(name=name, ok=not self.disk_is_full)
            case Forget(name=name):
                self.intents.pop(name, None)
            case Remember(name=name, record=record):
                self.intents.pop(name, None)
                is_death = record.cause is Cause.DIED
                (self.deaths if is_death else self.records).append(record)
            case Note():
                self.note = action
            case Survey():
                return None if self.lost_calls else Surveyed(processes=self.survey())
            case Stop() | Start() | Signal():
                return Answered(action=action, **self.call(action))
            case ReadExit(name=name, pid=pid):
                if self.reads_log:
                    return ExitRead(name=name, pid=pid, **self.logged_end)
            case Say() | Publish():
                pass
        return None

    def call(self, action: Stop | Start | Signal) -> dict[str, Any]:
        """Answer a call, unless it or its answer is to be lost."""
        if self.lost_calls:
            self.lost_calls -= 1
            return {"answer": Answer.UNREACHABLE}
        if isinstance(action, Stop):
            answer = self.stop(action.name, action.pid)
        elif isinstance(action, Start):
            answer = self.start(action.name)
        else:
            answer = self.signal(action.name, action.pid, action.signal)
        if self.lost_answers:
            self.lost_answers -= 1
            return {"answer": Answer.UNREACHABLE}
        return answer

    # --- supervisord --------------------------------------------------------------

    def survey(self) -> tuple[ProcessInfo, ...]:
        """Return getAllProcessInfo."""
        return tuple(
            ProcessInfo(
                name=p.name,
                state=p.state,
                pid=p.pid,
                exit_code=p.exit_code,
                started_ago_s=self.now_s - p.started_at_s,
                stopped_ago_s=None if p.pid else self.now_s - p.since_s,
            )
            for p in self.processes.values()
        )

    def change(self, process: Process, state: ProcessState) -> None:
        """Change a state and tell the listener, with the pid where supervisord does."""
        tells_pid = state in {P.RUNNING, P.STOPPING, P.STOPPED, P.EXITED}
        pid = process.pid if tells_pid else None
        process.state = state
        process.since_s = self.now_s
        if state in {P.STOPPED, P.EXITED, P.FATAL, P.BACKOFF}:
            process.pid = None
        if not self.loses_events:
            self.tell(
                StateChanged(
                    name=process.name,
                    state=state,
                    pid=pid,
                    expected=process.exit_code in STAYS_DOWN,
                )
            )

    def spawn(self, process: Process) -> None:
        """Start a fresh, healthy process."""
        process.pid = next(self.pids)
        process.started_at_s = self.now_s
        process.is_silent = self.is_born_silent
        process.ignores_term = False
        process.exit_code = 0
        process.report = self.born_report
        process.memory_bytes = None
        self.change(process, P.STARTING)
        self.change(process, P.RUNNING)
        if self.is_beyond(process):
            self.end_as_spare(process)
        elif self.born_exit_code:
            process.exit_code = self.born_exit_code
            self.change(process, P.EXITED)

    def stop(self, name: str, pid: int | None = None) -> dict[str, Any]:
        """Answer stopProcess(wait=False)."""
        process = self.processes[name]
        if pid is not None and process.pid != pid:
            return {"answer": Answer.OTHER_PID}
        if process.state not in {P.RUNNING, P.STARTING}:
            return {"answer": Answer.FAULT, "fault": FaultCode.NOT_RUNNING}
        self.change(process, P.STOPPING)
        return {"answer": Answer.DONE}

    def start(self, name: str) -> dict[str, Any]:
        """Answer startProcess(wait=False)."""
        process = self.processes[name]
        if process.state in {P.RUNNING, P.STARTING, P.BACKOFF}:
            return {"answer": Answer.FAULT, "fault": FaultCode.ALREADY_STARTED}
        if process.state is not P.STOPPING:
            self.spawn(process)
        return {"answer": Answer.DONE}

    def signal(self, name: str, pid: int, signal: str) -> dict[str, Any]:
        """Answer signalProcess."""
        process = self.processes[name]
        if process.pid != pid:
            return {"answer": Answer.OTHER_PID}
        if signal in {"TSTP", "CONT"}:
            state = State.QUIET if signal == "TSTP" else State.RUNNING
            process.report = {**process.report, "state": state}
        if signal == "KILL" or (signal == "TERM" and not process.ignores_term):
            self.die(name)
        return {"answer": Answer.DONE}

    def die(self, name: str) -> None:
        """End a process by itself; supervisord brings it back at its next turn."""
        process = self.processes[name]
        if process.state in {P.RUNNING, P.STARTING}:
            self.change(process, P.EXITED)
        elif process.state is P.STOPPING:
            self.change(process, P.STOPPED)

    # --- time ---------------------------------------------------------------------

    def run(self, seconds: float, step_s: float = 0.5) -> World:
        """Let time pass: processes move on, nodes report each second, ticks come."""
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            for process in self.processes.values():
                self.move(process)
                if (self.now_s * 2) % 2 < 0.5:
                    self.report_of(process)
            self.tell(Tick())
            self.down_most = max(self.down_most, self.down_count())
        return self

    def move(self, process: Process) -> None:
        """Let supervisord take its next turn for a process."""
        age_s = self.now_s - process.since_s
        timeouts = self.policy.stop_timeouts
        if process.state is P.EXITED:
            if self.respawns and process.exit_code not in STAYS_DOWN:
                self.spawn(process)
        elif process.state is P.RUNNING and self.is_beyond(process):
            self.end_as_spare(process)
        elif process.state is P.STOPPING and (
            not process.ignores_term or age_s >= timeouts.stop_wait_s
        ):
            self.change(process, P.STOPPED)

    def report_of(self, process: Process) -> None:
        """Let a node report, and its memory be read."""
        if process.state is not P.RUNNING or process.pid is None:
            return
        pid = process.pid
        if process.memory_bytes is not None:
            self.tell(
                Measured(name=process.name, pid=pid, memory_bytes=process.memory_bytes)
            )
        if not process.is_silent:
            self.tell(
                Reported(
                    name=process.name,
                    pid=pid,
                    report=report(
                        pid=pid, node=index_of(process.name), **process.report
                    ),
                )
            )

    # --- spares -------------------------------------------------------------------

    def scale(self, nodes: int) -> None:
        """Order so many nodes, in the file that nodes and listener look at."""
        self.orders = {"swarm": Scale(nodes=nodes, by="me", at=f"{self.now_s}")}
        self.tell(ScaleRead(orders=self.orders))

    def is_beyond(self, process: Process) -> bool:
        """Whether a node is to be a spare, as it finds itself."""
        order = self.orders.get("swarm")
        return order is not None and index_of(process.name) >= order.nodes

    def end_as_spare(self, process: Process) -> None:
        """Let a node say that it is not needed, and exit with 6."""
        if process.pid is None or process.ignores_term:
            return
        said = report(
            pid=process.pid, node=index_of(process.name), state="booting", spare=True
        )
        self.tell(Reported(name=process.name, pid=process.pid, report=said))
        process.exit_code = EXIT_SPARE
        self.change(process, P.EXITED)

    def down_count(self) -> int:
        """Count nodes that are not running."""
        return sum(p.state is not P.RUNNING for p in self.processes.values())

    # --- to look at ---------------------------------------------------------------

    def pid(self, node: int) -> int | None:
        """Return the pid of a node."""
        return self.processes[f"swarm:node_{node}"].pid

    def of(self, kind: type[Action]) -> list[Any]:
        """Return the actions of one kind, in order."""
        return [action for action in self.actions if isinstance(action, kind)]

    def said(self, event: str) -> list[Say]:
        """Return the lines about one event."""
        return [say for say in self.of(Say) if say.event == event]


def index_of(name: str) -> int:
    """Return a node's id."""
    return int(name.rpartition("_")[2])


_HEALTHY: Final[dict[str, Any]] = {
    "node": 0,
    "pid": 1,
    "state": State.RUNNING,
    "poll_age_ms": 10,
    "assigned": 3,
    "messages": 1,
}


def report(**fields: Any) -> Report:
    """Return a healthy report, but for the fields given."""
    return Report(**{**_HEALTHY, **fields})
