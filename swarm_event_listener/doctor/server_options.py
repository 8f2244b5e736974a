"""Reads supervisord's configuration by supervisord's own code.

`ServerOptions` stops at the first value that it refuses. That becomes a finding,
another value stands in, and all is read anew: so each is found, and the rest is known.
Nothing that the files name is imported.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import Any, Final

from supervisor import datatypes
from supervisor import options as supervisors

from swarm_event_listener.doctor.finding import Finding, Where, error, warning
from swarm_event_listener.doctor.supervisord_conf import NAMES, Conf, Program, Section
from swarm_worker.shared.settings import ConfigError

Place = tuple[str, str]  # section and option

_REFUSES: Final = "supervisord refuses to start"
_WHOLE: Final = "expected a whole number, got"
_NAMED: Final = ("group", "program", "fcgi-program", "eventlistener")
_AUTORESTART: Final[Mapping[object, str]] = {
    False: "false",
    datatypes.RestartUnconditionally: "true",
    datatypes.RestartWhenExitUnexpected: "unexpected",
}
# Relative ones are looked for where supervisord starts, which no file tells.
_PATHS: Final = ("logfile", "pidfile", "directory", "childlogdir")
# What stands in where there is no default, or where that would be a fault, too.
_INSTEAD: Final = {
    "buffer_size": "1000",
    "command": "true",
    "events": "EVENT",
    "file": "none",
    "files": "",
    "password": "",
    "port": "1",
    "process_name": NAMES,
    "socket": "unix:///none",
    "supervisor.rpcinterface_factory": "none",
    "username": "",
}
# Refusals that have a check of their own, by how they begin.
_CHECKS: Final = {"Invalid name": "odd-name", "%(process_num)": "equal-names"}


def read_conf(path: Path, environ: Mapping[str, str]) -> Conf:
    """Read a configuration and the files that it includes.

    Raises:
        ConfigError: A file cannot be read, or is none that supervisord would read.
    """
    try:
        path.read_bytes()
    except OSError as refusal:
        raise ConfigError(f"cannot read {path}: {refusal.strerror}") from None
    refused = _Refused()
    while True:
        parser = _Parser(path, refused)
        options = _Options(parser, environ)
        try:
            with _heard_by(parser):
                options.process_config(do_usage=False)
                return _conf(options, parser)
        except ValueError as refusal:
            refused.add(parser, str(refusal))


@dataclass(slots=True)
class _Refused:
    """What supervisord refuses, and what stands in for it.

    Attributes:
        instead: What stands in for a value; None: the default.
        unset: The values that need a variable which is not set.
        lacks_supervisord: Whether there is no ``[supervisord]``.
    """

    findings: list[Finding] = field(default_factory=list)
    instead: dict[Place, str | None] = field(default_factory=dict)
    unset: set[Place] = field(default_factory=set)
    lacks_supervisord: bool = False

    def add(self, parser: _Parser, why: str) -> None:
        """Make a finding of a refusal, and let another value stand in.

        Raises:
            ConfigError: There is none.
        """
        if parser.last is None:
            self._add_file(parser.files[-1], " ".join(why.split()))
            return
        section, option = parser.last
        why = why.partition(" in section ")[0]
        why = why.replace("invalid literal for int() with base 10:", _WHOLE)
        # These are judged when others have been asked for already.
        if "key/value pairs" in why or "No closing quotation" in why:
            option = "environment"
            why = 'expected NAME="value",OTHER="value"'  # there may be a secret in it
        elif "killasgroup" in why:
            option = "killasgroup"
        self._add_value(parser, (section, option), why)

    def _add_file(self, file: Path, why: str) -> None:
        if "supervisord section" not in why or self.lacks_supervisord:
            raise ConfigError(f"{file} is no configuration of supervisord: {why}")
        self.lacks_supervisord = True
        why = f"there is no [supervisord]: {_REFUSES}"
        self.findings.append(
            error(Where(file), "unreadable", line="[supervisord]", why=why)
        )

    def _add_value(self, parser: _Parser, place: Place, why: str) -> None:
        section, option = place
        none = "" if section.startswith("rpcinterface:") else None
        instead = _INSTEAD.get(option, none)
        if self.instead.get(place, ...) == instead:
            raise ConfigError(f"[{section}] {option}: {why}: {_REFUSES}")
        self.instead[place] = instead
        if option == "password":  # each needs the other
            self.instead[section, "username"] = instead
        if place in self.unset or parser.is_uncertain(option):
            return
        checks = [check for begin, check in _CHECKS.items() if why.startswith(begin)]
        default = (
            instead if checks or option == "buffer_size" else parser.default(place)
        )
        self.findings.append(
            error(
                parser.where(section),
                checks[0] if checks else "unreadable",
                line=f"{option}={default}" if default else "",
                why=f"{option}: {why}: {_REFUSES}",
            )
        )


# --- supervisor's classes, listened to ------------------------------------------------


class _Parser(supervisors.UnhosedConfigParser):
    """Notes what supervisord asks for, and answers with what stands in for it.

    Attributes:
        files: The files read.
        refused: What was refused before.
        asked: The options asked for, by section, and their defaults.
        value: The last value asked for.
        last: What was asked for last, and so what is refused; None: a whole file.
    """

    def __init__(self, path: Path, refused: _Refused) -> None:
        super().__init__()
        self.files = [path]
        self.refused = refused
        self.asked: dict[str, dict[str, object]] = {}
        self.value: object = None
        self.last: Place | None = None
        if refused.lacks_supervisord:
            self.add_section("supervisord")

    def where(self, section: str) -> Where:
        """Return the place of a section, for findings."""
        return Where(Path(self.section_to_file.get(section, self.files[0])), section)

    def default(self, place: Place) -> str:
        """Return what supervisord takes where nothing is written, if it can be."""
        default = self.asked.get(place[0], {}).get(place[1])
        return str(default) if isinstance(default, str | int) else ""

    def is_uncertain(self, option: str) -> bool:
        """Whether supervisord may think otherwise: elsewhere, or with its plug-ins."""
        if option == "events":
            plugins = [it for it in self.sections() if it.startswith("rpcinterface:")]
            return plugins not in ([], ["rpcinterface:supervisor"])
        return option.endswith(_PATHS) and not Path(str(self.value)).is_absolute()

    def read(self, filenames: Any, **how: Any) -> Any:  # noqa: ANN401 - as it is there
        """Read an included file; supervisor ignores silently what it cannot read."""
        path, self.last = Path(filenames), None
        self.files.append(path)
        try:
            path.read_bytes()
        except OSError as refusal:
            why = f"cannot read {path}: {refusal.strerror}"
            self.refused.findings.append(error(Where(path), "unreadable", why=why))
        return super().read(filenames, **how)

    def saneget(self, section: str, option: str, *default: Any, **how: Any) -> Any:  # noqa: ANN401
        """Return a value, expanded."""
        asked = self.asked.setdefault(section, {})
        asked[option] = (*default, how.get("default"))[0]
        self.value = super().saneget(section, option, *default, **how)
        return self.value

    def get(self, section: str, option: str, **how: Any) -> Any:  # noqa: ANN401
        """Return a value as it is written."""
        self.last = (section, option)
        self.asked.setdefault(section, {}).setdefault(option)
        instead = self.refused.instead.get(self.last, ...)
        if instead is None:
            raise configparser.NoOptionError(option, section)
        return super().get(section, option, **how) if instead is ... else instead

    def has_option(self, section: str, option: str) -> bool:
        """Whether a value is written, or something stands in for it."""
        self.last = (section, option)
        return self.last in self.refused.instead or super().has_option(section, option)

    def expand(self, value: str, names: Mapping[str, object], name: str) -> str:
        """Expand a value; a variable that is not set is a finding, and empty."""
        section, option = self.last or ("", "")
        # Without its section it is one that was asked for earlier.
        place = self.last = (section, option if "." in name else name)
        known = _Names(names)
        try:
            expanded = value % known
        except KeyError as unknown:
            raise ValueError(f"%({unknown.args[0]})s is not known") from None
        except (TypeError, ValueError) as refusal:
            raise ValueError(f"badly formatted, {refusal}; % is written %%") from None
        if known.unset and place not in self.refused.unset:
            why = (
                f"{place[1]} needs the environment variable {known.unset[0]}, which is "
                f"not set here: {_REFUSES} where it is not set"
            )
            self.refused.findings.append(
                warning(self.where(section), "environment-unset", why=why)
            )
            self.refused.unset.add(place)
        return expanded


class _Names(dict[str, object]):
    """What ``%(name)s`` stands for; remembers the variables that are not set."""

    def __init__(self, names: Mapping[str, object]) -> None:
        super().__init__(names)
        self.unset: list[str] = []

    def __missing__(self, name: str) -> str:
        if not name.startswith("ENV_"):
            raise KeyError(name)
        self.unset.append(name.removeprefix("ENV_"))
        return ""


class _Options(supervisors.ServerOptions):
    """supervisord's reading of its file.

    Attributes:
        found: Section, group and processes of each program.
    """

    def __init__(self, parser: _Parser, environ: Mapping[str, str]) -> None:
        super().__init__()
        self.configfile = str(parser.files[0])
        self.environ_expansions = {f"ENV_{name}": environ[name] for name in environ}
        self.found: list[tuple[str, str, list[Any]]] = []

    def import_spec(self, spec: str) -> str:
        """Leave plug-ins alone: to look at a file runs nothing."""
        return spec

    def process_groups_from_parser(self, parser: Any) -> Any:  # noqa: ANN401
        """Read all programs but those that are refused without telling where."""
        _judge_names(parser)
        return super().process_groups_from_parser(parser)

    def processes_from_section(self, parser: Any, section: str, *how: Any) -> Any:  # noqa: ANN401
        """Read a program."""
        processes = super().processes_from_section(parser, section, *how)
        self.found.append((section, how[0], processes))
        return processes


@contextmanager
def _heard_by(parser: _Parser) -> Iterator[None]:
    """Have supervisor use a parser: it leaves no other way."""
    module: Any = supervisors
    own = module.UnhosedConfigParser, module.expand
    module.UnhosedConfigParser, module.expand = lambda: parser, parser.expand
    try:
        yield
    finally:
        module.UnhosedConfigParser, module.expand = own


def _judge_names(parser: _Parser) -> None:
    sections = parser.sections()
    for section in sections:
        kind, _, name = section.partition(":")
        try:
            if kind in _NAMED:
                datatypes.process_or_group_name(name)
        except ValueError as refusal:
            why = f"{refusal}: {_REFUSES}"
            parser.refused.findings.append(
                error(parser.where(section), "odd-name", why=why)
            )
            parser.remove_section(section)
            continue
        if kind == "group":
            _judge_members(parser, section, sections)


def _judge_members(parser: _Parser, group: str, sections: list[str]) -> None:
    members = datatypes.list_of_strings(parser.saneget(group, "programs", ""))
    known = [
        name
        for name in members
        if f"program:{name}" in sections or f"fcgi-program:{name}" in sections
    ]
    for name in members:
        if name not in known:
            why = f"there is no [program:{name}]: {_REFUSES}"
            parser.refused.findings.append(
                error(parser.where(group), "group-programs", why=why)
            )
    parser.refused.instead[group, "programs"] = ",".join(known)


# --- what it makes of the rest --------------------------------------------------------


def _conf(options: _Options, parser: _Parser) -> Conf:
    root: Any = options.configroot
    groups = {group.name: group for group in options.process_group_configs}
    # supervisord judges it later, when it becomes that user.
    user = parser.saneget("supervisord", "user", None)
    uid = None if user is None else datatypes.name_to_uid(user)
    sections = {
        name: Section(
            name=name,
            file=parser.where(name).file,
            values=dict(parser.items(name)),
            known=parser.asked.get(name, {}).keys(),
        )
        for name in parser.sections()
    }
    programs = [
        Program(
            section=sections[name],
            group=group,
            processes=processes,
            numprocs_start=int(parser.saneget(name, "numprocs_start", 0)),
            autorestart=_AUTORESTART[processes[0].autorestart],
            stop_signal=_signal_name(processes[0].stopsignal),
            uid=uid if processes[0].uid is None else processes[0].uid,
            buffer_size=getattr(groups[group], "buffer_size", 0),
        )
        for name in sections
        for section, group, processes in options.found
        if section == name and processes
    ]
    return Conf(
        path=parser.files[0],
        files=tuple(parser.files),
        sections=sections,
        supervisord=root.supervisord,
        groups=tuple(it for it in groups if not hasattr(groups[it], "buffer_size")),
        everyone=tuple(programs),
        findings=tuple(dict.fromkeys(parser.refused.findings)),
    )


def _signal_name(number: int) -> str:
    names = {signal.value: signal.name.removeprefix("SIG") for signal in Signals}
    return names.get(number, str(number))
