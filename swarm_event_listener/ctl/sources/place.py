"""Where a listener works, as supervisord and its own settings tell."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swarm_event_listener.ctl.sources.state import Plain, StateError
from swarm_event_listener.doctor.server_options import read_conf
from swarm_event_listener.doctor.supervisord_conf import LISTENER, flags
from swarm_event_listener.storage.journal import STATUS
from swarm_worker.shared import settings
from swarm_worker.shared.parsers import texts
from swarm_worker.shared.settings import DEFAULT_FILE, ConfigError
from swarm_worker.shared.swarm_toml import Document, load


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a listener works.

    Attributes:
        groups: The groups that it is told to watch; empty where that is not known.
        warning: Why it may be another place; empty where it is known.
        pool: Its ``[eventlistener:x]``; empty where that is not known.
    """

    directory: Path
    groups: tuple[str, ...] = ()
    warning: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a supervisord that runs tells of its configuration.

    Attributes:
        configs: Its answer to getAllConfigInfo.
        folder: Where it works; None where that may not be seen.
        environ: What it was started with; None where that may not be seen.
        uid: Its user; None where that may not be seen.
    """

    configs: Sequence[Plain] = ()
    folder: Path | None = None
    environ: Mapping[str, str] | None = None
    uid: int | None = None


@dataclass(frozen=True, slots=True)
class _Pool:
    """An ``[eventlistener:x]`` that runs ``swarm-event-listener``."""

    name: str
    command: str
    folder: Path

    @property
    def toml(self) -> Path:
        return self.folder / flags(self.command, ["config"]).get("config", DEFAULT_FILE)


def place_of(
    conf: Path | None,
    environ: Mapping[str, str],
    running: Running,
    *,
    config: str | None = None,
    state_dir: str | None = None,
) -> Place:
    """Find where a listener works.

    Args:
        conf: The configuration that supervisorctl reads, which may be another one than
            supervisord's; what it adds to the listener's environment is believed.
        environ: Stands for supervisord's environment.
        running: What supervisord itself tells.
        config: The listener's ``swarm.toml``, if it is not to be looked up.
        state_dir: The directory itself, if it is known.

    Raises:
        StateError: It cannot be found; says what to set.
    """
    pools = _pools(running, running.folder or (conf.parent if conf else Path()))
    if state_dir is not None:
        return Place(directory=Path(state_dir), pool=_name(pools))
    try:
        if config is None:
            return _of_listener(pools, conf, environ)
        toml = Path(config)
        named = [pool for pool in pools if pool.toml.resolve() == toml.resolve()]
        return replace(_of_document(toml, environ, {}), pool=_name(named))
    except ConfigError as error:
        raise StateError(
            f"{error}; mend that, or set config of [ctlplugin:swarm] to the listener's "
            "swarm.toml, or its state_dir"
        ) from None


def _pools(running: Running, folder: Path) -> list[_Pool]:
    return [
        _Pool(
            str(each["group"]),
            str(each["command"]),
            works_in(each, folder),
        )
        for each in running.configs
        if each["inuse"] and LISTENER.search(str(each["command"]))
    ]


def works_in(config: Plain, folder: Path) -> Path:
    """Return where a process works, as supervisord tells of its configuration.

    Args:
        config: One of its answer.
        folder: Where supervisord works.
    """
    own = str(config["directory"])
    return folder if own == "none" else folder / own


def _name(pools: Sequence[_Pool]) -> str:
    """Return the name of the only one; else whose a directory is, who knows."""
    names = {pool.name for pool in pools}
    return names.pop() if len(names) == 1 else ""


def _of_listener(
    pools: Sequence[_Pool], conf: Path | None, environ: Mapping[str, str]
) -> Place:
    if not pools:
        raise ConfigError(
            "supervisord has no [eventlistener:x] that runs swarm-event-listener"
        )
    pool = pools[0]
    given = flags(pool.command, ["state-dir", "groups"])
    if "state-dir" in given:
        given["state-dir"] = str(pool.folder / given["state-dir"])
    added = _environment(pool.name, conf, environ)
    return replace(_of_document(pool.toml, {**environ, **added}, given), pool=pool.name)


def _environment(
    pool: str, conf: Path | None, environ: Mapping[str, str]
) -> Mapping[str, str]:
    """Return what supervisord adds to a listener's environment, as a file says it."""
    try:
        listeners = read_conf(conf, environ).listeners if conf else ()
    except ConfigError:
        return {}
    return next((it.options.environment for it in listeners if it.group == pool), {})


def _of_document(
    path: Path, environ: Mapping[str, str], given: Mapping[str, str]
) -> Place:
    """Read a file; flags win.

    A listener that runs needs its file no more, and its files tell the rest: what is
    where it works by default is believed, with a warning.
    """
    section, warning = {}, ""
    default = path.parent / settings.LISTENER["state_dir"].default
    directory = Path(given.get("state-dir") or default)
    try:
        section = document(path, "listener").section(
            "listener", settings.LISTENER, environ, only=["state_dir", "groups"]
        )
    except ConfigError as error:
        if not os.path.lexists(directory / STATUS):
            raise
        warning = f"{error}; told is what the listener has written to {directory}"
    if "state-dir" not in given:
        directory = Path(section.get("state_dir") or default)
    groups = texts(given["groups"]) if "groups" in given else section.get("groups", ())
    return Place(directory=directory, groups=groups, warning=warning)


def document(path: Path, section: str) -> Document:
    """Read a file, whatever else is wrong in it: a mistyped key must not blind us.

    Raises:
        ConfigError: It cannot be read, or the section is no table.
    """
    try:
        return load(path)
    except ConfigError:
        with contextlib.suppress(OSError, ValueError):
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            if isinstance(tables.get(section, {}), dict):
                return Document(path, tables)
        raise
