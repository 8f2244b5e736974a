"""supervisord's configuration file, read as supervisord reads it.

Only what concerns a swarm is understood here; the rest is left to supervisord, which
is never imported for this: a broken configuration has to be readable, too.
"""

from __future__ import annotations

import configparser
import glob
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from swarm_worker.settings import ConfigError

HERE: Final = "%(here)s"
_ENVIRONMENT: Final = "ENV_"


class Unexpandable(ValueError):  # noqa: N818 - says more than "error"
    """A value names what cannot be expanded.

    Attributes:
        variable: The environment variable that is not set; None for another fault.
    """

    def __init__(self, message: str, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


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

    def get(self, option: str, default: str, **names: object) -> str:
        """Give a value, expanded.

        Raises:
            Unexpandable: It names what there is not.
        """
        value = self.values.get(option)
        if value is None:
            return default
        try:
            return value % {**self.names, **names}
        except KeyError as error:
            name = str(error.args[0])
            is_variable = name.startswith(_ENVIRONMENT)
            variable = name.removeprefix(_ENVIRONMENT) if is_variable else None
            raise Unexpandable(f"%({name})s is not known", variable) from None
        except (TypeError, ValueError) as error:
            raise Unexpandable(f"badly formatted, {error}; % is written %%") from None


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
    names = {
        "here": str(path.parent.absolute()),
        "host_node_name": platform.node(),
        **{_ENVIRONMENT + name: value for name, value in environ.items()},
    }
    sections: dict[str, Section] = {}
    _add(sections, path, names)
    files = [path, *_included(path, sections)]
    for file in files[1:]:
        _add(sections, file, names)
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
        raise ConfigError(f"{path} is no configuration of supervisord: {said}") from None
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
