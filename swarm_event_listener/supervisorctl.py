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
import stat
import sys
import time
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from supervisor.supervisorctl import ControllerPluginBase

from swarm_event_listener.ctl.arguments import ArgumentsError, HelpAsked
from swarm_event_listener.ctl.commands import COMMANDS, help_text, parse, run
from swarm_event_listener.ctl.dead_letters import run_program
from swarm_event_listener.ctl.session import Exit, Session
from swarm_event_listener.ctl.sources.caught_signals import catches
from swarm_event_listener.ctl.sources.node_configs import NodeConfigs
from swarm_event_listener.ctl.sources.node_program import program_of
from swarm_event_listener.ctl.sources.partition_files import PartitionFiles
from swarm_event_listener.ctl.sources.place import Place, place_of
from swarm_event_listener.ctl.sources.scale import ScaleFiles
from swarm_event_listener.ctl.sources.sources import Sources
from swarm_event_listener.ctl.sources.state import (
    StateError,
    read_history,
    read_status,
    who_may,
)
from swarm_event_listener.ctl.sources.supervisord import (
    CallRefused,
    Supervisord,
    bounded_calls,
)
from swarm_event_listener.ctl.view.screen import Screen
from swarm_event_listener.doctor import doctor
from swarm_event_listener.doctor.finding import Finding

KEYS: Final = ("config", "state_dir", "supervisord")
HERE: Final = "%(here)s"


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
            with bounded_calls():
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
        supervisord = Supervisord(self.ctl)
        running = cache(supervisord.running)  # once for a whole command

        @cache
        def place() -> Place:
            return place_of(
                conf,
                environ,
                running(),
                config=self._keys.get("config"),
                state_dir=self._keys.get("state_dir"),
            )

        configs = NodeConfigs(running, conf, environ)
        sources = Sources(
            place=place,
            status=lambda directory: read_status(directory, now_s=time.monotonic()),
            history=read_history,
            catches=catches,
            examine=partial(_examine, conf, environ),
            partitions=PartitionFiles(configs, place, time.monotonic).read,
            scale=ScaleFiles(configs, place),
            node_program=lambda name: program_of(
                name, running(), conf, environ, sys.executable
            ),
            run=run_program,
            clock=time.monotonic,
        )
        return Session(supervisord, Screen(self.ctl), sources)

    def _who_may(self) -> str:
        """Return who may open supervisord's socket, which has refused us."""
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


def _examine(
    conf: Path | None, environ: Mapping[str, str], given: str | None
) -> tuple[Finding, ...]:
    path = Path(given) if given else conf
    if path is None:
        raise StateError("name supervisord's configuration: swarm doctor FILE")
    return doctor.examine(path, environ)


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
