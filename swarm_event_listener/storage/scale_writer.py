"""Writes orders of how many nodes are to run, whole or not at all.

Each writer holds a lock beside the file from its reading to its writing, so that of two
at once neither loses what the other has ordered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from swarm_event_listener.storage.atomic_files import replace_file
from swarm_worker.shared.scale import Scale, with_order
from swarm_worker.shared.state_files import lock_files, scale_file

LOCK: Final = "scale.lock"
LOCKED_WITHIN_S: Final = 5.0  # a writer holds it for two fsyncs
_MODE: Final = (
    0o644  # nodes of any user read it, as far as they may enter the directory
)


class LockedError(OSError):
    """Another writer has not ended in time."""


def put(
    directory: Path, decide: Callable[[Mapping[str, Scale]], tuple[str, Scale]]
) -> None:
    """Put an order into the file of a state directory; return once it is on the disk.

    Args:
        directory: That of the nodes; it has to be there.
        decide: Returns the order and its key, by what the file holds; while it does,
            nobody else writes. What it raises leaves the file as it is.

    Raises:
        ScaleFileError: What is there cannot be read, and is left as it is.
        LockedError: Another writer has not ended in time.
        OSError: Full, read-only, forbidden or missing; the file is as it was.
    """
    with _locked(directory):
        text = scale_file.text_in(directory)
        key, order = decide(scale_file.scales_in(directory, text))
        data = with_order(text, key, order).encode("utf-8")
        path = directory / scale_file.NAME
        replace_file(path, data, mode=_MODE, durable=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    path = directory / LOCK
    fd = lock_files.opened(path)
    try:
        if not lock_files.locked_within(fd, LOCKED_WITHIN_S):
            raise LockedError(f"another command has {path} locked")
        yield
    finally:
        os.close(fd)
