"""Where a swarm's listener keeps its files, and what they say to an operator."""

from __future__ import annotations

import contextlib
import grp
import json
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.doctor.case import toml_of
from swarm_event_listener.doctor.check_disk import hindrance, owner_name
from swarm_event_listener.doctor.ini import read_ini
from swarm_event_listener.doctor.supervisord_conf import flags, read_programs
from swarm_event_listener.storage.atomic_files import READ_MAX_BYTES, is_there
from swarm_event_listener.storage.journal import JOURNAL, STATUS
from swarm_worker.shared.parsers import texts
from swarm_worker.shared.settings import LISTENER, ConfigError, Document, load

Plain = Mapping[str, Any]

STALE_S: Final = 10.0  # the listener writes every 2 s


class StateError(Exception):
    """What an operator asked for cannot be told; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the listener last said.

    Attributes:
        age_s: How long ago; None when it was before the machine last started.
        listener_pid: Who said it.
        groups: The groups that it watches.
        nodes: Its nodes by name.
        rolls: Rolling restarts by group.
        hindrance: Why nothing can be written there now; empty where none is seen.
    """

    age_s: float | None
    listener_pid: int | None
    groups: tuple[str, ...]
    nodes: Mapping[str, Plain] = field(default_factory=dict)
    rolls: Mapping[str, Plain] = field(default_factory=dict)
    hindrance: str = ""

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
        doubt: Why it may be another place; empty where it is known.
        pool: Its ``[eventlistener:x]``; empty where that is not known.
    """

    directory: Path
    groups: tuple[str, ...] = ()
    doubt: str = ""
    pool: str = ""


def place_of(
    conf: Path | None,
    environ: Mapping[str, str],
    *,
    config: str | None = None,
    state_dir: str | None = None,
) -> Place:
    """Find where a listener works.

    Args:
        conf: supervisord's configuration, where the listener's command is.
        environ: Stands for supervisord's environment.
        config: The listener's ``swarm.toml``, if it is not to be looked up.
        state_dir: The directory itself, if it is known.

    Raises:
        StateError: It cannot be found; says what to set.
    """
    if state_dir is not None:
        return Place(directory=Path(state_dir), pool=_pool(conf, environ))
    try:
        if config is not None:
            place = _of_document(Path(config), environ, {})
            return replace(place, pool=_pool(conf, environ, Path(config)))
        return _of_listener(conf, environ)
    except ConfigError as error:
        raise StateError(
            f"{error}; mend that, or set config of [ctlplugin:swarm] to the listener's "
            "swarm.toml, or its state_dir"
        ) from None


def _pool(
    conf: Path | None, environ: Mapping[str, str], config: Path | None = None
) -> str:
    """Name the listener's pool; empty where it cannot be told which it is."""
    try:
        ini = read_ini(conf, environ) if conf else None
    except ConfigError:
        ini = None
    if ini is None:
        return ""
    pools = [
        pool.group
        for pool in read_programs(ini).listeners
        if pool.is_listener
        and (config is None or toml_of(pool, ini).resolve() == config.resolve())
    ]
    return pools[0] if len(pools) == 1 else ""


def _of_listener(conf: Path | None, environ: Mapping[str, str]) -> Place:
    if conf is None:
        raise ConfigError("supervisorctl was started without a configuration file")
    ini = read_ini(conf, environ)
    pools = read_programs(ini).listeners
    pool = next((pool for pool in pools if pool.is_listener), None)
    if pool is None:
        raise ConfigError(f"no [eventlistener:x] in {conf} runs swarm-event-listener")
    given = flags(pool.command, ["state-dir", "groups"])
    if "state-dir" in given:
        folder = Path(pool.directory or conf.parent)
        given["state-dir"] = str(folder / given["state-dir"])
    place = _of_document(toml_of(pool, ini), {**environ, **pool.environment}, given)
    return replace(place, pool=pool.group)


def _of_document(
    path: Path, environ: Mapping[str, str], given: Mapping[str, str]
) -> Place:
    """Read a file; flags win.

    A listener that runs needs its file no more, and its files tell the rest: what is
    where it works by default is believed, with a doubt.
    """
    section, doubt = {}, ""
    default = path.parent / LISTENER["state_dir"].default
    directory = Path(given.get("state-dir") or default)
    try:
        section = _document(path).section(
            "listener", LISTENER, environ, only=["state_dir", "groups"]
        )
    except ConfigError as error:
        if not is_there(directory / STATUS):
            raise
        doubt = f"{error}; told is what the listener has written to {directory}"
    if "state-dir" not in given:
        directory = Path(section.get("state_dir") or default)
    groups = texts(given["groups"]) if "groups" in given else section.get("groups", ())
    return Place(directory=directory, groups=groups, doubt=doubt)


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


def read_told(directory: Path, *, now_s: float) -> Told:
    """Give what the listener last said; nothing where it could not say anything.

    Args:
        directory: Its state directory.
        now_s: CLOCK_MONOTONIC, which all programs of a machine share.

    Raises:
        StateError: It said nothing, or it cannot be read.
    """
    hindered = _hindrance(directory)
    if hindered and not is_there(directory / STATUS):
        return Told(age_s=None, listener_pid=None, groups=(), hindrance=hindered)
    plain = _read(directory / STATUS)
    at_s = plain.get("at_s")
    age_s = now_s - at_s if isinstance(at_s, int | float) else None
    return Told(
        age_s=None if age_s is None or age_s < 0 else age_s,
        listener_pid=plain.get("listener", {}).get("pid"),
        groups=tuple(plain.get("groups", ())),
        nodes={node["node"]: node for node in plain.get("nodes", ())},
        # A listener that was not restarted after an upgrade tells of none that is held.
        rolls={roll["group"]: {"held": (), **roll} for roll in plain.get("rolls", ())},
        hindrance=hindered,
    )


def _hindrance(directory: Path) -> str:
    """Look whether whoever wrote the status could write it now."""
    try:
        uid = (directory / STATUS).stat().st_uid
    except OSError:
        uid = None
    return hindrance(directory, uid, (JOURNAL, STATUS))


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
    hindered = _hindrance(directory)
    if hindered:
        return f"{hindered}; nodes are supervised all the same where the listener runs"
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
