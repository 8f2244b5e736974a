"""The file that says how many nodes of a group are to run.

Each node reads it at its birth, so it holds whoever starts the node: supervisord at a
boot, an operator, the listener.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from swarm_worker.shared.scale import Scale, ScaleFileError, scales
from swarm_worker.shared.state_files.lock_files import SAFE

NAME: Final = "scale.json"
READ_MAX_BYTES: Final = 2**20


def read(directory: Path) -> Mapping[str, Scale]:
    """Return what the file of a state directory says; nothing where there is none.

    It reads a file, and so may wait for a disk.

    Raises:
        ScaleFileError: It cannot be read, or is no such file.
    """
    return scales_in(directory, text_in(directory))


def signature(directory: Path) -> tuple[int, int] | None:
    """Return what changes whenever the file is replaced; None without one."""
    try:
        facts = (directory / NAME).stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def scales_in(directory: Path, text: bytes) -> Mapping[str, Scale]:
    """Return what the text of a state directory's file says.

    Raises:
        ScaleFileError: It is no such text; names the file.
    """
    try:
        return scales(text)
    except ScaleFileError as error:
        raise ScaleFileError(f"{directory / NAME}: {error}") from None


def text_in(directory: Path) -> bytes:
    """Return the text of a state directory's file; without one, that of no orders.

    It reads a file, and so may wait for a disk.

    Raises:
        ScaleFileError: It cannot be read.
    """
    path = directory / NAME
    try:
        # Another user may have put a link or a pipe there.
        fd = os.open(path, os.O_RDONLY | SAFE)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read(READ_MAX_BYTES)
    except FileNotFoundError:
        return b"{}"
    except OSError as error:
        raise ScaleFileError(f"cannot read {path}: {error.strerror}") from None
