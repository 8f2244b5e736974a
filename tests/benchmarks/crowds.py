"""Crowds of light nodes, each under something that watches them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from swarm_worker.shared.report import Report, State, encode
from tests.benchmarks.bench import Bench
from tests.benchmarks.environments import PEERS
from tests.benchmarks.usage import Cpu, cpu_of
from tests.eventually import eventually
from tests.supervisord import ROOT, children_of, signal_if_alive

LIGHT_NODE: Final = ROOT / "tests" / "benchmarks" / "light_node.py"
INTERVAL_S: Final = 5.0
START_S: Final = 180.0  # four hundred processes on a slow machine
END_S: Final = 20.0

# Becomes a daemon that the kernel TERMs when the bench ends, however that does: KILL
# would leave circus' plugins behind. Source: prctl(2), PR_SET_PDEATHSIG.
TERMED_WITH_US: Final = """\
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class CrowdError(Exception):
    """Something did not watch as it should; says what, and shows its log."""


@dataclass(frozen=True)
class Crowd:
    """Light nodes, and what watches them.

    Attributes:
        name: What watches.
        size: How many nodes.
        folder: Its configuration and logs.
        watchers: The pid of each process that watches, by what it is.
        nodes: The pids of the nodes.
        is_watched: Whether what watches has heard of all of them.
    """

    name: str
    size: int
    folder: Path
    watchers: Mapping[str, int]
    nodes: frozenset[int]
    is_watched: Callable[[], bool] = lambda: True

    def await_watched(self) -> Crowd:
        """Wait until all nodes are seen by what watches them; give it as it is then.

        A listener whose supervisord is too busy with its start to answer starts anew.

        Raises:
            CrowdError: They are not, in time.
        """
        try:
            eventually(
                self.is_watched, within_s=START_S, every_s=0.2, describe="watched"
            )
        except AssertionError:
            raise CrowdError(f"{self}: not all are watched\n{self.log}") from None
        present = dict(self.watchers)
        for pid in children_of(self.watchers["daemon"]):
            if _is_listener(_command(pid)):
                present["listener"] = pid
        return replace(self, watchers=present)

    def cpu(self) -> dict[str, Cpu]:
        """Return the CPU time so far of each watcher, its dead children's included.

        Raises:
            CrowdError: A node or a watcher is another process than before.
        """
        alive = set(children_of(self.watchers["daemon"]))
        if (
            not (self.nodes | set(self.watchers.values())) - {self.watchers["daemon"]}
            <= alive
        ):
            raise CrowdError(f"{self}: processes were restarted\n{self.log}")
        return {name: cpu_of(pid) for name, pid in self.watchers.items()}

    @property
    def rounds(self) -> int:
        """How often memmon began to look at the nodes; 0 for others.

        At hundreds of nodes it may need longer than its interval.
        """
        log = self.folder / "watcher.log"
        return log.read_text().count("Checking groups") if log.exists() else 0

    def __str__(self) -> str:
        """Name it."""
        return f"{self.size} nodes under {self.name}"

    @property
    def log(self) -> str:
        """The end of what its watchers wrote."""
        return log_of(self.folder)


def log_of(folder: Path) -> str:
    """Return the end of all logs of a folder."""
    logs = sorted(folder.glob("*.log"))
    return "\n".join(f"--- {path.name}\n{path.read_text()[-2_000:]}" for path in logs)


# --- who watches ----------------------------------------------------------------------


@contextmanager
def swarm(bench: Bench, size: int) -> Iterator[Crowd]:
    """Watch nodes that report with supervisord and our listener."""

    def prepare(folder: Path) -> None:
        shutil.copy(PEERS / "swarm.toml", folder)
        healthy = Report(
            node=1, pid=4711, state=State.RUNNING, seq=0, at_ms=0, poll_age_ms=87,
            assigned=3, messages=123_456, batches=1_234, lag=0, brokers_up=3,
        )  # fmt: skip
        (folder / "report").write_bytes(encode(healthy))

    environ = {"LISTENER": f"{sys.executable} -m swarm_event_listener"}
    python = Path(sys.executable)
    with _supervised(
        bench, size, "swarm", python, environ=environ, prepare=prepare
    ) as crowd:
        status = crowd.folder / "run" / "status.json"
        yield replace(
            crowd,
            is_watched=lambda: (
                status.exists() and status.read_text().count('"seq"') == size
            ),
        )


@contextmanager
def memmon(bench: Bench, size: int, *, tick_s: int) -> Iterator[Crowd]:
    """Watch the memory of nodes with supervisord and superlance's memmon."""
    python = bench.environments.python("superlance")
    environ = {
        "MEMMON": str(python.with_name("memmon")),
        "TICK": f"TICK_{tick_s}",
    }
    with _supervised(bench, size, "memmon", python, environ=environ) as crowd:
        yield replace(crowd, name=f"memmon {tick_s}")


@contextmanager
def circus(
    bench: Bench, size: int, *, name: str = "circus", plugins: int = 2
) -> Iterator[Crowd]:
    """Watch heartbeats and memory of nodes with circus, from ``peers/<name>.ini``."""
    bench.say(f"starting {size} nodes under {name} ...")
    python = bench.environments.python("circus")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _folder() as folder:
        shutil.copy(PEERS / f"{name}.ini", folder / "circus.ini")
        command = [str(python.with_name("circusd")), str(folder / "circus.ini")]
        environ = {
            "node": _node(),
            "nodes": str(size),
            "port": str(port),
            "folder": str(folder),
        }
        with _daemon(folder, command, environ) as pid:
            nodes = _children(pid, size, _is_node, folder)
            found = sorted(_children(pid, plugins, _is_plugin, folder))
            watchers = {f"plugin {i}": plugin for i, plugin in enumerate(found)}
            yield Crowd(name, size, folder, {"daemon": pid, **watchers}, nodes)


@contextmanager
def _supervised(
    bench: Bench,
    size: int,
    name: str,
    python: Path,
    *,
    environ: Mapping[str, str],
    prepare: Callable[[Path], object] = lambda _: None,
) -> Iterator[Crowd]:
    """Run a supervisord with nodes and one listener, from ``peers/<name>.conf``."""
    bench.say(f"starting {size} nodes under {name} ...")
    with _folder() as folder:
        config = folder / "supervisord.conf"
        shutil.copy(PEERS / f"{name}.conf", config)
        prepare(folder)
        command = [str(python.with_name("supervisord")), "-n", "-c", str(config)]
        own = {"NODE": _node(), "NODES": str(size), **environ}
        with _daemon(folder, command, own) as pid:
            nodes = _children(pid, size, _is_node, folder)
            (listener,) = _children(pid, 1, _is_listener, folder)
            watchers = {"daemon": pid, "listener": listener}
            yield Crowd(name, size, folder, watchers, nodes)


# --- processes ------------------------------------------------------------------------


def _node() -> str:
    return f"{Path(sys.executable).resolve()} -I -S {LIGHT_NODE}"


def _is_node(command: str) -> bool:
    return LIGHT_NODE.name in command


def _is_listener(command: str) -> bool:
    return "swarm_event_listener" in command or "memmon" in command


def _is_plugin(command: str) -> bool:
    return "circus.plugins." in command


def _children(
    pid: int, count: int, wanted: Callable[[str], bool], folder: Path
) -> frozenset[int]:
    """Wait for so many children of a kind.

    Raises:
        CrowdError: There are not as many in time.
    """

    def found() -> list[int] | None:
        them = [child for child in children_of(pid) if wanted(_command(child))]
        return them if len(them) == count else None

    try:
        return frozenset(
            eventually(found, within_s=START_S, every_s=0.2, describe="children")
        )
    except AssertionError:
        raise CrowdError(f"expected {count} children\n{log_of(folder)}") from None


def _command(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return text.replace(b"\0", b" ").decode("utf-8", "replace")


@contextmanager
def _folder() -> Iterator[Path]:
    """Yield a directory whose path is short: there are sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _daemon(
    folder: Path, command: list[str], environ: Mapping[str, str]
) -> Iterator[int]:
    """Run a daemon until the end of the block; its children end with it."""
    with (folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", TERMED_WITH_US, *command],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = children_of(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in children:
        command = _command(pid)
        if _is_node(command) or _is_listener(command) or _is_plugin(command):
            signal_if_alive(pid, signal.SIGKILL)
