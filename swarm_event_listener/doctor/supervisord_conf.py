"""What a configuration of supervisord says: its sections, and the programs in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from swarm_event_listener.config.arguments import given
from swarm_event_listener.doctor.finding import Finding, Where

WORKER: Final = re.compile(r"(?:^|[/\s\"'])swarm[-_]worker(?=$|[\s\"'])")
LISTENER: Final = re.compile(r"(?:^|[/\s\"'])swarm[-_]event[-_]listener(?=$|[\s\"'])")

NAMES: Final = "%(program_name)s_%(process_num)02d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section.

    Attributes:
        name: As in brackets, such as ``program:x``.
        file: The file that begins it.
        values: By option, in small letters, as they are written.
        known: The options that supervisord looks for in it.
    """

    name: str
    file: Path
    values: Mapping[str, str]
    known: Collection[str]

    @property
    def where(self) -> Where:
        """Its place, for findings."""
        return Where(self.file, self.name)


class ProcessOptions(Protocol):
    """What is asked of supervisor's ``ProcessConfig``: the options of one process."""

    name: str
    command: str
    directory: str | None
    exitcodes: Sequence[int]
    startsecs: int
    startretries: int
    stopwaitsecs: int
    stdout_capture_maxbytes: int
    stdout_events_enabled: bool
    stderr_events_enabled: bool
    redirect_stderr: bool
    environment: Mapping[str, str]  # that of [supervisord] among it


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A ``[program:x]`` or ``[eventlistener:x]`` with what supervisord makes of it.

    Attributes:
        processes: The options of each process; one at least.
        numprocs_start: The number of the first one.
        autorestart: ``true``, ``false`` or ``unexpected``.
        stop_signal: A name without SIG.
        uid: As whom it runs; None where supervisord does not change that.
        buffer_size: How many events are kept for a listener.
    """

    section: Section
    group: str
    processes: Sequence[ProcessOptions]
    numprocs_start: int
    autorestart: str
    stop_signal: str
    uid: int | None
    buffer_size: int = 0

    @property
    def options(self) -> ProcessOptions:
        """Those of the first process: most are the same for all."""
        return self.processes[0]

    @property
    def numprocs(self) -> int:
        """How many processes it has."""
        return len(self.processes)

    @property
    def is_pool(self) -> bool:
        """Whether it is a pool of event listeners."""
        return self.section.name.startswith("eventlistener:")

    @property
    def is_node(self) -> bool:
        """Whether it runs ``swarm-worker``."""
        return bool(WORKER.search(self.options.command)) and not self.is_listener

    @property
    def is_listener(self) -> bool:
        """Whether it runs ``swarm-event-listener``."""
        return bool(LISTENER.search(self.options.command))


@dataclass(frozen=True, slots=True, kw_only=True)
class Conf:
    """A whole configuration.

    Attributes:
        path: The main file.
        files: All files that were read.
        sections: By name; those of included files among them.
        supervisord: What ``[supervisord]`` comes to, by option; its HTTP servers.
        groups: The names of all process groups, listeners' pools apart.
        everyone: The programs, and listeners among them.
        findings: What supervisord would refuse.
    """

    path: Path
    files: tuple[Path, ...]
    sections: Mapping[str, Section]
    supervisord: Any
    groups: tuple[str, ...]
    everyone: tuple[Program, ...]
    findings: tuple[Finding, ...]

    @property
    def node_programs(self) -> tuple[Program, ...]:
        """The programs whose processes are nodes."""
        return tuple(it for it in self.everyone if it.is_node and not it.is_pool)

    @property
    def listeners(self) -> tuple[Program, ...]:
        """The listeners of swarms."""
        return tuple(it for it in self.everyone if it.is_listener and it.is_pool)

    @property
    def where(self) -> Where:
        """The place of ``[supervisord]``."""
        return self.sections["supervisord"].where

    def of_group(self, group: str) -> tuple[Program, ...]:
        """Return the programs of a process group."""
        everyone = self.everyone
        return tuple(it for it in everyone if it.group == group and not it.is_pool)

    def folder_of(self, program: Program) -> Path:
        """Return where a program works; where supervisord would start is a guess."""
        return Path(program.options.directory or self.path.parent)


# --- commands -------------------------------------------------------------------------


def flags(command: str, names: Sequence[str]) -> dict[str, str]:
    """Return the values of ``--name value`` and ``--name=value`` in a command.

    A command that no shell could split has none; supervisord says so itself.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    if len(words) == 3 and words[1] == "-c":  # a shell's
        return flags(words[2], names)
    return given(words, names)
