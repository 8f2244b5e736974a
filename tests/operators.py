"""What supervisord, listener and records say to an operator, for tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.ctl.commands import parse, run
from swarm_event_listener.ctl.session import Exit, Session
from swarm_event_listener.ctl.sources.node_configs import NodeConfigs
from swarm_event_listener.ctl.sources.node_program import NodeProgram
from swarm_event_listener.ctl.sources.place import Place, Running
from swarm_event_listener.ctl.sources.scale import ScaleFiles
from swarm_event_listener.ctl.sources.sources import Sources
from swarm_event_listener.ctl.sources.state import ListenerStatus, StateError
from swarm_event_listener.ctl.sources.supervisord import (
    CallRefused,
    Process,
    Supervisord,
)
from swarm_event_listener.ctl.view.screen import Screen
from swarm_event_listener.doctor.finding import Finding, Where, warning
from swarm_event_listener.supervisord.protocol import RemoteCommand
from swarm_worker.shared.state_files.partition_figures import (
    NodeFigures,
    NotKnownError,
    PartitionFigures,
)
from tests.clock import FakeClock


def process(
    name: str = "w:w_00", state: str = "RUNNING", pid: int | None = 7
) -> Process:
    """Return a process as supervisord tells of it."""
    return Process(
        name=name,
        state=ProcessState(state),
        pid=pid,
        uptime_s=None if pid is None else 75.0,
    )


def node_status(**fields: Any) -> dict[str, Any]:
    """Return a node as the listener tells of it: healthy, but for what is given."""
    return {
        "node": "w:w_00",
        "state": "RUNNING",
        "pid": 7,
        "health": "healthy",
        "why": "",
        "held": False,
        "known": True,
        "restart": None,
        "messages_per_s": 12.5,
        "memory_bytes": 300 * 2**20,
        "memory_limit_bytes": 2**30,
        "report": {
            "poll_age_ms": 120,
            "consume_age_ms": None,
            "in_flight": ["orders/3@7"],
            "assigned": 3,
            "lag": 42,
        },
        **fields,
    }


def listener_status(
    *nodes: dict[str, Any], age_s: float | None = 1.0
) -> ListenerStatus:
    """Return what the listener said."""
    return ListenerStatus(
        age_s=age_s,
        listener_pid=1,
        groups=("w",),
        nodes={node["node"]: node for node in nodes},
    )


def disk(**fields: int) -> os.statvfs_result:
    """Return what is told of a file system: half full, but for what is given."""
    facts = {
        "f_bsize": 4096,
        "f_frsize": 4096,
        "f_blocks": 200,
        "f_bfree": 105,
        "f_bavail": 100,
        "f_files": 50,
        "f_ffree": 26,
        "f_favail": 25,
        "f_flag": 0,
        "f_namemax": 255,
    }
    assert facts.keys() >= fields.keys()
    return os.statvfs_result(tuple((facts | fields).values()))


def record(**fields: Any) -> dict[str, Any]:
    """Return a record of a restart, but for what is given."""
    return {
        "node": "w:w_00",
        "pid": 7,
        "cause": "rule",
        "status": 2,
        "reason": "consuming_ttl: 9.0 s > 5.0 s",
        "in_flight": ["orders/3@7"],
        "suspect": None,
        "rss_mb": 812,
        "detected_at": "2026-11-24T09:00:00.000+00:00",
        "stopped_at": "2026-11-24T09:00:04.000+00:00",
        "killed": True,
        "started_at": "2026-11-24T09:00:09.000+00:00",
        "recovered_at": "2026-11-24T09:00:11.500+00:00",
        "new_pid": 8,
        "dry_run": False,
        "seconds": {"stop": 4.0, "down": 5.0, "recovery": 2.5, "total": 11.5},
        **fields,
    }


def figures(
    *partitions: str, pid: int = 7, at_s: float = 997.0, **more: Any
) -> NodeFigures:
    """Return what a node wrote: a ``group topic/partition lag`` each, or ``-``."""
    told = []
    for text in partitions:
        group, place, lag = text.split()
        topic, _, number = place.partition("/")
        told.append(
            PartitionFigures(
                kafka_group=group,
                topic=topic,
                partition=int(number),
                lag=None if lag == "-" else int(lag),
                **more,
            )
        )
    return NodeFigures(pid=pid, at_ms=round(at_s * 1000), partitions=tuple(told))


LISTENER = replace(process("swarm:listener"), pid=1)
FULL = "the file system of /run is full (0 KB left)"


@dataclass
class World(Supervisord, Screen):
    """supervisord, listener and operator in one; time passes only while waiting."""

    processes_now: list[Process] = field(
        default_factory=lambda: [process("w:w_00"), process("w:w_01", pid=8), LISTENER]
    )
    nodes: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "w:w_00": node_status(),
            "w:w_01": node_status(node="w:w_01", pid=8),
        }
    )
    rolls: dict[str, Any] = field(default_factory=dict)
    records: tuple[dict[str, Any], ...] | StateError = ()
    age_s: float = 1.0
    place_warning: str = ""
    write_error: str = ""
    pool: str = "swarm"
    watched: tuple[str, ...] = ("w",)
    folder: Path = Path("/run")
    configs: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, NodeFigures] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    done: list[tuple[str, ...]] = field(default_factory=list)
    caught: bool | None = True
    log: str = ""
    refusal: str = ""
    program: NodeProgram | StateError = field(
        default_factory=lambda: NodeProgram(
            python="/v/bin/python",
            folder=Path("/app"),
            config=Path("/app/swarm.toml"),
            environ={},
            uid=None,
        )
    )
    asked_for: list[str | None] = field(default_factory=list)
    ran: list[list[str]] = field(default_factory=list)
    exit_code: int = 0
    clock: FakeClock = field(default_factory=FakeClock)
    on_wait: list[Callable[[], None]] = field(default_factory=list)
    on_say: dict[str, Callable[[], None]] = field(default_factory=dict)
    is_terminal: bool = False
    width: int = 80
    height: int = 24

    # --- supervisord ---

    def processes(self) -> tuple[Process, ...]:
        """Return all processes."""
        return tuple(self.processes_now)

    def signal(self, name: str, signal_name: str) -> None:
        """Keep a signal."""
        self._refuse(name)
        self.done.append(("signal", name, signal_name))

    def start(self, name: str) -> None:
        """Keep a start."""
        self._refuse(name)
        self.done.append(("start", name))
        self.becomes(name, "STARTING")

    def stop(self, name: str) -> None:
        """Keep a stop."""
        self._refuse(name)
        self.done.append(("stop", name))
        self.becomes(name, "STOPPING")

    def send(self, command: RemoteCommand) -> None:
        """Keep an event."""
        self.done.append(("send", command.type, command.data))

    def log_tail(self, _name: str) -> str:
        """Return the log."""
        return self.log

    def becomes(self, name: str, state: str) -> None:
        """Let a process change."""
        self.processes_now = [
            replace(p, state=ProcessState(state)) if p.name == name else p
            for p in self.processes_now
        ]

    def _refuse(self, name: str) -> None:
        if self.refusal:
            raise CallRefused(name, self.refusal)

    # --- the operator ---

    def say(self, text: str) -> None:
        """Keep what is shown; the first of a text may have a consequence."""
        self.lines += text.splitlines()
        for part in [part for part in self.on_say if part in text]:
            self.on_say.pop(part)()

    def redraw(self, text: str) -> None:
        """Keep it, too."""
        self.say(text)

    def wait(self, seconds: float) -> None:
        """Let time pass and, once each, something happen."""
        self.clock.advance(seconds)
        if self.on_wait:
            self.on_wait.pop(0)()

    # --- the files ---

    def place(self) -> Place:
        """Return where the listener works."""
        return Place(
            directory=self.folder,
            groups=self.watched,
            warning=self.place_warning,
            pool=self.pool,
        )

    def status(self, _directory: Path) -> ListenerStatus:
        """Return what the listener said."""
        return ListenerStatus(
            age_s=self.age_s,
            listener_pid=1,
            groups=self.watched,
            nodes=self.nodes,
            rolls=self.rolls,
            write_error=self.write_error,
        )

    def history(self, _directory: Path) -> tuple[dict[str, Any], ...]:
        """Return the records."""
        if isinstance(self.records, StateError):
            raise self.records
        return self.records

    def partitions(self, node: str, pid: int) -> NodeFigures:
        """Return what a node wrote of its partitions, if it has that pid."""
        told = self.figures.get(node)
        if told is None or told.pid != pid:
            raise NotKnownError(f"no {node}.partitions")
        return told

    def node_program(self, name: str | None) -> NodeProgram:
        """Return how a node is started."""
        if isinstance(self.program, StateError):
            raise self.program
        self.asked_for.append(name)
        return self.program

    def run_program(self, words: Sequence[str], _program: NodeProgram) -> int:
        """Keep what would be run."""
        self.ran.append(list(words))
        return self.exit_code

    def examine(self, file: str | None) -> tuple[Finding, ...]:
        """Find one thing."""
        return (warning(Where(Path(file or "own.conf")), "x", why="why"),)

    def session(self) -> Session:
        """Return the operator's session."""
        sources = Sources(
            place=self.place,
            status=self.status,
            history=self.history,
            catches=lambda _pid, _name: self.caught,
            examine=self.examine,
            partitions=self.partitions,
            scale=ScaleFiles(
                NodeConfigs(lambda: Running(configs=self.configs), None, {}), self.place
            ),
            node_program=self.node_program,
            run=self.run_program,
            clock=self.clock,
        )
        return Session(self, self, sources)

    def run(self, line: str) -> Exit:
        """Run a command."""
        return run(self.session(), parse(line))

    @property
    def text(self) -> str:
        """All that was shown."""
        return "\n".join(self.lines)
