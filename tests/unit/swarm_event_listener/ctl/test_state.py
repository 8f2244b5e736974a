"""What the files of a listener say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from swarm_event_listener.ctl.sources.state import (
    StateError,
    read_history,
    read_status,
)
from tests.operators import disk, node_status


def test_the_listeners_files_are_read(tmp_path: Path) -> None:
    """With the age of what was said."""
    written = {
        "at_s": 90.0,
        "listener": {"pid": 5},
        "groups": ["w"],
        "nodes": [node_status()],
        "rolls": [{"group": "w"}],
    }
    (tmp_path / "status.json").write_text(json.dumps(written), "utf-8")
    (tmp_path / "journal.json").write_text('{"history": [{"node": "x"}, 3]}', "utf-8")

    status = read_status(tmp_path, now_s=100.0)

    assert (status.age_s, status.listener_pid, status.groups) == (10.0, 5, ("w",))
    assert (list(status.nodes), list(status.rolls)) == (["w:w_00"], ["w"])
    assert not status.is_stale
    assert read_status(tmp_path, now_s=100.1).is_stale
    assert read_status(tmp_path, now_s=80.0).is_stale  # of the machine's former life
    assert read_history(tmp_path) == ({"node": "x"},)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "has not run yet"), ("{", "cannot read"), ("[]", "expected an object")],
)
def test_a_file_that_does_not_tell_says_why(
    tmp_path: Path, text: str | None, words: str
) -> None:
    """And which one it is."""
    if text is not None:
        (tmp_path / "status.json").write_text(text, "utf-8")

    with pytest.raises(StateError, match=words) as caught:
        read_status(tmp_path, now_s=1.0)
    assert str(tmp_path / "status.json") in str(caught.value)


def test_where_nothing_could_be_said_the_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a listener that has not run: it may run for long."""
    monkeypatch.setattr(os, "statvfs", lambda _: disk(f_flag=os.ST_RDONLY))

    status = read_status(tmp_path, now_s=1.0)

    assert (status.age_s, status.is_stale) == (None, True)
    assert status.write_error == f"the file system of {tmp_path} is mounted read-only"
    with pytest.raises(StateError, match=r"no .*journal\.json: the file system of "):
        read_history(tmp_path)


@pytest.mark.parametrize(
    ("mode", "words"),
    [(0o640, "or as a member of group"), (0o600, "run supervisorctl as")],
)
def test_a_file_that_may_not_be_read_says_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, words: str
) -> None:
    """The owner, and the group where it may."""
    path = tmp_path / "journal.json"
    path.write_text("{}", "utf-8")
    path.chmod(mode)

    def forbidden(*_args: object, **_keywords: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", forbidden)

    with pytest.raises(StateError, match=words) as caught:
        read_history(tmp_path)
    assert ("member of group" in str(caught.value)) is (mode == 0o640)
