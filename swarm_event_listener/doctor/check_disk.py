"""Whether a state directory can be written to, as far as that is to be seen.

`observed` looks, `state_dirs` and `check` decide.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from swarm_event_listener.doctor.case import Case, StateDir, toml_of
from swarm_event_listener.doctor.finding import Finding, Where, error
from swarm_event_listener.doctor.supervisord_conf import Program, flags
from swarm_event_listener.storage.journal import JOURNAL, STATUS
from swarm_worker.shared.instance_claims import FILE_MAX, SUFFIX, signature
from swarm_worker.shared.settings import LISTENER, WORKER
from swarm_worker.shared.swarm_toml import expand, unset_variables

TEST: Final = "/usr/bin/test"
ANSWERS_WITHIN_S: Final = 5.0

_WHAT_COMES: Final[Mapping[str, str]] = {
    "listener": "the listener restarts nodes all the same, but swarm status cannot "
    "tell how they are, restarts are not on record, and a hold does not outlive it",
    "worker": "a node that has no slot file there yet does not start",
}


# --- a directory ----------------------------------------------------------------------


def write_error(directory: Path, uid: int | None, names: Iterable[str] = ()) -> str:
    """Return why files cannot be replaced in a directory; empty where they can.

    A quota is not seen.

    Args:
        directory: Where it is missing, what would hold it is looked at.
        uid: Whose files; None where that is not known.
        names: The files: there has to be room for another one of the longest.
    """
    folders = (directory.absolute(), *directory.absolute().parents)
    try:
        there = next(folder for folder in folders if folder.exists())
        disk = os.statvfs(there)
        longest_bytes = max(
            (_size_bytes(directory / name) for name in names), default=0
        )
    except (OSError, ValueError):  # no name of a file, too
        return ""
    lack = lack_of(disk, is_root=uid == 0, needed_bytes=longest_bytes)
    if lack:
        return f"the file system of {directory} {lack}"
    if uid is None or _may_write(there, uid):
        return ""
    return f"{owner_name(uid)} may not write to {there}"


def lack_of(disk: os.statvfs_result, *, is_root: bool, needed_bytes: int) -> str:
    """Return what a file system lacks for one more file; empty where nothing.

    Those without a fixed size have 0 of 0 blocks, or inodes.
    """
    if disk.f_flag & os.ST_RDONLY:
        return "is mounted read-only"
    blocks = disk.f_bfree if is_root else disk.f_bavail  # some are kept for root
    room_bytes = blocks * disk.f_frsize
    if disk.f_blocks and (not blocks or room_bytes < needed_bytes):
        return f"is full ({room_bytes // 1024} KB left)"
    if disk.f_files and not (disk.f_ffree if is_root else disk.f_favail):
        return "is full (no inodes left)"
    return ""


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _may_write(folder: Path, uid: int) -> bool:
    """Whether a user may put files there; True where nobody can be asked.

    The kernel alone knows: it is asked as that user, which only root can become.
    """
    if uid == os.geteuid():
        return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)
    if os.geteuid() != 0:
        return True
    try:
        # The dot is found by who may enter the folder.
        asked = subprocess.run(  # noqa: S603 - a program of the system, with a path
            [TEST, "-w", f"{folder}/."],
            **as_user(uid),
            timeout=ANSWERS_WITHIN_S,
            check=False,
        )
    except (KeyError, OSError, subprocess.TimeoutExpired):
        return True
    return asked.returncode == 0


def as_user(uid: int) -> dict[str, Any]:
    """Return how `subprocess` starts a program as a user, which only root can.

    Raises:
        KeyError: There is no such user.
    """
    user = pwd.getpwuid(uid)
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return {"user": uid, "group": user.pw_gid, "extra_groups": groups}


def owner_name(uid: int) -> str:
    """Return a user's name, for people."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"uid {uid}"


# --- those of a swarm -----------------------------------------------------------------


def observed(case: Case, environ: Mapping[str, str]) -> Case:
    """Return a case with what stands in the state directories, and speaks against."""
    places = tuple(state_dirs(case, environ))
    write_errors = {
        place: write_error(place.path, place.uid, (JOURNAL, STATUS)) for place in places
    }
    return replace(
        case,
        write_errors={place: why for place, why in write_errors.items() if why},
        claims={
            place: claims_in(place.path, now_s=time.monotonic())
            for place in places
            if place.section == "worker"
        },
    )


def state_dirs(case: Case, environ: Mapping[str, str]) -> Iterator[StateDir]:
    """Return where listeners and nodes keep their state, as far as the files say."""
    for pool in case.conf.listeners:
        yield from _state_dir(case, pool, "listener", environ)
    for program in case.conf.programs:
        if program.is_node:
            yield from _state_dir(case, program, "worker", environ)


def _state_dir(
    case: Case, program: Program, section: str, environ: Mapping[str, str]
) -> Iterator[StateDir]:
    toml = toml_of(program, case.conf)
    known = {**environ, **program.options.environment}
    uid = program.uid
    flag = flags(program.options.command, ["state-dir"]).get("state-dir")
    if flag:
        path = case.conf.folder_of(program) / flag
        where = program.section.where
        yield StateDir(path=path, where=where, section=section, uid=uid)
    elif toml in case.documents:
        default = {"listener": LISTENER, "worker": WORKER}[section]["state_dir"].default
        raw = case.documents[toml].table(section).get("state_dir", default)
        if isinstance(raw, str) and not unset_variables(raw, known):
            path = toml.parent / str(expand(raw, known, where="state_dir"))
            where = Where(toml, section)
            yield StateDir(path=path, where=where, section=section, uid=uid)


def claims_in(directory: Path, *, now_s: float) -> frozenset[str]:
    """Return the files of ids in Kafka that nodes own there since the machine runs."""
    found = set()
    for path in directory.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            owner = signature(path.read_text("utf-8", "replace")[:FILE_MAX])
            if owner is not None and owner.at_s <= now_s:
                found.add(path.name)
    return frozenset(found)


def check(case: Case) -> Iterator[Finding]:
    """What is to be written has to have a place, and each id in Kafka one owner."""
    yield from _owned_twice(case)
    for state_dir, why in case.write_errors.items():
        yield error(
            state_dir.where,
            "state-dir",
            why=f"{why}: {_WHAT_COMES[state_dir.section]}",
        )


def _owned_twice(case: Case) -> Iterator[Finding]:
    """Programs of one state_dir see each other's ids, and take others."""
    for one, other in combinations(case.claims, 2):
        twice = sorted(case.claims[one] & case.claims[other])
        if twice and one.path.resolve() != other.path.resolve():
            name = unquote(twice[0].removesuffix(SUFFIX))
            yield error(
                other.where,
                "instance-id",
                why=f"nodes with their state in {one.path} and in {other.path} join a "
                f"Kafka group as {name}: each throws the other out (exit 5); give "
                "both one state_dir, where each takes an id that is free, or a "
                "swarm.toml of its own with another instance_prefix; where that is "
                f"over, remove {other.path / twice[0]}",
            )
