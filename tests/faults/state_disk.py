"""The disk of the listener's state, and what goes wrong with it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

FILLER: Final = "filler"
OPTIONS: Final = "size=4m,mode=0750"  # a journal of a thousand records, twice

DAMAGES: Final[dict[str, bytes | None]] = {
    "removed": None,
    "emptied": b"",
    "half-written": b'{"version":1,"intents":{"w:w_01":{"ph',
    "of another version": b'{"version":99,"intents":[]}',
}


class StateDisk:
    """A file system of its own at the listener's ``state_dir``.

    Attributes:
        trouble: What is wrong with it now; empty when nothing is.
    """

    def __init__(self, state_dir: Path) -> None:
        """Mount it; without the right to mount, no trouble can be made."""
        self._path = state_dir
        self._locked = state_dir.with_name("locked")
        self.trouble = ""
        state_dir.mkdir(mode=0o750)
        self._is_ours = _ran("mount", "-t", "tmpfs", "-o", OPTIONS, "none", state_dir)
        if self._is_ours:
            self._locked.mkdir()
            assert _ran("mount", "--bind", state_dir, self._locked)
            assert _ran("mount", "-o", "remount,bind,ro", self._locked)

    def fill(self) -> None:
        """Leave no byte.

        Raises:
            ProcessLookupError: There is no disk of ours, or it is in trouble already.
        """
        self._begin("full")
        with suppress(OSError), (self._path / FILLER).open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4_096)

    def lock(self) -> None:
        """Let nothing be written: a second mount of it, since files are open.

        Raises:
            ProcessLookupError: There is no disk of ours, or it is in trouble already.
        """
        self._begin("read-only")
        assert _ran("mount", "--bind", self._locked, self._path)

    def _begin(self, trouble: str) -> None:
        if not self._is_ours or self.trouble:
            raise ProcessLookupError("the disk cannot be brought into this trouble")
        self.trouble = trouble

    def mend(self) -> None:
        """End the trouble, if there is one."""
        if self.trouble == "read-only":
            assert _ran("umount", "-l", self._path)
        (self._path / FILLER).unlink(missing_ok=True)
        self.trouble = ""

    def damage(self, how: str) -> None:
        """Damage the journal.

        Raises:
            OSError: The disk is in trouble.
        """
        path, data = self._path / "journal.json", DAMAGES[how]
        if data is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(data)

    def close(self) -> None:
        """Mend and unmount it."""
        self.mend()
        if self._is_ours:
            assert _ran("umount", "-l", self._locked)
            assert _ran("umount", "-l", self._path)


def _ran(*command: str | Path) -> bool:
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        sys.stderr.write(f"{command}: {done.stderr.decode()}")
    return done.returncode == 0
