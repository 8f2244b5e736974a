"""One real supervisord for one test, from a template in a directory of its own.

Nothing outlives the test: supervisord is told to shut down, then killed by its pid,
its children with it. Should a test run itself be killed, the kernel ends supervisord
(`parent_death`); programs of the tests see to themselves, as nodes and listener do.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)
from tests.eventually import eventually

ROOT: Final = Path(__file__).resolve().parent.parent
PARENT_DEATH: Final = ROOT / "tests" / "kafka" / "parent_death.py"
SUPERVISORD: Final = Path(sys.executable).with_name("supervisord")
SOCKET_PATH_MAX: Final = 100  # sun_path holds 108 bytes, supervisord adds ".<pid>"

_TEMPLATE: Final = """\
[supervisord]
logfile = {folder}/supervisord.log
logfile_maxbytes = 0
loglevel = {loglevel}
pidfile = {folder}/supervisord.pid
childlogdir = {folder}
nodaemon = true
silent = true

[unix_http_server]
file = {folder}/s
{credentials}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

{sections}
"""


@dataclass
class Supervisord:
    """A running supervisord.

    Attributes:
        folder: Short temporary directory with socket, logs and configuration.
        process: supervisord itself.
        rpc: Calls to it.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    rpc: Supervisor

    @property
    def url(self) -> str:
        """Its address, as its children are given it."""
        return f"unix://{self.folder}/s"

    @property
    def log(self) -> str:
        """What supervisord wrote so far."""
        return _text(self.folder / "supervisord.log")

    def state(self, name: str) -> str:
        """Return the state of a process."""
        return self.rpc.process(name).state

    def pid(self, name: str) -> int | None:
        """Return the pid of a process, None without one."""
        return self.rpc.process(name).pid

    def file(self, name: str) -> str:
        """Return the text of a file in the folder; empty while it is not there."""
        return _text(self.folder / name)

    def shut_down(self) -> None:
        """End it: asked by RPC, then killed by pid, its children with it."""
        if self.process.poll() is None:
            try:
                self.rpc._call("supervisor.shutdown")
                self.process.wait(timeout=15)
            except (SupervisorFault, SupervisorUnreachable, subprocess.TimeoutExpired):
                self._kill()

    def _kill(self) -> None:
        children = children_of(self.process.pid)
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(timeout=10)
        for pid in children:
            signal_if_alive(pid, signal.SIGKILL)


@contextmanager
def running_supervisord(
    sections: str,
    *,
    loglevel: str = "info",
    password: str | None = None,
    prepare: Callable[[Path], None] | None = None,
) -> Iterator[Supervisord]:
    """Run a supervisord with these program sections; ``{folder}`` is its directory.

    With a ``password`` its socket asks for that, of user ``u``. ``prepare`` may put
    files into the directory before anything starts.
    On failure all logs of its folder are part of the test's output.
    """
    folder = Path(tempfile.mkdtemp(prefix="sw", dir="/tmp"))  # a short path
    assert len(str(folder)) < SOCKET_PATH_MAX - 8
    if prepare is not None:
        prepare(folder)
    text = _TEMPLATE.format(
        folder=folder,
        loglevel=loglevel,
        credentials="" if password is None else f"username = u\npassword = {password}",
        sections=sections.replace("{folder}", str(folder)).replace(
            "{python}", f"{sys.executable}"
        ),
    )
    daemon = start_supervisord(folder, text)
    if password is not None:
        daemon.rpc = Supervisor(daemon.url, username="u", password=password)
    try:
        eventually(
            lambda: answers(daemon), within_s=20.0, describe="supervisord answers"
        )
        yield daemon
    except BaseException:
        _show_logs(folder)
        raise
    finally:
        daemon.shut_down()
        shutil.rmtree(folder, ignore_errors=True)


def start_supervisord(folder: Path, config: str) -> Supervisord:
    """Start a supervisord in a folder; it may not answer yet."""
    config_file = folder / "supervisord.conf"
    config_file.write_text(config, encoding="utf-8")
    launcher = [sys.executable, str(PARENT_DEATH), str(os.getpid())]
    with (folder / "supervisord.stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*launcher, str(SUPERVISORD), "-n", "-c", str(config_file)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    return Supervisord(folder, process, Supervisor(f"unix://{folder}/s"))


def answers(daemon: Supervisord) -> bool:
    """Whether supervisord answers.

    Raises:
        AssertionError: It has ended instead.
    """
    if daemon.process.poll() is not None:
        stderr = daemon.file("supervisord.stderr")
        raise AssertionError(f"supervisord ended at once: {stderr}\n{daemon.log}")
    try:
        daemon.rpc.identity()
    except SupervisorUnreachable:
        return False
    return True


def children_of(pid: int) -> list[int]:
    """Return the children of a process; none when it is gone."""
    text = _text(Path(f"/proc/{pid}/task/{pid}/children"))
    return [int(child) for child in text.split()]


def signal_if_alive(pid: int, number: int) -> None:
    """Signal a process unless it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    stat = _text(Path(f"/proc/{pid}/stat"))
    return bool(stat) and stat.rpartition(")")[2].split()[0] != "Z"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _show_logs(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".log", ".stderr", ".conf", ".json"):
            sys.stderr.write(f"\n--- {path.name} ---\n{_text(path)[-8_000:]}\n")
