"""A virtual environment for each peer, made once from the versions in ``peers/``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PEERS: Final = Path(__file__).parent / "peers"


class EnvironmentMissingError(Exception):
    """A peer's packages could not be installed; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Environments:
    """The peers' environments below ``home``; ``say`` is told when one is made."""

    home: Path
    say: Callable[[str], None]

    def python(self, name: str) -> Path:
        """Return the interpreter that has ``peers/<name>.txt``; makes it if need be.

        Raises:
            EnvironmentMissingError: pip failed; with the end of what it said.
        """
        wanted = PEERS / f"{name}.txt"
        folder = self.home / name
        made = folder / ".made-from"
        mark = hashlib.sha256(wanted.read_bytes()).hexdigest()
        if not made.exists() or made.read_text() != mark:
            self._make(folder, wanted)
            made.write_text(mark)
        return folder / "bin" / "python"

    def _make(self, folder: Path, wanted: Path) -> None:
        self.say(f"installing {wanted.stem} into {folder} ...")
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True, symlinks=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
        command += ["--disable-pip-version-check", "-r", str(wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentMissingError(f"{wanted.name}: {done.stderr[-500:]}")
