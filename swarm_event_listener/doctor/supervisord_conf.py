"""The programs, groups and listeners that a configuration of supervisord describes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from swarm_event_listener.doctor.finding import Finding, error, warning
from swarm_event_listener.doctor.ini import Ini, Section, VariableUnset, variables

T = TypeVar("T")

WORKER: Final = re.compile(r"(?:^|[/\s\"'])swarm[-_]worker(?=$|[\s\"'])")
LISTENER: Final = re.compile(r"(?:^|[/\s\"'])swarm[-_]event[-_]listener(?=$|[\s\"'])")

_SIZES: Final = {"kb": 2**10, "mb": 2**20, "gb": 2**30}
_BOOLEANS: Final = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}


# --- values ---------------------------------------------------------------------------


def whole(value: str) -> int:
    """Read a whole number.

    Raises:
        ValueError: It is none.
    """
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"expected a whole number, got {value!r}") from None


def boolean(value: str) -> bool:
    """Read supervisord's true or false.

    Raises:
        ValueError: It is neither.
    """
    try:
        return _BOOLEANS[value.lower()]
    except KeyError:
        raise ValueError(f"expected true or false, got {value!r}") from None


def size_bytes(value: str) -> int:
    """Read a number of bytes such as ``64KB``.

    Raises:
        ValueError: It is none.
    """
    unit = value[-2:].lower()
    number, factor = (value[:-2], _SIZES[unit]) if unit in _SIZES else (value, 1)
    try:
        return int(number) * factor
    except ValueError:
        raise ValueError(f"expected bytes such as 64KB, got {value!r}") from None


def codes(value: str) -> frozenset[int]:
    """Read a list of exit codes.

    Raises:
        ValueError: It is none.
    """
    try:
        return frozenset(int(code) for code in value.split(",") if code.strip())
    except ValueError:
        raise ValueError(f"expected exit codes such as 78,5, got {value!r}") from None


# --- programs -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A ``[program:x]`` or ``[eventlistener:x]`` with what supervisord makes of it.

    Attributes:
        section: Where it is written.
        group: The process group that it belongs to.
        template: ``process_name`` as it is written.
        names: One name for each process, expanded.
        commands: One command for each process, expanded.
        directory: Where they work; None: where supervisord does.
    """

    section: Section
    group: str
    template: str
    names: tuple[str, ...]
    commands: tuple[str, ...]
    directory: str | None
    numprocs: int
    numprocs_start: int
    autorestart: str
    exit_codes: frozenset[int]
    start_s: int
    start_retries: int
    stop_wait_s: int
    stop_signal: str
    capture_bytes: int
    events_enabled: bool
    redirect_stderr: bool
    environment: Mapping[str, str]

    @property
    def command(self) -> str:
        """The command of the first process; empty where there is none."""
        return self.commands[0] if self.commands else ""

    @property
    def is_node(self) -> bool:
        """Whether it runs ``swarm-worker``."""
        return bool(WORKER.search(self.command)) and not self.is_listener

    @property
    def is_listener(self) -> bool:
        """Whether it runs ``swarm-event-listener``."""
        return bool(LISTENER.search(self.command))


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """All that runs under one supervisord.

    Attributes:
        programs: Those of ``[program:x]`` and ``[fcgi-program:x]``.
        listeners: Those of ``[eventlistener:x]``.
        findings: What could not be read on the way.
    """

    programs: tuple[Program, ...]
    listeners: tuple[Program, ...]
    findings: tuple[Finding, ...]

    def of(self, group: str) -> tuple[Program, ...]:
        """Give the programs of a process group."""
        return tuple(program for program in self.programs if program.group == group)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of all process groups, listeners' pools apart."""
        return tuple(dict.fromkeys(program.group for program in self.programs))


def read_programs(ini: Ini) -> Programs:
    """Give the programs of a configuration; what cannot be read becomes findings."""
    findings: list[Finding] = []
    groups = _groups(ini, findings)
    programs = [
        _Reader(section, findings).program(name, groups.get(name, name))
        for kind in ("program", "fcgi-program")
        for name, section in ini.of_kind(kind)
    ]
    listeners = [
        _Reader(section, findings).program(name, name)
        for name, section in ini.of_kind("eventlistener")
    ]
    return Programs(
        programs=tuple(programs), listeners=tuple(listeners), findings=tuple(findings)
    )


def _groups(ini: Ini, findings: list[Finding]) -> dict[str, str]:
    """Give the group of each program that a ``[group:x]`` takes in."""
    group_of = {}
    known = {
        name for kind in ("program", "fcgi-program") for name, _ in ini.of_kind(kind)
    }
    for group, section in ini.of_kind("group"):
        members = _Reader(section, findings).value("programs", str, "")
        for program in (member.strip() for member in members.split(",")):
            group_of[program] = group
            if program not in known:
                why = f"there is no [program:{program}]: supervisord refuses to start"
                findings.append(error(section.where, "group-programs", why=why))
    return group_of


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one section; a value that cannot be read is a finding and the default."""

    section: Section
    findings: list[Finding]

    def program(self, name: str, group: str) -> Program:
        numprocs = self.value("numprocs", whole, "1")
        first = self.value("numprocs_start", whole, "0")
        names: dict[str, object] = {
            "program_name": name,
            "group_name": group,
            "numprocs": numprocs,
        }
        environment = self.value(
            "environment", variables, "", **names, process_num=first
        )
        names |= {f"ENV_{key}": value for key, value in environment.items()}
        numbers = range(first, first + max(numprocs, 0))
        template = self.section.values.get("process_name", "%(program_name)s")
        return Program(
            section=self.section,
            group=group,
            template=template,
            names=self._each("process_name", name, names, numbers),
            commands=self._each("command", "", names, numbers),
            directory=self.value("directory", str, "", **names) or None,
            numprocs=numprocs,
            numprocs_start=first,
            autorestart=self.value("autorestart", _autorestart, "unexpected"),
            exit_codes=self.value("exitcodes", codes, "0"),
            start_s=self.value("startsecs", whole, "1"),
            start_retries=self.value("startretries", whole, "3"),
            stop_wait_s=self.value("stopwaitsecs", whole, "10"),
            stop_signal=self.value("stopsignal", _signal, "TERM"),
            capture_bytes=self.value("stdout_capture_maxbytes", size_bytes, "0"),
            events_enabled=self.value("stdout_events_enabled", boolean, "false"),
            redirect_stderr=self.value("redirect_stderr", boolean, "false"),
            environment=environment,
        )

    def _each(
        self, option: str, default: str, names: Mapping[str, object], numbers: range
    ) -> tuple[str, ...]:
        """Give the value for each process, as long as it can be read."""
        values: list[str] = []
        count = len(self.findings)
        for number in numbers:
            values.append(self.value(option, str, default, **names, process_num=number))
            if len(self.findings) > count:
                break  # once is enough
        return tuple(values)

    def value(
        self, option: str, read: Callable[[str], T], default: str, **names: object
    ) -> T:
        try:
            return read(self._text(option, default, **names))
        except ValueError as refusal:
            self.findings.append(
                error(
                    self.section.where,
                    "unreadable",
                    line=f"{option}={default}" if default else "",
                    why=f"{option}: {refusal}: supervisord refuses to start",
                )
            )
        return read(default)

    def _text(self, option: str, default: str, **names: object) -> str:
        try:
            return self.section.get(option, default, **names)
        except VariableUnset as refusal:
            self.findings.append(
                warning(
                    self.section.where,
                    "environment-unset",
                    why=f"{option} needs the environment variable "
                    f"{refusal.variables[0]}, which is not set here: supervisord "
                    "refuses to start where it is not set",
                )
            )
            return refusal.rest


def _autorestart(value: str) -> str:
    lowered = value.lower()
    if lowered == "unexpected":
        return lowered
    return "true" if boolean(lowered) else "false"


def _signal(value: str) -> str:
    return value.strip().upper().removeprefix("SIG")


# --- commands -------------------------------------------------------------------------


def flags(command: str, names: Sequence[str]) -> dict[str, str]:
    """Give the values of ``--name value`` and ``--name=value`` in a command.

    A command that no shell could split has none; supervisord says so itself.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    if len(words) == 3 and words[1] == "-c":  # a shell's
        return flags(words[2], names)
    return dict(_flags(words, names))


def _flags(words: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in names:
            yield name, value if equals else after
