"""The schema of ``swarm.toml``: which keys there are, what they hold and default to.

Both programs read the same file. Each reads the values of its own sections only, but
the names of all of them, so that a typing error is found by whichever starts first.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.parsers import (
    Reader,
    address,
    choice,
    count,
    duration_ms,
    flag,
    memory_mb,
    rule,
    statuses,
    table,
    text,
    texts,
)

DEFAULT_FILE: Final = "swarm.toml"
EXIT_CONFIG: Final = 78  # EX_CONFIG of sysexits.h
EXIT_FATAL: Final = 5  # fenced, or another Kafka error that no restart would heal
FOR_A_PERSON: Final = frozenset({EXIT_CONFIG, EXIT_FATAL})  # such a node stays down
REPORTS_PER_TIMEOUT: Final = 3
CONCURRENCY_MOST: Final = 1_000  # no node has as many partitions, or threads


class ConfigError(ValueError):
    """A setting cannot be used; the message says which, why and what to change."""


class PassingError(ConfigError):
    """What may be there at the next start: a file is missing or half written.

    A program that runs for good is started again for it; a check refuses it.
    """


# --- keys -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section.

    Attributes:
        read: Turns the written value into the one to work with, or raises ValueError.
        default: The value when the key is absent, as `read` would give it.
        meaning: Meaning and unit for people.
        absent: The default in words, where its value says too little; "" for no word.
        is_path: A relative text is relative to the file.
    """

    read: Reader
    default: Any
    meaning: str
    absent: str | None = None
    is_path: bool = False

    @property
    def help(self) -> str:
        """Meaning, unit and default for people."""
        default = _as_written(self.default) if self.absent is None else self.absent
        return f"{self.meaning} ({default})" if default else self.meaning


def _as_written(value: object) -> str:
    """Return a value as a file would have it; None is a rule that is off."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return str(value).lower()
    return str([*value]) if isinstance(value, tuple) else str(value)


def _one_of(*words: str, default: str) -> Key:
    meaning = f"{', '.join(words[:-1])} or {words[-1]}"
    return Key(choice(*words), default, meaning)


_LOGS: Final[Mapping[str, Key]] = {
    "log_level": _one_of("debug", "info", "warning", "error", default="info"),
    "log_format": _one_of("text", "json", default="text"),
}


def _setting(key: Key) -> Any:  # noqa: ANN401 - what the field holds
    return field(default=key.default, metadata={"key": key})


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The section ``[worker]``: what each field is called there, holds and means."""

    concurrency: int = _setting(
        Key(
            count(1, CONCURRENCY_MOST, why="each is a thread; more nodes do more"),
            1,
            "partitions processed at once in a node",
        )
    )
    max_messages: int = _setting(Key(count(1), 500, "most messages in a batch"))
    max_wait_time: int = _setting(Key(duration_ms, 1_000, "longest poll, ms"))
    shutdown_timeout: int = _setting(
        Key(duration_ms, 60_000, "ms a stopping node gives its handlers")
    )
    liveness_interval: int = _setting(Key(duration_ms, 5_000, "ms between reports"))
    static_membership: bool = _setting(
        Key(
            flag,
            default=True,
            meaning="join with group.instance.id <prefix>-<group>-<node>",
        )
    )
    instance_prefix: str = _setting(
        Key(text, None, "prefix of group.instance.id", absent="hostname")
    )
    state_dir: Path = _setting(  # noqa: RUF009 - a field
        Key(text, "run", "directory of the slot locks", is_path=True)
    )
    log_level: str = _setting(_LOGS["log_level"])
    log_format: str = _setting(_LOGS["log_format"])


WORKER: Final[Mapping[str, Key]] = {
    each.name: each.metadata["key"] for each in fields(Worker)
}


def _ttl(default: int | str, meaning: str, absent: str | None = None) -> Key:
    return Key(rule(duration_ms), default, meaning, absent)


_OF_NODE: Final = "the node's max.poll.interval.ms"

RULES: Final[Mapping[str, Key]] = {
    "memory_limit": Key(rule(memory_mb), None, "MB of memory, status 3"),
    "memory_metric": _one_of("rss", "pss", "uss", default="rss"),
    "memory_children": Key(flag, default=False, meaning="count children too"),
    "memory_samples": Key(count(1), 1, "consecutive readings over the limit"),
    "consuming_ttl": _ttl("node", "ms a batch may take, status 2", _OF_NODE),
    "polling_ttl": _ttl("node", "ms between polls, status 1", _OF_NODE),
    "stability_ttl": _ttl(
        "node", "ms out of a steady group, status 4", "twice max.poll.interval.ms"
    ),
    "boot_ttl": _ttl(600_000, "ms a node may take to boot, status -1"),
    "node_report_timeout": _ttl(60_000, "ms without a report, status -1"),
    "node_restart_timeout": Key(
        duration_ms, 5_000, "least ms between a node's exit and its next start"
    ),
    "shutdown_timeout": Key(
        duration_ms, 60_000, "ms a node gets between TERM and KILL"
    ),
    "max_restarts": Key(
        count(1), 5, "restarts within restart_period at the normal pace"
    ),
    "restart_period": Key(duration_ms, 600_000, "ms that max_restarts counts"),
    "restart_backoff_max": Key(duration_ms, 300_000, "longest back-off, ms"),
    "max_unavailable": Key(
        count(1), None, "nodes down at once by our hand", "a quarter, at least 1"
    ),
    "dry_run": Key(statuses, (), "statuses to record but not to act on"),
}

LISTENER: Final[Mapping[str, Key]] = {
    "groups": Key(texts, (), "supervisord groups to watch; required", absent=""),
    **RULES,
    "state_dir": Key(text, "run", "directory of journal and status", is_path=True),
    "metrics": Key(address, None, "HOST:PORT of the metrics endpoint"),
    **_LOGS,
    "group": Key(table, {}, "[listener.group.NAME]: rules for one group", absent=""),
}

_SECTIONS: Final[Mapping[str, Mapping[str, Key] | None]] = {
    "kafka": None,  # any librdkafka property; librdkafka knows them
    "worker": WORKER,
    "listener": LISTENER,
}


def is_short_report_timeout(
    report_timeout: float | None, liveness_interval: float
) -> bool:
    """Whether a late and a lost report would be silence; both in the same unit."""
    least = REPORTS_PER_TIMEOUT * liveness_interval
    return report_timeout is not None and report_timeout < least


# --- the file -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed ``swarm.toml`` whose key names were checked.

    Attributes:
        path: Where it was read, for messages and as base of relative paths.
        tables: The raw tables.
    """

    path: Path
    tables: Mapping[str, Any]

    def kafka(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """Return the librdkafka properties, ``${NAME}`` expanded.

        Raises:
            ConfigError: A value is no scalar, or a name is not in ``environ``.
        """
        return {
            name: _property(expand(value, environ, where=f"[kafka] {name}"), name)
            for name, value in self.table("kafka").items()
        }

    def section(
        self,
        name: str,
        keys: Mapping[str, Key],
        environ: Mapping[str, str],
        *,
        only: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return the values of a section, named as ``worker`` or ``listener.group.x``.

        Absent keys are absent in the result: what holds then is said by `defaults`, or
        for a group by the listener's section.

        Args:
            name: The section.
            keys: What it may hold.
            environ: Where ``${NAME}`` is looked up.
            only: Read these keys only; all by default.

        Raises:
            ConfigError: A value cannot be read, or a name is not in ``environ``.
        """
        wanted = keys if only is None else set(only)
        return {
            key: self._read(f"[{name}] {key}", keys[key], value, environ)
            for key, value in self.table(name).items()
            if key in wanted
        }

    def defaults(self, keys: Mapping[str, Key]) -> dict[str, Any]:
        """Return what holds for keys that are absent."""
        return {name: self._placed(key, key.default) for name, key in keys.items()}

    def rules(
        self,
        group: str,
        environ: Mapping[str, str],
        *,
        only: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Return the rules of a group: its own over the listener's over the defaults.

        Args:
            group: supervisord's group.
            environ: Where ``${NAME}`` is looked up.
            only: Read these keys only; all by default.

        Raises:
            ConfigError: A value cannot be read, or a name is not in ``environ``.
        """
        listener = self.section("listener", RULES, environ, only=only)
        own = self.section(f"listener.group.{group}", RULES, environ, only=only)
        return self.defaults(RULES) | listener | own

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a section as it is written; empty where it is absent."""
        table = self.tables
        for part in name.split(".", 2):
            table = table.get(part, {})
        return table

    def _read(
        self, where: str, key: Key, value: object, environ: Mapping[str, str]
    ) -> Any:  # noqa: ANN401 - each key has its own type
        return self._placed(
            key, read_value(where, key, expand(value, environ, where=where))
        )

    def _placed(self, key: Key, value: Any) -> Any:  # noqa: ANN401 - the same
        return str(self.path.parent / value) if key.is_path else value


def read_value(where: str, key: Key, value: object) -> Any:  # noqa: ANN401 - as above
    """Read one value, from a file or a flag.

    Raises:
        ConfigError: Names ``where`` and what was expected.
    """
    try:
        return key.read(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def load(path: Path) -> Document:
    """Read ``swarm.toml`` and check the names of its sections and keys.

    Raises:
        PassingError: The file cannot be read, or is no TOML.
        ConfigError: It holds an unknown key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PassingError(
            f"cannot read {path}: {error.strerror}; name the file with --config"
        ) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise PassingError(f"{path} is no TOML: {error}") from None
    _check_names(path, tables)
    return Document(path, tables)


def _check_names(path: Path, tables: Mapping[str, Any]) -> None:
    _check_table(path, "", tables, _SECTIONS)
    for section, keys in _SECTIONS.items():
        table = tables.get(section, {})
        _check_table(path, section, table, keys)
    groups = tables.get("listener", {}).get("group", {})
    _check_table(path, "listener.group", groups, None)
    for group, table in groups.items():
        _check_table(path, f"listener.group.{group}", table, RULES)


def _check_table(
    path: Path, section: str, table: object, known: Mapping[str, object] | None
) -> None:
    where = f"[{section}]" if section else "the top level"
    if not isinstance(table, dict):
        raise ConfigError(
            f"{path}: expected a table for {where}, got {type_name(table)}"
        )
    for name in table if known is not None else ():
        if known is not None and name not in known:
            raise ConfigError(
                f"{path}: unknown key {name!r} in {where}{nearest(name, known)}"
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(value: object, environ: Mapping[str, str], *, where: str) -> object:
    """Put the environment's values for each ``${NAME}`` in the texts of a value.

    Raises:
        ConfigError: Names the key and the variable that is not set.
    """

    def variable(match: re.Match[str]) -> str:
        try:
            return environ[match[1]]
        except KeyError:
            raise ConfigError(
                f"{where}: the environment variable {match[1]} is not set; set it "
                "where supervisord starts, or in the program's environment="
            ) from None

    if isinstance(value, str):
        return _VARIABLE.sub(variable, value)
    if isinstance(value, list):
        return [expand(item, environ, where=where) for item in value]
    return value


def unset_variables(value: object, environ: Mapping[str, str]) -> set[str]:
    """Return the variables that a value needs and that are not in ``environ``."""
    return set(_VARIABLE.findall(str(value))) - environ.keys()


def _property(value: object, name: str) -> str | int | float | bool:
    if isinstance(value, str | int | float | bool):
        return value
    raise ConfigError(
        f"[kafka] {name}: expected a text, number or true/false, "
        f"got {type_name(value)}; "
        f'a property with dots is written in quotes: "{name}.x" = ...'
    )


def type_name(value: object) -> str:
    """Return the name of a value's kind. Not the value: it may be a secret."""
    kinds = {str: "a text", list: "a list", dict: "a table", bool: "true or false"}
    return kinds.get(type(value), f"a {type(value).__name__}")
