"""``swarm.toml``: read, its names checked, and the values of its sections.

Both programs read the same file. Each reads the values of its own sections only, but
the names of all of them, so that a typing error is found by whichever starts first.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.settings import (
    LISTENER,
    RULES,
    WORKER,
    ConfigError,
    Key,
    PassingError,
    nearest,
    read_value,
    type_name,
)

_SECTIONS: Final[Mapping[str, Mapping[str, Key] | None]] = {
    "kafka": None,  # any librdkafka property; librdkafka knows them
    "worker": WORKER,
    "listener": LISTENER,
}


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

        Absent keys are absent in the result: what holds then are the `defaults`, or for
        a group the `rules`. Only some keys are read where they are named.

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

        Raises:
            ConfigError: See `section`.
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
