"""supervisord's configuration file, read as supervisord reads it.

Only what concerns a swarm is understood here; the rest is left to supervisord, which
is never imported for this: a broken configuration has to be readable, too.
"""

from __future__ import annotations

import configparser
import glob
import os
import platform
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from swarm_event_listener.doctor.finding import Where
from swarm_worker.shared.settings import ConfigError

HERE: Final = "%(here)s"
_ENVIRONMENT: Final = "ENV_"


class Unexpandable(ValueError):  # noqa: N818 - says more than "error"
    """A value that supervisord could not expand."""


class VariableUnset(Unexpandable):
    """A value needs environment variables that are not set here.

    Attributes:
        variables: Their names.
        rest: The value without them.
    """

    def __init__(self, variables: list[str], rest: str) -> None:
        super().__init__(f"{', '.join(variables)} not set")
        self.variables = variables
        self.rest = rest


class _Names(dict[str, object]):
    """What ``%(name)s`` stands for; remembers the variables that are not set."""

    def __init__(self, names: Mapping[str, object]) -> None:
        super().__init__(names)
        self.unset: list[str] = []

    def __missing__(self, name: str) -> str:
        if not name.startswith(_ENVIRONMENT):
            raise KeyError(name)
        self.unset.append(name.removeprefix(_ENVIRONMENT))
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section, its values as they are written but for ``%(here)s``.

    Attributes:
        name: As in brackets, such as ``program:x``.
        file: The file that begins it.
        values: By option, in small letters.
        names: What ``%(name)s`` may stand for besides those of a process.
    """

    name: str
    file: Path
    values: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> Where:
        """Its place, for findings."""
        return Where(self.file, self.name)

    def get(self, option: str, default: str, **names: object) -> str:
        """Give a value, expanded.

        Raises:
            VariableUnset: It needs a variable that is not set.
            Unexpandable: It names what there is not.
        """
        value = self.values.get(option)
        if value is None:
            return default
        known = _Names({**self.names, **names})
        try:
            expanded: str = value % known
        except KeyError as error:
            raise Unexpandable(f"%({error.args[0]})s is not known") from None
        except (TypeError, ValueError) as error:
            raise Unexpandable(f"badly formatted, {error}; % is written %%") from None
        if known.unset:
            raise VariableUnset(known.unset, expanded)
        return expanded


@dataclass(frozen=True, slots=True, kw_only=True)
class Ini:
    """A whole configuration.

    Attributes:
        path: The main file.
        sections: By name; those of included files among them.
        files: All files that were read.
    """

    path: Path
    sections: Mapping[str, Section]
    files: tuple[Path, ...]

    def section(self, name: str) -> Section | None:
        """Give a section; None where there is none."""
        return self.sections.get(name)

    def of_kind(self, kind: str) -> Iterator[tuple[str, Section]]:
        """Give the sections ``[kind:name]`` and their names."""
        for name, section in self.sections.items():
            found_kind, colon, rest = name.partition(":")
            if colon and found_kind == kind:
                yield rest.strip(), section


def read_ini(path: Path, environ: Mapping[str, str]) -> Ini:
    """Read a configuration and the files that it includes.

    Raises:
        ConfigError: A file cannot be read, or is none that supervisord would read.
    """
    names: dict[str, str] = {
        "here": str(path.parent.absolute()),
        "host_node_name": platform.node(),
        **{_ENVIRONMENT + name: value for name, value in environ.items()},
    }
    sections: dict[str, Section] = {}
    _add(sections, path, names)
    files = [path, *_included(path, sections)]
    for file in files[1:]:
        _add(sections, file, names)
    _name_environment(sections, names)
    return Ini(path=path, sections=sections, files=tuple(files))


def _add(sections: dict[str, Section], path: Path, names: Mapping[str, str]) -> None:
    """Add a file's sections; an option that is there already is replaced."""
    here = str(path.parent.absolute())
    for name, values in _parse(path).items():
        before = sections.get(name)
        sections[name] = Section(
            name=name,
            file=before.file if before else path,
            values={
                **(before.values if before else {}),
                **{key: value.replace(HERE, here) for key, value in values.items()},
            },
            names=names,
        )


def _name_environment(sections: Mapping[str, Section], names: dict[str, str]) -> None:
    """Let ``%(ENV_x)s`` stand for what supervisord itself adds to the environment."""
    daemon = sections.get("supervisord")
    if daemon is None:
        return
    try:
        added = variables(daemon.get("environment", ""))
    except ValueError:
        return  # supervisord says so
    names.update((_ENVIRONMENT + name, value) for name, value in added.items())


def variables(value: str) -> dict[str, str]:
    """Read an ``environment`` of supervisord.

    Raises:
        ValueError: It is none.
    """
    lexer = shlex.shlex(value)
    lexer.wordchars += "/.+-():"
    tokens = list(lexer)
    found = {}
    for start in range(0, len(tokens), 4):
        pair = tokens[start : start + 3]
        if len(pair) != 3 or pair[1] != "=":
            raise ValueError('expected NAME="value",OTHER="value"')
        found[pair[0]] = pair[2].strip("'\"")
    return found


def _parse(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(
        inline_comment_prefixes=(";", "#"), strict=False
    )
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(
            f"{path} is no configuration of supervisord: {said}"
        ) from None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def _included(path: Path, sections: Mapping[str, Section]) -> list[Path]:
    include = sections.get("include")
    if include is None:
        return []
    try:
        patterns = include.get("files", "").split()
    except Unexpandable as error:
        raise ConfigError(f"{path}: [include] files: {error}") from None
    base = path.parent.absolute()
    return [
        Path(found)
        for pattern in patterns
        # supervisord's own patterns, absolute ones among them: pathlib takes none such
        for found in sorted(glob.glob(os.path.join(base, pattern)))  # noqa: PTH118, PTH207
    ]
