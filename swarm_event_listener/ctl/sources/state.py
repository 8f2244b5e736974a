"""What the files of a listener say: its status, and its records of restarts."""

from __future__ import annotations

import grp
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.doctor.check_disk import owner_name, write_error
from swarm_event_listener.storage.atomic_files import READ_MAX_BYTES
from swarm_event_listener.storage.journal import JOURNAL, STATUS

Plain = Mapping[str, Any]

STALE_S: Final = 10.0  # the listener writes every 2 s


class StateError(Exception):
    """What an operator asked for is not known, or cannot be done; says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatus:
    """What the listener last wrote of its swarm.

    Attributes:
        age_s: How long ago; None when it was before the machine last started.
        listener_pid: Who wrote it.
        nodes: By name; the rolls by group.
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
        """Whether the swarm may be otherwise by now."""
        return self.age_s is None or self.age_s > STALE_S


def read_status(directory: Path, *, now_s: float) -> ListenerStatus:
    """Return what the listener last wrote; nothing where it could not write.

    ``now_s`` is of CLOCK_MONOTONIC, which all programs of a machine share.

    Raises:
        StateError: It wrote nothing, or that cannot be read.
    """
    error = _write_error(directory)
    if error and not os.path.lexists(directory / STATUS):
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
        rolls={
            roll["group"]: {"held": (), "restarting": (), **roll}
            for roll in plain.get("rolls", ())
        },
        write_error=error,
    )


def _write_error(directory: Path) -> str:
    """Return why whoever wrote the status could not write it now; empty if so."""
    try:
        uid = (directory / STATUS).stat().st_uid
    except OSError:
        uid = None
    return write_error(directory, uid)


def read_history(directory: Path) -> tuple[Plain, ...]:
    """Return the records of restarts, oldest first.

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
    """Return who may open a file, as far as that can be seen from outside."""
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
