"""What `make compat` says before anything is exchanged, and what it compares."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.compat.scenario import lost_fields
from tests.compat.versions import VersionMissingError, find

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


def git(folder: Path, *words: str) -> str:
    """Run git in a folder; return what it says."""
    named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *named, *words]
    return subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone with two commits."""
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    for message in ("first", "second"):
        git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return folder


@needs_git
def test_commit_of_the_history_is_found(clone: Path) -> None:
    """By a short name, too."""
    first = git(clone, "rev-parse", "HEAD~1")

    assert find(first[:7], root=clone) == first


@needs_git
def test_commit_that_is_not_there_is_named(clone: Path) -> None:
    """With what to do about it."""
    with pytest.raises(VersionMissingError, match="no commit 6cee99e: git fetch, or"):
        find("6cee99e", root=clone)


@needs_git
def test_history_that_is_cut_off_is_named(clone: Path, tmp_path: Path) -> None:
    """A shallow clone lacks what a whole one has."""
    git(tmp_path, "clone", "-q", "--depth=1", clone.as_uri(), "shallow")
    first = git(clone, "rev-parse", "HEAD~1")

    with pytest.raises(VersionMissingError, match="git fetch --unshallow"):
        find(first, root=tmp_path / "shallow")


@needs_git
@pytest.mark.parametrize("folder", ["", "clone/unpacked"])
def test_files_without_a_history_are_named(
    clone: Path, tmp_path: Path, folder: str
) -> None:
    """An archive, also one that was unpacked within another repository."""
    (clone / "unpacked").mkdir()

    with pytest.raises(VersionMissingError, match="needs a clone"):
        find("HEAD", root=tmp_path / folder)


def test_fields_that_are_no_longer_written_are_named() -> None:
    """However deep they are; more fields, other values, other nodes are no matter."""
    old = {"at": 1, "failures": {"w:w_01": []}, "nodes": [{"report": {"lag": 2}}]}

    new = {"at": 2, "failures": {}, "nodes": [{"report": None}], "more": 3}
    assert list(lost_fields(old, new)) == []
    assert list(lost_fields(old, {"failures": {}, "nodes": [{"report": {}}]})) == [
        "at",
        "nodes report lag",
    ]
