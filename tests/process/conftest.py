"""A swarm of scripted nodes under the real supervisord and the real listener."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.daemons import recorded
from tests.eventually import eventually
from tests.supervisord import Supervisord, running_supervisord

LISTENER: Final = "swarm:listener"
GROUP: Final = "w"

_SECTIONS: Final = """
[program:w]
command = {python} -m tests.process.scripted {folder}
process_name = %(program_name)s_%(process_num)02d
numprocs = NODES
autorestart = true
startsecs = 1
startretries = 1000
stopwaitsecs = 5
stdout_capture_maxbytes = 64KB
stdout_logfile = NONE
stderr_logfile = {folder}/%(program_name)s_%(process_num)02d.log

[eventlistener:swarm]
process_name = listener
command = {python} -m swarm_event_listener --config {folder}/swarm.toml
events = PROCESS_STATE,PROCESS_COMMUNICATION,PROCESS_GROUP,SUPERVISOR_STATE_CHANGE,REMOTE_COMMUNICATION,TICK_5
buffer_size = 2000
autorestart = true
startretries = 1000
stderr_logfile = {folder}/listener.log

[eventlistener:witness]
command = {python} -m tests.recorder {folder}/events.jsonl
events = PROCESS_STATE,REMOTE_COMMUNICATION
buffer_size = 2000
startsecs = 0
stderr_logfile = {folder}/witness.log
"""

_TOML: Final = """
[worker]
liveness_interval = 250

[listener]
groups = ["w"]
node_report_timeout = 3000
consuming_ttl = 5000
polling_ttl = 5000
stability_ttl = 5000
shutdown_timeout = 4000
node_restart_timeout = 1000
"""


@dataclass
class Swarm:
    """A running swarm of scripted nodes, and its witnesses."""

    daemon: Supervisord

    def name(self, node: int) -> str:
        """Give the full name of a node."""
        return f"{GROUP}:{GROUP}_{node:02d}"

    def pid(self, node: int) -> int:
        """Give the pid of a node that has one."""
        pid = self.daemon.pid(self.name(node))
        assert pid is not None
        return pid

    def tell(self, node: int, *, for_good: bool = False, **script: object) -> int:
        """Tell a node what to do, its present process only unless ``for_good``.

        Returns:
            The pid of its present process.
        """
        pid = self.pid(node)
        told = script if for_good else {"pid": pid, **script}
        path = self.daemon.folder / f"{GROUP}_{node:02d}.json"
        path.with_suffix(".new").write_text(json.dumps(told), "utf-8")
        path.with_suffix(".new").replace(path)
        return pid

    def restarted(self, node: int, *, than: int, within_s: float = 25.0) -> int:
        """Wait for another pid of a node, and for the record of its restart."""
        pid = self.daemon.new_pid(self.name(node), than=than, within_s=within_s)
        eventually(
            lambda: [r for r in self.records() if r["pid"] == than],
            describe=f"a record of the restart of pid {than}",
        )
        return pid

    def status(self) -> dict[str, Any]:
        """Give what the listener last said of the swarm; empty before."""
        return self._json("run/status.json")

    def records(self) -> list[dict[str, Any]]:
        """Give the history of restarts."""
        return list(self._json("run/journal.json").get("history", []))

    def intents(self) -> dict[str, Any]:
        """Give the restarts under way, as the journal has them."""
        return dict(self._json("run/journal.json").get("intents", {}))

    def _json(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            told: dict[str, Any] = json.loads(self.daemon.file(name))
            return told
        return {}

    @property
    def log(self) -> str:
        """What the listener wrote on stderr."""
        return self.daemon.file("listener.log")

    def listener_pid(self) -> int:
        """Give the pid of the listener."""
        pid = self.daemon.pid(LISTENER)
        assert pid is not None
        return pid

    def kill_listener(self) -> int:
        """KILL the listener; give the pid it had."""
        pid = self.listener_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def events(self) -> list[object]:
        """Give what an independent listener saw."""
        return recorded(self.daemon)

    def wait_until_all_report(self, nodes: int) -> None:
        """Wait until the listener has heard from all nodes."""

        def heard() -> bool:
            told = self.status().get("nodes", [])
            return sum(node["report"] is not None for node in told) == nodes

        eventually(heard, within_s=20.0, describe=f"reports of {nodes} nodes")


@contextmanager
def running_swarm(
    *, nodes: int = 2, toml: str = "", replace: tuple[tuple[str, str], ...] = ()
) -> Iterator[Swarm]:
    """Run a swarm.

    Args:
        nodes: How many.
        toml: More lines of ``[listener]``; a key given again wins.
        replace: Texts of supervisord's configuration to replace.
    """
    sections = _SECTIONS.replace("NODES", str(nodes))
    for old, new in replace:
        assert old in sections
        sections = sections.replace(old, new)
    keys = {line.partition("=")[0].strip() for line in toml.splitlines() if "=" in line}
    kept = [
        line
        for line in _TOML.splitlines()
        if line.partition("=")[0].strip() not in keys
    ]

    def prepare(folder: Path) -> None:
        text = "\n".join([*kept, toml])
        (folder / "swarm.toml").write_text(text, "utf-8")

    with running_supervisord(sections, prepare=prepare) as daemon:
        yield Swarm(daemon)


@pytest.fixture
def start_swarm() -> Iterator[Callable[..., Swarm]]:
    """Give a function that starts a swarm whose nodes all report; see `running_swarm`."""
    with ExitStack() as stack:

        def start(*, nodes: int = 2, **options: Any) -> Swarm:
            swarm = stack.enter_context(running_swarm(nodes=nodes, **options))
            swarm.wait_until_all_report(nodes)
            return swarm

        yield start
