"""``supervisorctl swarm ...``: the plugin.

    [ctlplugin:swarm]
    supervisor.ctl_factory = swarm_event_listener.supervisorctl:make_ctl

Keys, which are rarely needed, since supervisord tells how it starts its listener:
``config`` (the listener's swarm.toml), ``state_dir`` (its directory) and
``supervisord`` (its file, where supervisorctl reads another one: for the doctor, and
for what ``environment=`` gives the listener). Relative paths are relative to the file
of supervisorctl, and so is ``%%(here)s``: a plain ``%(here)s`` is not known to
supervisorctl in plugins' sections, where it ends with an error.

This module imports `supervisor`, and the doctor's `server_options`; no other does.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import stat
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

import psutil
from supervisor.supervisorctl import ControllerPluginBase

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.ctl.arguments import (
    COMMANDS,
    ArgumentsError,
    HelpAsked,
    help_text,
    parse,
)
from swarm_event_listener.ctl.commands import run
from swarm_event_listener.ctl.session import CallRefused, Exit, Session, Sources
from swarm_event_listener.ctl.signals import catches
from swarm_event_listener.ctl.sources.state import (
    Place,
    Running,
    StateError,
    place_of,
    read_history,
    read_status,
    who_may,
)
from swarm_event_listener.ctl.view.table import Process
from swarm_event_listener.doctor import doctor
from swarm_event_listener.doctor.finding import Finding
from swarm_event_listener.supervisord.protocol import RemoteCommand

KEYS: Final = ("config", "state_dir", "supervisord")
HERE: Final = "%(here)s"
ANSWERS_WITHIN_S: Final = 10.0
LOG_TAIL_BYTES: Final = 64 * 1024
CLEAR: Final = "\x1b[H\x1b[2J"

# The words of supervisorctl for supervisord's faults.
_FAULTS: Final = {
    6: "supervisord is shutting down",
    10: "no such process",
    20: "no file",
    70: "not running",
}


def make_ctl(controller: Any, **keys: str) -> SwarmPlugin:  # noqa: ANN401 - untyped
    """Make the plugin; supervisorctl calls it with the section's keys."""
    return SwarmPlugin(controller, keys)


class SwarmPlugin(ControllerPluginBase):
    """The command ``swarm``."""

    name = "swarm"

    def __init__(self, controller: Any, keys: Mapping[str, str]) -> None:  # noqa: ANN401
        super().__init__(controller)  # type: ignore[no-untyped-call]
        # Nothing may be raised here: it would end supervisorctl for all its commands.
        self._unknown = sorted(set(keys) - set(KEYS))
        self._keys = {key: self._path(keys[key]) for key in KEYS if keys.get(key)}
        _complete_too(controller)
        _help_alone(controller)

    def do_swarm(self, arg: str) -> None:
        """Run one command; nothing leaves it but output and an exit status."""
        is_check = arg.split()[:1] == ["status"]
        failed = Exit.UNKNOWN if is_check else Exit.FAILED
        try:
            with _impatient():
                status = self._run(arg)
        except HelpAsked as asked:
            self.ctl.output(str(asked))
        except ArgumentsError as error:
            self._refuse(f"Error: {error}", Exit.BAD_ARGUMENTS)
        except (StateError, CallRefused) as error:
            self._refuse(str(error), failed)
        except PermissionError:
            self._refuse(self._who_may(), failed)
        except OSError as error:
            self._refuse(f"Error: supervisord does not answer ({error})", failed)
        except KeyboardInterrupt:
            self._refuse("", Exit.FAILED)
        else:
            self._end(status)

    def _run(self, arg: str) -> int:
        if self._unknown:
            raise ArgumentsError(
                f"[ctlplugin:swarm] knows no {', '.join(self._unknown)}; it takes "
                f"{', '.join(KEYS)}"
            )
        arguments = parse(arg)
        if arguments.command != "doctor" and not self.ctl.upcheck():
            is_check = arguments.command == "status"
            return Exit.UNKNOWN if is_check else int(self.ctl.exitstatus)
        return run(self._session(), arguments)

    def do_help(self, arg: str) -> None:
        """Help with our own command only: each plugin is asked about every word."""
        if arg in {"", "swarm"}:
            super().do_help(arg)  # type: ignore[no-untyped-call]

    def help_swarm(self) -> None:
        """Print the help."""
        self.ctl.output(help_text())

    def _session(self) -> Session:
        conf = self._conf()
        environ = dict(os.environ)
        proxy = _Proxy(self.ctl)

        @cache  # once for a whole command
        def place() -> Place:
            return place_of(
                conf,
                environ,
                proxy.running(),
                config=self._keys.get("config"),
                state_dir=self._keys.get("state_dir"),
            )

        sources = Sources(
            place=place,
            status=lambda directory: read_status(directory, now_s=time.monotonic()),
            history=read_history,
            catches=catches,
            examine=partial(_examine, conf, environ),
            clock=time.monotonic,
        )
        return Session(proxy, _Screen(self.ctl), sources)

    def _who_may(self) -> str:
        """Tell who may open supervisord's socket, that has refused us."""
        path = str(self.ctl.options.serverurl).removeprefix("unix://")
        may = who_may(Path(path), stat.S_IWGRP)
        return f"Error: no permission to open {path}: {may}"

    def _conf(self) -> Path | None:
        given = self._keys.get("supervisord")
        found = given or getattr(self.ctl.options, "configfile", None)
        return None if not found else Path(str(found)).absolute()

    def _path(self, text: str) -> str:
        here = getattr(self.ctl.options, "here", None) or "."
        return str(Path(str(here)) / text.replace(HERE, str(here)))

    def _refuse(self, line: str, status: int) -> None:
        self.ctl.output(line)
        self._end(status)

    def _end(self, status: int) -> None:
        if status:
            self.ctl.exitstatus = int(status)


@contextmanager
def _impatient() -> Iterator[None]:
    """Let no call wait for ever, as supervisorctl's own do for a hung supervisord."""
    before_s = socket.getdefaulttimeout()
    socket.setdefaulttimeout(ANSWERS_WITHIN_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before_s)


def _examine(
    conf: Path | None, environ: Mapping[str, str], given: str | None
) -> tuple[Finding, ...]:
    path = Path(given) if given else conf
    if path is None:
        raise StateError("name supervisord's configuration: swarm doctor FILE")
    return doctor.examine(path, environ)


class _Screen:
    """supervisorctl's own output."""

    def __init__(self, controller: Any) -> None:  # noqa: ANN401 - untyped
        self._ctl = controller

    @property
    def width(self) -> int:
        return shutil.get_terminal_size((80, 24)).columns if self.is_terminal else 80

    @property
    def height(self) -> int:
        return shutil.get_terminal_size((80, 24)).lines - 1  # one for the cursor

    @property
    def is_terminal(self) -> bool:
        return bool(sys.stdout.isatty())

    def say(self, text: str) -> None:
        self._ctl.output(text)

    def redraw(self, text: str) -> None:
        self._ctl.output(CLEAR + text)

    def wait(self, seconds: float) -> None:
        select.select([], [], [], seconds)


class _Proxy:
    """supervisord through supervisorctl's own connection."""

    def __init__(self, controller: Any) -> None:  # noqa: ANN401 - untyped
        self._ctl = controller

    def processes(self) -> tuple[Process, ...]:
        return tuple(_process(info) for info in self._call("getAllProcessInfo"))

    def running(self) -> Running:
        """Return what it tells of its configuration; nothing where it cannot."""
        folder = None
        try:
            configs = self._call("getAllConfigInfo")
            with suppress(psutil.Error, OSError):
                folder = Path(psutil.Process(self._call("getPID")).cwd())
        except (CallRefused, ExpatError, xmlrpc.client.ProtocolError):
            return Running()  # it shuts down, or a command has what XML forbids
        return Running(configs=configs, folder=folder)

    def signal(self, name: str, signal_name: str) -> None:
        self._call("signalProcess", name, signal_name)

    def stop(self, name: str) -> None:
        self._call("stopProcess", name, False)  # noqa: FBT003 - its wait

    def send(self, command: RemoteCommand) -> None:
        self._call("sendRemoteCommEvent", command.type, command.data)

    def log_tail(self, name: str) -> str:
        try:
            return str(self._call("readProcessStderrLog", name, -LOG_TAIL_BYTES, 0))
        except (CallRefused, xmlrpc.client.ProtocolError):
            return ""  # there is none, or none that supervisord can pass on

    def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401 - per method
        try:
            return getattr(self._ctl.get_supervisor(), method)(*params)
        except xmlrpc.client.Fault as fault:
            said = _FAULTS.get(fault.faultCode, fault.faultString)
            raise CallRefused(str(params[0]) if params else "", said) from None
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
    )


# --- supervisorctl's shell ------------------------------------------------------------


def _complete_too(controller: Any) -> None:  # noqa: ANN401 - untyped
    """Let Tab complete ``swarm``: supervisorctl knows its own commands only."""
    complete = getattr(controller, "complete", None)
    if complete is None:
        return

    def complete_swarm(text: str, state: int, line: str | None = None) -> str | None:
        if line is None:
            import readline  # noqa: PLC0415 - not everywhere, and slow to load

            line = readline.get_line_buffer()
        words = line.split()
        if words[:1] != ["swarm"] or (len(words) == 1 and not line.endswith(" ")):
            found: str | None = complete(text, state, line)
            return found
        is_command = len(words) == 1 or (len(words) == 2 and not line.endswith(" "))
        if is_command:
            matches = [f"{name} " for name in COMMANDS if name.startswith(text)]
        else:
            matches = controller._complete_processes(text)  # noqa: SLF001 - no other
        return matches[state] if state < len(matches) else None

    controller.complete = complete_swarm


def _help_alone(controller: Any) -> None:  # noqa: ANN401 - untyped
    """Keep the other plugins from saying that they know no help on ``swarm``."""
    for plugin in getattr(controller.options, "plugins", ()):
        plugin.help_swarm = lambda: None
