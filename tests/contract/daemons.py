"""One way to talk to two supervisords: the real one, and the simulated one.

The core's histories run on ``tests.simulation``; what that claims of supervisord is
checked here on the real one, by the same tests.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from swarm_event_listener.core.model.events import (
    Answered,
    Event,
    ProcessInfo,
    ProcessState,
    Signal,
    Start,
    StateChanged,
    Stop,
)
from swarm_event_listener.listener.actions import Actions, wall_text
from swarm_event_listener.storage.journal import Journal
from swarm_event_listener.supervisord.exit_reader import ExitReader
from swarm_event_listener.supervisord.protocol import parse_event
from tests.eventually import eventually
from tests.simulation import World
from tests.supervisord import Supervisord

Call = Stop | Start | Signal
Moment = tuple[ProcessState, int | None]

NODE = "swarm:node_0"
STUBBORN = "swarm:node_1"  # ignores TERM; its stopwaitsecs is short


class Daemon(Protocol):
    """A supervisord with two running nodes that it brings back when they exit."""

    def do(self, call: Call) -> Answered:
        """Carry out a call as the listener would."""
        ...

    def processes(self) -> dict[str, ProcessInfo]:
        """Return all processes by name."""
        ...

    def kill(self, name: str) -> None:
        """End a process from outside, without a word to supervisord."""
        ...

    def moments(self, name: str) -> list[Moment]:
        """Return the states of a process as the events told them, with their pids."""
        ...

    def await_fact(self, fact: Callable[[], bool], describe: str) -> None:
        """Let time pass until something is so."""
        ...


class Simulated:
    """The supervisord of the core's histories, without its listener."""

    def __init__(self) -> None:
        self._events: list[StateChanged] = []
        self._world = World(2)
        self._world.kill_listener()
        self._world.tell = self._heard  # type: ignore[method-assign]
        self._world.processes[STUBBORN].ignores_term = True

    def _heard(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self._events.append(event)

    def do(self, call: Call) -> Answered:
        """See `Daemon`."""
        answered = self._world.carry_out(call)
        assert isinstance(answered, Answered)
        return answered

    def processes(self) -> dict[str, ProcessInfo]:
        """See `Daemon`."""
        return {info.name: info for info in self._world.survey()}

    def kill(self, name: str) -> None:
        """See `Daemon`."""
        self._world.die(name)

    def moments(self, name: str) -> list[Moment]:
        """See `Daemon`."""
        return [(e.state, e.pid) for e in self._events if e.name == name]

    def await_fact(self, fact: Callable[[], bool], describe: str) -> None:
        """See `Daemon`."""
        for _ in range(60):
            if fact():
                return
            self._world.run(0.5)
        raise AssertionError(f"never: {describe}")


SECTIONS = """\
[group:swarm]
programs = node,stubborn

[program:node]
command = sleep 300
process_name = node_0
startsecs = 0
autorestart = true

[program:stubborn]
command = sh -c 'trap "" TERM; exec sleep 300'
process_name = node_1
startsecs = 0
stopwaitsecs = 2
autorestart = true

[eventlistener:recorder]
command = {python} -m tests.recorder {folder}/events.jsonl
events = PROCESS_STATE
buffer_size = 1000
startsecs = 0
stderr_logfile = {folder}/recorder.log
"""


class Real:
    """supervisord itself, through the listener's own hands."""

    def __init__(self, daemon: Supervisord, state_dir: Path) -> None:
        self._daemon = daemon
        self._actions = Actions(
            daemon.rpc,
            Journal(state_dir),
            exit_reader=ExitReader(daemon.rpc),
            wall=wall_text,
        )
        for name in (NODE, STUBBORN):
            self.await_fact(lambda name=name: self._has_begun(name), f"{name} runs")  # type: ignore[misc]

    def _has_begun(self, name: str) -> bool:
        return (ProcessState.RUNNING, self.processes()[name].pid) in self.moments(name)

    def do(self, call: Call) -> Answered:
        """See `Daemon`."""
        answered = self._actions.carry_out(call)
        assert isinstance(answered, Answered)
        return answered

    def processes(self) -> dict[str, ProcessInfo]:
        """See `Daemon`."""
        return {info.name: info for info in self._daemon.rpc.processes()}

    def kill(self, name: str) -> None:
        """See `Daemon`."""
        pid = self.processes()[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def moments(self, name: str) -> list[Moment]:
        """See `Daemon`."""
        return [
            (event.state, event.pid)
            for event in recorded(self._daemon)
            if isinstance(event, StateChanged) and event.name == name
        ]

    def await_fact(self, fact: Callable[[], bool], describe: str) -> None:
        """See `Daemon`."""
        eventually(fact, within_s=15.0, describe=describe)


def recorded(daemon: Supervisord, file: str = "events.jsonl") -> list[object]:
    """Return the events that the recorder wrote, read by our own parser."""
    lines = daemon.file(file).splitlines()
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return [parse_event(e["event"], e["payload"]) for e in events]
