"""The lock that keeps two processes from being the same node."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from swarm_worker.node.crash_traces import Traces
from swarm_worker.node.remains import SLOT_NAMES, Remains
from swarm_worker.process import exit_codes as exits
from swarm_worker.shared.settings import ConfigError, PassingError
from swarm_worker.shared.state_files.lock_files import (
    is_at,
    locked_within,
    opened,
    slot_name,
)

logger = logging.getLogger(__name__)

WAIT_S: Final = 10.0  # a predecessor that was killed is gone by then
_KEEP_WAIT_S: Final = 1.0  # who only reads it has let go by then


# A mistake in the configuration; what else fails may be over at the next start: no
# space, no descriptors, a file server that is away.
_MISTAKES: Final = frozenset(
    (
        errno.EACCES,
        errno.EEXIST,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    )
)


class SlotHeldError(Exception):
    """Another live process is this node."""

    exit_code = exits.SLOT_HELD


def process_key(environ: Mapping[str, str]) -> str:
    """Return supervisord's ``group:name`` of this process; empty outside of it."""
    group, name = map(environ.get, SLOT_NAMES)
    return f"{group}:{name}" if group and name else ""


def slot_key(environ: Mapping[str, str], *, node: int) -> str:
    """Return the name of a slot: ``group:name``, or the node id without supervisord."""
    return process_key(environ) or f"node-{node}"


def slot_path(directory: Path, key: str) -> Path:
    """Return the file of a slot."""
    return directory / f"{slot_name(key)}.slot"


class Slot:
    """A slot that is held until the process ends, however that happens.

    The file is never deleted: two processes could then hold two files of one name.
    Where somebody else deletes it, `keep` notices.

    Attributes:
        traces: What this process has in flight, for the next one of the slot.
    """

    def __init__(self, fd: int, path: Path, remains: Remains | None = None) -> None:
        """Own a locked descriptor; children get it neither by fork nor by exec."""
        self._fd: int | None = fd
        self._path = path
        self._remains = remains
        self._is_failing = False
        self.traces = Traces(fd)
        os.register_at_fork(after_in_child=self.close)

    @classmethod
    def take(
        cls,
        directory: Path,
        key: str,
        *,
        wait_s: float = WAIT_S,
        remains: Remains | None = None,
    ) -> Slot:
        """Take a slot, waiting up to ``wait_s`` seconds for its holder to end.

        Raises:
            SlotHeldError: The holder lives on.
            PassingError: The directory is a link to what is away.
            ConfigError: The directory or the file cannot be used.
            OSError: The system lacks something for now, such as space.
        """
        path = slot_path(directory, key)
        try:
            fd = _take(path, wait_s, remains)
        except OSError as error:
            if error.errno not in _MISTAKES or _turned_read_only(path.parent, error):
                raise
            raise _unusable(path, error) from None
        return cls(fd, path, remains)

    def keep(self) -> None:
        """Sign the file again: this process lives. Take it anew if it was removed.

        Whoever removed it has made room for a second process of this node. A file that
        cannot be made is logged once and tried again with the next call.

        Raises:
            SlotHeldError: Another process has taken it meanwhile.
        """
        if self._fd is None:
            return
        if is_at(self._path, self._fd):
            if self._remains:
                _sign(self._fd, self._remains.head)
            return
        try:
            fd = _take(self._path, _KEEP_WAIT_S, self._remains)
        except OSError as error:
            if not self._is_failing:
                logger.warning("slot_lost path=%s why=%r", self._path, str(error))
            self._is_failing = True
            return
        os.dup2(fd, self._fd, inheritable=False)  # the traces go on in the new file
        os.close(fd)
        self._is_failing = False
        logger.warning(
            "slot_taken_again path=%s reason=%r",
            self._path,
            "somebody removed its file",
        )

    def close(self) -> None:
        """Close the descriptor; the slot is free when no process has it open."""
        self.traces.close()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _take(path: Path, wait_s: float, remains: Remains | None) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = opened(path)
    try:
        _lock(fd, path, wait_s, remains)
        if remains:
            remains.end(fd)
        with suppress(OSError):  # see `_sign`
            os.ftruncate(fd, 0)
        _sign(fd, remains.head if remains else f"{os.getpid()}\n".encode())
    except BaseException:
        os.close(fd)
        raise
    return fd


def _lock(fd: int, path: Path, wait_s: float, remains: Remains | None) -> None:
    # A child that was forked in C holds the lock of its parent.
    meanwhile = partial(remains.end, fd) if remains else None
    if not locked_within(fd, wait_s, meanwhile=meanwhile):
        raise SlotHeldError(
            f"slot {path} is held by {_holder(fd)} after {wait_s:g} s of waiting: "
            "another live process is this node; stop it, or give this one another "
            "--state-dir"
        )


def _sign(fd: int, head: bytes) -> None:
    """Leave the pid for people, and what `Remains` goes by; the lock alone counts."""
    # Another user's file is read-only, and the disk may be full.
    with suppress(OSError):
        os.pwrite(fd, head, 0)


def _holder(fd: int) -> str:
    signed = os.pread(fd, 20, 0).partition(b"\n")[0].decode("ascii", "replace")
    return f"pid {signed}" if signed.isdigit() else "a process that left no pid"


def _turned_read_only(directory: Path, error: OSError) -> bool:
    """Whether a file system was writable before: it may be so again.

    Linux makes one read-only when its disk fails, and after the repair nobody would
    start each node. One without any slot never was: a mistake in the configuration.
    """
    return error.errno == errno.EROFS and any(directory.glob("*.slot"))


def _unusable(path: Path, error: OSError) -> ConfigError:
    directory = path.parent
    if error.errno == errno.EEXIST and directory.is_symlink():
        return PassingError(
            f"the state directory {directory} is a link to {directory.readlink()}, "
            "which is away: see whether its file system is mounted"
        )
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return ConfigError(
            f"cannot use slot {path} as uid {os.geteuid()}: {directory}, or what is "
            "above it, is no directory; remove it, or name another with [worker] "
            "state_dir or --state-dir"
        )
    if error.errno == errno.ELOOP:
        return ConfigError(f"slot {path} is a symbolic link; remove it")
    return ConfigError(
        f"cannot use slot {path} as uid {os.geteuid()}: {error.strerror}; let the "
        "node's user write in that directory, or name another with [worker] state_dir "
        "or --state-dir"
    )
