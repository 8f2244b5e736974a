"""Where a swarm's listener keeps its files, and what they say to an operator."""

from __future__ import annotations

import contextlib
import grp
import json
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.doctor.check_disk import owner_name, write_error
from swarm_event_listener.doctor.server_options import read_conf
from swarm_event_listener.doctor.supervisord_conf import LISTENER, flags
from swarm_event_listener.storage.atomic_files import READ_MAX_BYTES, is_there
from swarm_event_listener.storage.journal import JOURNAL, STATUS
from swarm_worker.shared import settings
from swarm_worker.shared.parsers import texts
from swarm_worker.shared.settings import DEFAULT_FILE, ConfigError, Document, load

Plain = Mapping[str, Any]

STALE_S: Final = 10.0  # the listener writes every 2 s


class StateError(Exception):
    """What an operator asked for cannot be told; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatus:
    """What the listener last said.

    Attributes:
        age_s: How long ago; None when it was before the machine last started.
        listener_pid: Who said it.
        groups: The groups that it watches.
        nodes: Its nodes by name.
        rolls: Rolling restarts by group.
        write_error: Why nothing can be written there now; empty where none is seen.
    """

    age_s: float | None
    listener_pid: int | None
    groups: tuple[str, ...]
    nodes: Mapping[str, Plain] = field(default_factory=dict)
    rolls: Mapping[str, Plain] = field(default_factory=dict)
    write_error: str = ""

    @property
    def is_stale(self) -> bool:
        """Whether it no longer tells how the swarm is."""
        return self.age_s is None or self.age_s > STALE_S


# --- where ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a listener works.

    Attributes:
        directory: Its state directory.
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
    """

    configs: Sequence[Plain] = ()
    folder: Path | None = None


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
            folder if each["directory"] == "none" else folder / str(each["directory"]),
        )
        for each in running.configs
        if each["inuse"] and LISTENER.search(str(each["command"]))
    ]


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
        section = _document(path).section(
            "listener", settings.LISTENER, environ, only=["state_dir", "groups"]
        )
    except ConfigError as error:
        if not is_there(directory / STATUS):
            raise
        warning = f"{error}; told is what the listener has written to {directory}"
    if "state-dir" not in given:
        directory = Path(section.get("state_dir") or default)
    groups = texts(given["groups"]) if "groups" in given else section.get("groups", ())
    return Place(directory=directory, groups=groups, warning=warning)


def _document(path: Path) -> Document:
    """Read a file, whatever else is wrong in it: a mistyped key must not blind us."""
    try:
        return load(path)
    except ConfigError:
        with contextlib.suppress(OSError, ValueError):
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            if isinstance(tables.get("listener", {}), dict):
                return Document(path, tables)
        raise


# --- what -----------------------------------------------------------------------------


def read_status(directory: Path, *, now_s: float) -> ListenerStatus:
    """Give what the listener last said; nothing where it could not say anything.

    Args:
        directory: Its state directory.
        now_s: CLOCK_MONOTONIC, which all programs of a machine share.

    Raises:
        StateError: It said nothing, or it cannot be read.
    """
    error = _write_error(directory)
    if error and not is_there(directory / STATUS):
        return ListenerStatus(
            age_s=None, listener_pid=None, groups=(), write_error=error
        )
    plain = _read(directory / STATUS)
    at_s = plain.get("at_s")
    age_s = now_s - at_s if isinstance(at_s, int | float) else None
    return ListenerStatus(
        age_s=None if age_s is None or age_s < 0 else age_s,
        listener_pid=plain.get("listener", {}).get("pid"),
        groups=tuple(plain.get("groups", ())),
        nodes={node["node"]: node for node in plain.get("nodes", ())},
        # A listener that was not restarted after an upgrade tells of none that is held.
        rolls={roll["group"]: {"held": (), **roll} for roll in plain.get("rolls", ())},
        write_error=error,
    )


def _write_error(directory: Path) -> str:
    """Look whether whoever wrote the status could write it now."""
    try:
        uid = (directory / STATUS).stat().st_uid
    except OSError:
        uid = None
    return write_error(directory, uid, (JOURNAL, STATUS))


def read_history(directory: Path) -> tuple[Plain, ...]:
    """Give the records of restarts, oldest first.

    Raises:
        StateError: They cannot be read.
    """
    records = _read(directory / JOURNAL).get("history", [])
    return tuple(record for record in records if isinstance(record, dict))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            plain = json.loads(file.read(READ_MAX_BYTES))
    except FileNotFoundError:
        raise StateError(f"no {path}: {_why_missing(path.parent)}") from None
    except PermissionError:
        raise StateError(f"cannot read {path}: {who_may(path, stat.S_IRGRP)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(f"cannot read {path}: {error}") from None
    if not isinstance(plain, dict):
        raise StateError(f"cannot read {path}: expected an object, got {plain!r:.40}")
    return plain


def _why_missing(directory: Path) -> str:
    error = _write_error(directory)
    if error:
        return f"{error}; nodes are supervised all the same where the listener runs"
    return (
        "the listener has not run yet, runs on another machine, or has another "
        "state_dir (set config=FILE of [ctlplugin:swarm])"
    )


def who_may(path: Path, group_bits: int) -> str:
    """Tell who may open a file, as far as that can be seen from outside.

    Args:
        path: The file.
        group_bits: What its group needs.
    """
    for seen in (path, path.parent):
        try:
            facts = seen.stat()
        except OSError:
            continue
        owner, group = owner_name(facts.st_uid), _group(facts.st_gid)
        if facts.st_mode & (group_bits if seen is path else stat.S_IXGRP):
            return f"run supervisorctl as {owner} or as a member of group {group}"
        return f"run supervisorctl as {owner}"
    return "run supervisorctl as the user of supervisord"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
