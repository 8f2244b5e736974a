"""What the checks look at: both configurations put together, and what is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.doctor.finding import Finding, Where, error
from swarm_event_listener.doctor.supervisord_conf import Conf, Program, flags
from swarm_worker.shared.kafka_timeouts import kafka_ms
from swarm_worker.shared.settings import (
    DEFAULT_FILE,
    LISTENER,
    RULES,
    WORKER,
    ConfigError,
    Key,
    read_value,
)
from swarm_worker.shared.swarm_toml import Document, expand, unset_variables

BOOT_S: Final = 10.0  # imports, connecting, joining: what a node of common size takes


@dataclass(frozen=True, slots=True)
class Setting:
    """A value in force, and where it is written or would be."""

    value: Any
    where: Where
    is_flag: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One watched group.

    Attributes:
        group: Its name.
        rules: The listener's rules for it.
        worker: The ``[worker]`` settings of its nodes.
        kafka: Their librdkafka properties, as they are written.
        toml: The file of its nodes.
        programs: The programs in it.
    """

    group: str
    rules: Mapping[str, Setting]
    worker: Mapping[str, Setting]
    kafka: Mapping[str, Any]
    toml: Path
    programs: tuple[Program, ...]

    @property
    def node_count(self) -> int:
        """How many processes it has."""
        return sum(program.numprocs for program in self.programs)

    def kafka_ms(self, name: str, default: int) -> int:
        """Return a time of librdkafka; the default where it cannot be known."""
        return kafka_ms(self.kafka, name, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDir:
    """A directory that a program keeps its state in.

    Attributes:
        path: The directory.
        where: What names it.
        section: ``listener`` or ``worker``: whose it is.
        uid: As whom supervisord runs the program; None where it does not change it.
    """

    path: Path
    where: Where
    section: str
    uid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that the checks look at.

    Attributes:
        conf: supervisord's configuration.
        watches: The groups that the listener watches and that there are.
        named_groups: The groups that the listener's settings name.
        toml: The listener's file.
        metrics: Where the listener serves metrics.
        documents: All files of the swarm, by path.
        has_metrics_extra: Whether what writes metrics is installed.
        open_files: Those of the files read that everybody can read.
        write_errors: Why state directories cannot be written to, those that cannot.
        claims: By state directory of nodes, the files of ids in Kafka that are owned.
        first_bytes: What the listeners' commands wrote on stdout, asked for their
            version; by section, of those that ended.
        boot_s: What a node takes from its start to its first poll.
    """

    conf: Conf
    watches: tuple[Watch, ...]
    named_groups: tuple[str, ...]
    toml: Path
    metrics: Setting
    documents: Mapping[Path, Document]
    has_metrics_extra: bool = True
    open_files: frozenset[Path] = frozenset()
    write_errors: Mapping[StateDir, str] = field(default_factory=dict)
    claims: Mapping[StateDir, frozenset[str]] = field(default_factory=dict)
    first_bytes: Mapping[str, bytes] = field(default_factory=dict)
    boot_s: float = BOOT_S

    @property
    def node_count(self) -> int:
        """How many nodes are watched."""
        return sum(watch.node_count for watch in self.watches)

    def nodes(self) -> Iterator[tuple[Watch, Program]]:
        """Return each program of each watched group."""
        for watch in self.watches:
            for program in watch.programs:
                yield watch, program


# --- from files to a case -------------------------------------------------------------


def toml_of(program: Program, conf: Conf) -> Path:
    """Return the ``swarm.toml`` of a program."""
    named = flags(program.options.command, ["config"])
    return conf.folder_of(program) / named.get("config", DEFAULT_FILE)


def toml_files(conf: Conf) -> tuple[Path, ...]:
    """Return all files that the programs of swarms read, the listener's first."""
    readers = (*conf.listeners, *filter(lambda it: it.is_node, conf.programs))
    found = dict.fromkeys(toml_of(reader, conf) for reader in readers)
    return tuple(found) or (conf.path.parent / DEFAULT_FILE,)


def put_together(
    conf: Conf,
    documents: Mapping[Path, Document],
    environ: Mapping[str, str],
) -> tuple[Case, tuple[Finding, ...]]:
    """Return the case, and what was found while reading the settings."""
    toml = toml_files(conf)[0]
    reader = _Reader(environ, [])
    document = documents.get(toml, Document(toml, {}))
    flag_settings = reader.flags(next(iter(conf.listeners), None))
    section = reader.section(document, "listener", LISTENER) | flag_settings
    named = tuple(section["groups"].value)
    watches = [
        Watch(
            group=group,
            rules=reader.section(document, "listener", RULES)
            | reader.section(document, f"listener.group.{group}", RULES, own=True)
            | {key: flag for key, flag in flag_settings.items() if key in RULES},
            programs=programs,
            **_worker(reader, programs, document, documents, conf),
        )
        for group in named
        if (programs := conf.of_group(group))
    ]
    case = Case(
        conf=conf,
        watches=tuple(watches),
        named_groups=named,
        toml=toml,
        metrics=section["metrics"],
        documents=documents,
    )
    return case, tuple(dict.fromkeys(reader.findings))


def _worker(
    reader: _Reader,
    programs: tuple[Program, ...],
    document: Document,
    documents: Mapping[Path, Document],
    conf: Conf,
) -> dict[str, Any]:
    """Return the settings of a group's nodes, from their own file if they have one."""
    own = [
        documents.get(toml_of(program, conf)) for program in programs if program.is_node
    ]
    used = next((found for found in own if found), document)
    return {
        "worker": reader.section(used, "worker", WORKER),
        "kafka": used.table("kafka"),
        "toml": used.path,
    }


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads settings one by one: one that cannot be read is a finding, not the end."""

    environ: Mapping[str, str]
    findings: list[Finding]

    def section(
        self,
        document: Document,
        name: str,
        keys: Mapping[str, Key],
        *,
        own: bool = False,
    ) -> dict[str, Setting]:
        """Return a section's settings, with the defaults unless only its ``own``."""
        where = Where(document.path, name)
        table = document.table(name)
        found = {}
        for key, schema in keys.items():
            if key in table and not unset_variables(table[key], self.environ):
                value = expand(table[key], self.environ, where=key)
                found[key] = self._read(where, key, schema, value)
            elif not own:
                found[key] = Setting(schema.default, where)
        return found

    def flags(self, listener: Program | None) -> dict[str, Setting]:
        """Return the settings that are flags of the listener's command."""
        if listener is None:
            return {}
        spelled = {key.replace("_", "-"): key for key in LISTENER}
        where = listener.section.where
        return {
            spelled[flag]: self._read(
                where,
                spelled[flag],
                LISTENER[spelled[flag]],
                False if value == "false" else value,
                is_flag=True,
            )
            for flag, value in flags(listener.options.command, list(spelled)).items()
        }

    def _read(
        self,
        where: Where,
        key: str,
        schema: Key,
        value: object,
        *,
        is_flag: bool = False,
    ) -> Setting:
        name = f"--{key.replace('_', '-')}" if is_flag else key
        try:
            return Setting(read_value(name, schema, value), where, is_flag)
        except ConfigError as refusal:
            self.findings.append(
                error(where, "unreadable", why=f"{refusal}: the program exits 78")
            )
            return Setting(schema.default, where, is_flag)


def setting_line(name: str, setting: Setting, value: object) -> str:
    """Return the line that sets a value where this one is set."""
    if setting.is_flag:
        return f"command=... --{name.replace('_', '-')} {value}"
    return f"{name} = {value}"
