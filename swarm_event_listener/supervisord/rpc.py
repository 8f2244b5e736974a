"""supervisord over XML-RPC: the calls of the listener, each bounded in time.

Each call has a connection of its own. A kept one saves 0.1 ms on calls that are rare,
and is of no use after any error: its next answer may be that of the call before.
"""

from __future__ import annotations

import logging
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from swarm_event_listener.core.model.events import ProcessInfo, ProcessState
from swarm_event_listener.supervisord.protocol import full_name
from swarm_event_listener.supervisord.transport import (
    AnswerError,
    Transport,
    connector,
    sendable,
)
from swarm_worker.shared.settings import ConfigError

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S: Final = 2.0


class SupervisorFault(Exception):  # noqa: N818 - XML-RPC's own word
    """supervisord answered with a fault.

    Attributes:
        code: supervisord's number for it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"fault {code}: {text}")
        self.code = code


class SupervisorUnreachable(Exception):  # noqa: N818 - says more than "error"
    """No answer that can be used. The call may have been carried out all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    """What the configuration says of a process.

    supervisord gives the file as it was last read: after ``reread`` and before
    ``update`` that is not what its processes run with. It does not tell autorestart.

    Attributes:
        name: ``group:process``.
        stop_wait_s: Seconds from the stop signal to KILL.
        capture_max_bytes: 0 means that no report can arrive.
        redirect_stderr: stdout and stderr are one pipe.
        exit_codes: Those after which it stays EXITED, unless autorestart says more.
        command: What it runs.
        directory: Where; empty for where supervisord works.
    """

    group: str
    name: str
    stop_wait_s: float
    capture_max_bytes: int
    redirect_stderr: bool
    exit_codes: tuple[int, ...] = ()
    command: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorIdentity:
    """Which supervisord this is; intents of another one are void.

    Attributes:
        started_ticks: Its start in clock ticks since boot; None where /proc is not.
        boot_id: Of the machine's run; empty where /proc is not.
    """

    pid: int
    started_ticks: int | None
    boot_id: str


class Supervisor:
    """The supervisord that started this program.

    Every method blocks for `TIMEOUT_S` at most, and raises `SupervisorFault` for an
    answer that is none, `SupervisorUnreachable` for none.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Take the address; nothing is connected yet.

        Raises:
            ConfigError: The URL is neither ``unix://`` nor ``http://``.
        """
        self._url = url
        known = username is not None
        transport = Transport(
            connector(url),
            credentials=f"{username}:{password or ''}" if known else None,
            timeout_s=timeout_s,
            clock=time.monotonic,
        )
        self._proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
    ) -> Supervisor:
        """Take the address that supervisord gives to its children.

        supervisord passes no credentials: they are to be set by ``environment=``.

        Raises:
            ConfigError: The environment has no such address, or a strange one.
        """
        if "SUPERVISOR_SERVER_URL" not in environ:
            raise ConfigError(
                "SUPERVISOR_SERVER_URL is not set: run this program as an "
                "[eventlistener:x] of a supervisord that has a [unix_http_server]"
            )
        return cls(
            environ["SUPERVISOR_SERVER_URL"],
            username=environ.get("SUPERVISOR_USERNAME"),
            password=environ.get("SUPERVISOR_PASSWORD"),
            timeout_s=timeout_s,
        )

    # --- what is --------------------------------------------------------------------

    def processes(self) -> tuple[ProcessInfo, ...]:
        """Return all processes. Costs supervisord 0.3 ms each: ask rarely."""
        answer = self._call("supervisor.getAllProcessInfo")
        return tuple(_read_each(answer, _process_info, what="process"))

    def process(self, name: str) -> ProcessInfo:
        """Return one process.

        Raises:
            SupervisorFault: BAD_NAME: there is none of that name.
        """
        answer = self._call("supervisor.getProcessInfo", _addressable(name))
        for info in _read_each([answer], _process_info, what="process"):
            return info
        raise SupervisorUnreachable(f"no process in the answer for {name!r}")

    def configs(self) -> tuple[ProcessConfig, ...]:
        """Return the configuration of all processes, listeners among them."""
        answer = self._call("supervisor.getAllConfigInfo")
        return tuple(_read_each(answer, _process_config, what="config"))

    def log_end(self, size_bytes: int) -> str:
        """Return the end of supervisord's own log.

        Raises:
            SupervisorFault: It has none that it can read.
        """
        return str(self._call("supervisor.readLog", -size_bytes, 0))

    def stderr_log(self, name: str) -> str:
        """Return the file of a process's stderr; empty without one.

        Raises:
            SupervisorFault: BAD_NAME: there is no process of that name.
        """
        answer = self._call("supervisor.getProcessInfo", _addressable(name))
        return str(answer.get("stderr_logfile") or "") if type(answer) is dict else ""

    def stderr_end(self, name: str, size_bytes: int) -> str:
        """Return the end of a process's stderr log.

        Raises:
            SupervisorFault: It has none that supervisord can read.
        """
        method = "supervisor.readProcessStderrLog"
        return str(self._call(method, _addressable(name), -size_bytes, 0))

    def identity(self) -> SupervisorIdentity:
        """Return which supervisord answers."""
        pid = self._call("supervisor.getPID")
        if not isinstance(pid, int):
            raise SupervisorUnreachable(f"expected a pid, got {pid!r}")
        return SupervisorIdentity(
            pid=pid, started_ticks=started_ticks(pid), boot_id=boot_id()
        )

    # --- what shall be --------------------------------------------------------------

    def stop(self, name: str) -> None:
        """Begin a stop: the stop signal now, KILL after ``stopwaitsecs``.

        Raises:
            SupervisorFault: NOT_RUNNING also where it is STOPPING already.
        """
        self._call("supervisor.stopProcess", _addressable(name), False)  # noqa: FBT003

    def start(self, name: str) -> None:
        """Begin a start. While it is STOPPING this answers well and does nothing.

        Raises:
            SupervisorFault: ALREADY_STARTED also in BACKOFF.
        """
        self._call("supervisor.startProcess", _addressable(name), False)  # noqa: FBT003

    def signal(self, name: str, signal_name: str) -> None:
        """Send a signal, named as in ``TTIN``, to the process alone."""
        self._call("supervisor.signalProcess", _addressable(name), signal_name)

    def wake(self) -> None:
        """Have supervisord take a turn of its loop."""
        self._call("supervisor.getState")

    def send_event(self, event_type: str, data: str) -> None:
        """Send a REMOTE_COMMUNICATION event to all listeners that want it."""
        line = " ".join(event_type.split())  # a newline would end the header
        self._call("supervisor.sendRemoteCommEvent", line, data)

    # --- the wire -------------------------------------------------------------------

    def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - per method
        try:
            return getattr(self._proxy, method)(*map(sendable, params))
        except xmlrpc.client.Fault as fault:
            raise SupervisorFault(fault.faultCode, fault.faultString) from None
        except (OSError, AnswerError) as error:
            raise SupervisorUnreachable(
                f"{method} at {self._url}: {str(error) or type(error).__name__}"
            ) from None


def _addressable(name: str) -> str:
    """Refuse a name that supervisord would take for a whole group.

    Raises:
        ValueError: The caller is at fault.
    """
    group, _, process = name.partition(":")
    if full_name(group, process) != name:
        raise ValueError(f"expected 'group:process', got {name!r}")
    return name


# --- answers --------------------------------------------------------------------------


def _read_each(
    answer: object, read: Callable[[Mapping[str, Any]], T], *, what: str
) -> Iterator[T]:
    if not isinstance(answer, list):
        raise SupervisorUnreachable(f"expected a list, got {answer!r:.80}")
    for item in answer:
        try:
            yield read(item)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("%s_skipped why=%r item=%.200r", what, str(error), item)


def _name(item: Mapping[str, Any]) -> str:
    name = full_name(str(item["group"]), str(item["name"]))
    if name is None:
        raise ValueError("its name means something else to supervisord")
    return name


def _process_info(item: Mapping[str, Any]) -> ProcessInfo:
    return ProcessInfo(
        name=_name(item),
        state=ProcessState(item["statename"]),
        pid=int(item["pid"]) or None,
        exit_code=int(item["exitstatus"]),
        started_ago_s=_ago_s(item, "start"),
        stopped_ago_s=_ago_s(item, "stop"),
    )


def _ago_s(item: Mapping[str, Any], moment: str) -> int | None:
    """Return the age of a start or an end; None before the first."""
    return int(item["now"]) - int(item[moment]) if item.get(moment) else None


def _process_config(item: Mapping[str, Any]) -> ProcessConfig:
    return ProcessConfig(
        group=str(item["group"]),
        name=_name(item),
        stop_wait_s=float(item["stopwaitsecs"]),
        capture_max_bytes=int(item["stdout_capture_maxbytes"]),
        redirect_stderr=bool(item["redirect_stderr"]),
        exit_codes=tuple(map(int, item["exitcodes"])),
        command=str(item["command"]),
        directory="" if item["directory"] == "none" else str(item["directory"]),
    )


# --- /proc ----------------------------------------------------------------------------


def started_ticks(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot; None when it cannot be told.

    With the pid this names a process for as long as the machine runs.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # After the command, which may hold anything: the state is field 3, the start 22.
    return int(stat.rpartition(b")")[2].split()[19])


def boot_id() -> str:
    """Return the id of the machine's run; empty when it cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
