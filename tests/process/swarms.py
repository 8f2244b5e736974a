"""A running swarm, as a test sees and touches it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.contract.daemons import recorded
from tests.supervisord import Supervisord

LISTENER: Final = "swarm:listener"
GROUP: Final = "w"


@dataclass
class Swarm:
    """A running swarm of scripted nodes, and its witnesses."""

    daemon: Supervisord

    def name(self, node: int) -> str:
        """Return the full name of a node."""
        return f"{GROUP}:{GROUP}_{node:02d}"

    def pid(self, node: int) -> int:
        """Return the pid of a node that has one."""
        pid = self.daemon.pid(self.name(node))
        assert pid is not None
        return pid

    def tell(self, node: int, **script: object) -> int:
        """Tell a node's present process what to do; return its pid."""
        pid = self.pid(node)
        write_script(self.daemon.folder, f"{GROUP}_{node:02d}", pid=pid, **script)
        return pid

    def status(self) -> dict[str, Any]:
        """Return what the listener last said of the swarm; empty before."""
        return self._json("run/status.json")

    def records(self) -> list[dict[str, Any]]:
        """Return the history of restarts."""
        return [record for record in self._history() if record["cause"] != "died"]

    def deaths(self) -> list[dict[str, Any]]:
        """Return the deaths in it that no restart of ours tells of."""
        return [record for record in self._history() if record["cause"] == "died"]

    def notes(self) -> dict[str, Any]:
        """Return what the journal has for the next listener beside restarts."""
        return dict(self._json("run/journal.json").get("notes", {}))

    def _history(self) -> list[dict[str, Any]]:
        return list(self._json("run/journal.json").get("history", []))

    def intents(self) -> dict[str, Any]:
        """Return the restarts under way, as the journal has them."""
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
        """Return the pid of the listener."""
        pid = self.daemon.pid(LISTENER)
        assert pid is not None
        return pid

    def kill_listener(self) -> int:
        """KILL the listener; give the pid it had."""
        pid = self.listener_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def events(self) -> list[object]:
        """Return what an independent listener saw."""
        return recorded(self.daemon)


def write_script(folder: Path, process: str, **script: object) -> None:
    """Tell a process what to do, also before it is there."""
    replace_text(folder / f"{process}.json", json.dumps(script))


def replace_text(path: Path, text: str) -> None:
    """Put a whole new file in the place of one that others read all the time."""
    path.with_suffix(".new").write_text(text, "utf-8")
    path.with_suffix(".new").replace(path)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
