"""supervisord: its processes, and what the commands ask it to do."""

from __future__ import annotations

import socket
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

import psutil

from swarm_event_listener.core.model.events import FaultCode, ProcessState
from swarm_event_listener.ctl.sources.place import Running
from swarm_event_listener.supervisord.node_log import REMOTE_TAIL_BYTES
from swarm_event_listener.supervisord.protocol import RemoteCommand
from swarm_worker.shared.settings import EXIT_SPARE

ANSWERS_WITHIN_S: Final = 10.0

# The words of supervisorctl for supervisord's faults.
_FAULTS: Final = {
    6: "supervisord is shutting down",
    10: "no such process",
    20: "no file",
    70: "not running",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process as supervisord describes it; without pid and uptime unless it runs.

    Attributes:
        name: ``group:process``.
        stderr_log: Its file; empty without one.
        exit_code: The last one; -1 for a signal, 0 also before the first exit.
    """

    name: str
    state: ProcessState
    pid: int | None
    uptime_s: float | None
    stderr_log: str = ""
    exit_code: int = 0

    @property
    def group(self) -> str:
        """Its process group."""
        return self.name.partition(":")[0]

    @property
    def exited_as_spare(self) -> bool:
        """Whether its node found that it is not needed, and ended."""
        return self.state is ProcessState.EXITED and self.exit_code == EXIT_SPARE


class CallRefused(Exception):  # noqa: N818 - says more than "error"
    """supervisord refused a call."""

    def __init__(self, about: str, why: str, code: int = 0) -> None:
        """Name what it was asked about, empty if nothing, and its answer."""
        super().__init__(f"{about}: ERROR ({why})" if about else f"ERROR ({why})")
        self.why = why
        self.code = code


class Supervisord:
    """supervisord through the connection of supervisorctl.

    Its calls raise `CallRefused`, but for `running` and `log_tail`.
    """

    def __init__(self, controller: Any) -> None:  # noqa: ANN401 - untyped
        """Use the connection of supervisorctl."""
        self._ctl = controller

    def processes(self) -> tuple[Process, ...]:
        """Return all processes."""
        return tuple(_process(info) for info in self._call("getAllProcessInfo"))

    def running(self) -> Running:
        """Return what it tells of its configuration; nothing where it cannot."""
        folder = environ = uid = None
        try:
            configs = self._call("getAllConfigInfo")
            with suppress(psutil.Error, OSError):
                process = psutil.Process(self._call("getPID"))
                uid = process.uids().effective
                folder = Path(process.cwd())
                environ = process.environ()
        except (CallRefused, ExpatError, xmlrpc.client.ProtocolError):
            return Running()  # it shuts down, or a command has what XML forbids
        return Running(configs=configs, folder=folder, environ=environ, uid=uid)

    def signal(self, name: str, signal_name: str) -> None:
        """Signal a process."""
        self._call("signalProcess", name, signal_name)

    def start(self, name: str) -> None:
        """Begin to start a process; it is no error when somebody else has."""
        try:
            self._call("startProcess", name, False)  # noqa: FBT003 - its wait
        except CallRefused as answer:
            if answer.code != FaultCode.ALREADY_STARTED:
                raise

    def stop(self, name: str) -> None:
        """Begin to stop a process."""
        self._call("stopProcess", name, False)  # noqa: FBT003 - its wait

    def send(self, command: RemoteCommand) -> None:
        """Send an event to all listeners that want it."""
        self._call("sendRemoteCommEvent", command.type, command.data)

    def log_tail(self, name: str) -> str:
        """Return the end of a process's stderr log; empty without one."""
        try:
            return str(self._call("readProcessStderrLog", name, -REMOTE_TAIL_BYTES, 0))
        except (CallRefused, xmlrpc.client.ProtocolError):
            return ""  # or supervisord cannot pass it on

    def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - per method
        try:
            return getattr(self._ctl.get_supervisor(), method)(*params)
        except xmlrpc.client.Fault as fault:
            said = _FAULTS.get(fault.faultCode, fault.faultString)
            about = str(params[0]) if params else ""
            raise CallRefused(about, said, fault.faultCode) from None
        except socket.gaierror as error:
            raise OSError(str(error)) from None


def _process(info: Mapping[str, Any]) -> Process:
    pid = int(info["pid"]) or None
    return Process(
        name=f"{info['group']}:{info['name']}",
        state=ProcessState(info["statename"]),
        pid=pid,
        uptime_s=None if pid is None else max(0.0, info["now"] - info["start"]),
        stderr_log=str(info.get("stderr_logfile") or ""),
        exit_code=int(info["exitstatus"]),
    )


@contextmanager
def bounded_calls() -> Iterator[None]:
    """Bound each call: those of supervisorctl wait for ever for a hung supervisord."""
    before_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWERS_WITHIN_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before_s)
