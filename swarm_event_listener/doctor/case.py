"""What the checks look at: both configurations put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        rules: The listener's, for this group.
        worker: The ``[worker]`` settings of its nodes.
        document: The file of its nodes.
    """

    group: str
    rules: Mapping[str, Setting]
    worker: Mapping[str, Setting]
    document: Document
    programs: tuple[Program, ...]

    @property
    def node_count(self) -> int:
        """How many processes it has."""
        return sum(program.numprocs for program in self.programs)

    def kafka_ms(self, name: str, default: int) -> int:
        """Return a time of librdkafka; the default where it cannot be known."""
        return kafka_ms(self.document.table("kafka"), name, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that the checks look at; state directories they look at themselves.

    Attributes:
        watches: The groups that the listener watches and that there are.
        named_groups: The groups that the listener's settings name.
        toml: The listener's file.
        documents: All files of the swarm, by path.
        environ: Stands for the environment in which supervisord starts.
    """

    conf: Conf
    watches: tuple[Watch, ...]
    named_groups: tuple[str, ...]
    toml: Path
    metrics: Setting
    documents: Mapping[Path, Document]
    environ: Mapping[str, str]

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
    readers = (*conf.listeners, *conf.node_programs)
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
    watches = []
    for group in named:
        programs = conf.of_group(group)
        if not programs:
            continue
        own = [documents.get(toml_of(it, conf)) for it in programs if it.is_node]
        nodes_document = next(filter(None, own), document)
        watches.append(
            Watch(
                group=group,
                rules=reader.section(document, "listener", RULES)
                | reader.section(document, f"listener.group.{group}", RULES, own=True)
                | {key: flag for key, flag in flag_settings.items() if key in RULES},
                worker=reader.section(nodes_document, "worker", WORKER),
                document=nodes_document,
                programs=programs,
            )
        )
    case = Case(
        conf=conf,
        watches=tuple(watches),
        named_groups=named,
        toml=toml,
        metrics=section["metrics"],
        documents=documents,
        environ=environ,
    )
    return case, tuple(dict.fromkeys(reader.findings))


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
        keys = {key.replace("_", "-"): key for key in LISTENER}
        where = listener.section.where
        found = {}
        for flag, text in flags(listener.options.command, list(keys)).items():
            key, value = keys[flag], False if text == "false" else text
            found[key] = self._read(where, key, LISTENER[key], value, is_flag=True)
        return found

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
