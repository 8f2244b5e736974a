"""The two versions: the working tree, and a commit of its history installed beside it.

The commit is unpacked into ``.compat/SHA/source`` and gets a virtual environment of its
own, which the next runs find there; ``make clean`` removes both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.supervisord import ROOT

# The last commit before the modules moved to rooms: what users run today.
OLD: Final = "6cee99e"
HOME: Final = ROOT / ".compat"
PACKAGES: Final = ("swarm_worker", "swarm_event_listener")


class VersionMissingError(Exception):
    """A version cannot be had; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of both programs and of the plugin.

    Attributes:
        name: For people.
        source: The folder that has its packages.
        bin: The programs of its environment.
    """

    name: str
    source: Path
    bin: Path

    def runs_as(self, pid: int) -> bool:
        """Whether a process is one of this version's programs."""
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return Path(os.fsdecode(command[0])).parent.resolve() == self.bin.resolve()

    def check(self, cwd: Path) -> None:
        """Check that its programs import its own packages.

        Raises:
            VersionMissingError: They import those of somebody else.
        """
        for package in PACKAGES:
            code = f"import {package}; print({package}.__file__)"
            found = subprocess.run(
                [self.bin / "python", "-c", code],
                check=False, capture_output=True, text=True, cwd=cwd,
                env={**os.environ, "PYTHONPATH": ""},
            )  # fmt: skip
            wanted = self.source / package / "__init__.py"
            if Path(found.stdout.strip()).resolve() != wanted.resolve():
                raise VersionMissingError(
                    f"{self.name}: expected {wanted}, its python imports "
                    f"{found.stdout or found.stderr}; make clean, then try again"
                )


def working_tree() -> Version:
    """Return the version that runs this."""
    return Version("working tree", ROOT, Path(sys.executable).parent)


def installed(commit: str, say: Callable[[str], None], *, root: Path = ROOT) -> Version:
    """Return a version of the history; it is installed if it was not yet.

    Raises:
        VersionMissingError: The history has no such commit, or pip failed.
    """
    sha = find(commit, root=root)
    folder = HOME / sha
    is_ready = folder / ".ready"
    version = Version(commit, folder / "source", folder / "venv" / "bin")
    if not is_ready.exists():
        say(f"installing {commit} into {folder} ...")
        shutil.rmtree(folder, ignore_errors=True)
        _unpack(sha, version.source, root=root)
        make = [sys.executable, f"{ROOT}/.ci/venv", f"{folder}/venv"]
        if subprocess.call(make, cwd=version.source):
            raise VersionMissingError(f"{commit} could not be installed: see above")
        is_ready.touch()
    return version


def find(commit: str, *, root: Path) -> str:
    """Return the full name of a commit.

    Raises:
        VersionMissingError: It is not in the history, or there is none.
    """
    if shutil.which("git") is None:
        raise VersionMissingError(f"git is needed to get {commit} out of the history")
    top = _git(root, "rev-parse", "--show-toplevel")
    if top.returncode or Path(top.stdout.decode().strip()).resolve() != root.resolve():
        why = top.stderr.decode().strip() or "it belongs to another repository"
        raise VersionMissingError(
            f"{root} has no history to get {commit} from ({why}): this needs a clone "
            "of the repository, not an archive of its files"
        )
    found = _git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if not found.returncode:
        return found.stdout.decode().strip()
    if _git(root, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
        raise VersionMissingError(
            f"the history of {root} is cut off and lacks {commit}: "
            "git fetch --unshallow, then try again"
        )
    raise VersionMissingError(
        f"the history of {root} has no commit {commit}: git fetch, or name another: "
        "make compat OLD=COMMIT"
    )


def _unpack(sha: str, folder: Path, *, root: Path) -> None:
    archive = _git(root, "archive", "--format=tar", sha)
    archive.check_returncode()
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", folder], check=True, input=archive.stdout)


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", root, *words], check=False, capture_output=True)
