"""Files that a process holds locked for as long as it lives.

The lock alone counts, not that the file is there. What is in it is for others to read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import quote

SAFE: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_RETRY_S: Final = 0.05
_SLOT_MAX: Final = 240  # of the 255 bytes that there are, with what is appended


def slot_name(key: str) -> str:
    """Return the name of a slot's files; what each is for is appended to it.

    Args:
        key: supervisord's ``group:name`` of the process, or ``node-ID`` without one.
    """
    return file_name(key, most=_SLOT_MAX)


def file_name(text: str, *, most: int) -> str:
    """Return a text as the name of a file, or its hash where that is too long."""
    name = quote(text, safe="")
    if len(name) <= most:
        return name
    import hashlib  # noqa: PLC0415 - 3 ms and 0.6 MB of each node, and hardly ever

    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def opened(path: Path) -> int:
    """Open a file that is to be locked, made when absent.

    Another user's is opened for reading, and so is one on a file system that has turned
    read-only: it can be locked all the same.

    Without O_CREAT where the file exists: Linux refuses it for another user's file in
    a sticky directory (fs.protected_regular).

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    # For writing once more: another process may have made it after the first look.
    attempts = (os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR, os.O_RDONLY)
    for flags in attempts:
        try:
            fd = os.open(path, flags | SAFE, 0o644)
        except (FileNotFoundError, FileExistsError, PermissionError):
            if flags == os.O_RDONLY:
                raise
            continue
        except OSError as error:
            if error.errno != errno.EROFS or flags & os.O_CREAT:
                raise
            continue
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is no regular file")
        return fd
    raise AssertionError("unreachable: the last attempt raises")


def locked(fd: int) -> bool:
    """Lock an open file unless somebody else has it locked; whether it is locked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def locked_within(
    fd: int, wait_s: float, *, meanwhile: Callable[[], object] | None = None
) -> bool:
    """Lock an open file, waiting for its holder to end; whether it is locked.

    ``meanwhile`` is called after each try that was in vain.
    """
    give_up_at_s = monotonic() + wait_s
    while not locked(fd):
        if monotonic() >= give_up_at_s:
            return False
        if meanwhile:
            meanwhile()
        select.select([], [], [], _RETRY_S)
    return True


def is_at(path: Path, fd: int) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except OSError:
        return False
