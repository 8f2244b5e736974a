"""Files that are whole or not there: written aside, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

from swarm_worker.shared.state_files.lock_files import SAFE

READ_MAX_BYTES: Final = 16 * 2**20


class ForeignFileError(OSError):
    """A file that no writer of ours has left there."""


def replace_file(path: Path, data: bytes, *, mode: int, durable: bool) -> None:
    """Put a whole new file in the place of ``path``, never through a link.

    Args:
        path: The file; its directory is made when it is missing.
        data: The new content.
        mode: Its permissions, whatever the umask.
        durable: Wait until it is on the disk, its name included.

    Raises:
        OSError: Full, read-only or forbidden; ``path`` is as it was.
    """
    aside = path.with_name(path.name + ".new")
    try:
        _write_new(aside, data, mode=mode, durable=durable)
        aside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    if durable:
        _sync_directory(path.parent)


def _write_new(path: Path, data: bytes, *, mode: int, durable: bool) -> None:
    make_directory(path.parent)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # of a predecessor that was killed while writing
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
        os.fchmod(descriptor, mode)
        file.write(data)
        if durable:
            file.flush()
            os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory that others cannot enter, where it is missing.

    Raises:
        OSError: It cannot be made.
    """
    if not path.is_dir():
        path.mkdir(mode=0o750, parents=True, exist_ok=True)


def read_own_file(path: Path) -> bytes:
    """Return the content of a file of ours, at most `READ_MAX_BYTES`.

    Raises:
        FileNotFoundError: There is none.
        ForeignFileError: It is a link, no plain file, too long, or somebody else's.
        OSError: It cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | SAFE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ForeignFileError(f"{path} is a link") from None
        raise
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ForeignFileError(f"{path} is no plain file")
        if facts.st_uid not in (os.geteuid(), 0):
            raise ForeignFileError(f"{path} belongs to uid {facts.st_uid}")
        if facts.st_size > READ_MAX_BYTES:
            raise ForeignFileError(f"{path} is longer than {READ_MAX_BYTES} bytes")
        return file.read(READ_MAX_BYTES)
