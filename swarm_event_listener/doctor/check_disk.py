"""Whether a state directory can be written to, as far as that is to be seen."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from swarm_event_listener.doctor.case import Case, toml_of
from swarm_event_listener.doctor.finding import Finding, Where, error
from swarm_event_listener.doctor.supervisord_conf import Program, flags
from swarm_event_listener.storage.journal import JOURNAL, STATUS
from swarm_worker.shared.settings import LISTENER, WORKER, Key
from swarm_worker.shared.state_files.instance_claims import FILE_MAX, SUFFIX, signature
from swarm_worker.shared.swarm_toml import expand, unset_variables

TEST: Final = "/usr/bin/test"
ANSWERS_WITHIN_S: Final = 5.0

_WHAT_COMES: Final[Mapping[str, str]] = {
    "listener": "the listener restarts nodes all the same, but swarm status cannot "
    "tell how they are, restarts are not on record, and a hold does not outlive it",
    "worker": "a node that has no slot file there yet does not start",
}


# --- a directory ----------------------------------------------------------------------


def write_error(directory: Path, uid: int | None) -> str:
    """Return why a user's files cannot be replaced in a directory; empty if they can.

    There has to be room for another one of the longest. A quota is not seen.

    Args:
        directory: Where it is missing, what would hold it is looked at.
        uid: Whose files; None where that is not known.
    """
    folders = (directory.absolute(), *directory.absolute().parents)
    try:
        there = next(folder for folder in folders if folder.exists())
        disk = os.statvfs(there)
        longest_bytes = max(_size_bytes(directory / name) for name in (JOURNAL, STATUS))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _StateDir:
    """A directory that a program keeps its state in.

    Attributes:
        where: What names it.
        section: ``listener`` or ``worker``: whose it is.
        uid: As whom supervisord runs the program; None where it does not change it.
    """

    path: Path
    where: Where
    section: str
    uid: int | None


def check(case: Case) -> Iterator[Finding]:
    """What is to be written has to have a place, and each id in Kafka one owner."""
    state_dirs = [*dict.fromkeys(_state_dirs(case))]
    yield from _owned_twice([it for it in state_dirs if it.section == "worker"])
    for state_dir in state_dirs:
        why = write_error(state_dir.path, state_dir.uid)
        if why:
            yield error(
                state_dir.where,
                "state-dir",
                why=f"{why}: {_WHAT_COMES[state_dir.section]}",
            )


def _state_dirs(case: Case) -> Iterator[_StateDir]:
    """Return where listeners and nodes keep their state, as far as the files say."""
    for pool in case.conf.listeners:
        yield from _state_dir(case, pool, "listener", LISTENER)
    for program in case.conf.node_programs:
        yield from _state_dir(case, program, "worker", WORKER)


def _state_dir(
    case: Case, program: Program, section: str, keys: Mapping[str, Key]
) -> Iterator[_StateDir]:
    toml = toml_of(program, case.conf)
    known = {**case.environ, **program.options.environment}
    flag = flags(program.options.command, ["state-dir"]).get("state-dir")
    if flag:
        path, where = case.conf.folder_of(program) / flag, program.section.where
    elif toml in case.documents:
        table = case.documents[toml].table(section)
        raw = table.get("state_dir", keys["state_dir"].default)
        if not isinstance(raw, str) or unset_variables(raw, known):
            return
        path = toml.parent / str(expand(raw, known, where="state_dir"))
        where = Where(toml, section)
    else:
        return
    yield _StateDir(path=path, where=where, section=section, uid=program.uid)


def _owned_twice(state_dirs: Iterable[_StateDir]) -> Iterator[Finding]:
    """Programs of one state_dir see each other's ids, and take others."""
    now_s = time.monotonic()
    claims = [(it, _claims_in(it.path, now_s=now_s)) for it in state_dirs]
    for (one, claimed), (other, also_claimed) in combinations(claims, 2):
        twice = sorted(claimed & also_claimed)
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


def _claims_in(directory: Path, *, now_s: float) -> frozenset[str]:
    """Return the files of ids in Kafka that nodes own there since the machine runs."""
    found = set()
    for path in directory.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            owner = signature(path.read_text("utf-8", "replace")[:FILE_MAX])
            if owner is not None and owner.at_s <= now_s:
                found.add(path.name)
    return frozenset(found)
