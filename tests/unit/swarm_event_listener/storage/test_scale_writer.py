"""Orders of how many nodes run, as they come into their file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarm_event_listener.storage import scale_writer
from swarm_event_listener.storage.scale_writer import LOCK, LockedError, put
from swarm_worker.shared.scale import Scale, ScaleFileError
from swarm_worker.shared.state_files.scale_file import NAME, read


def one_more(orders: Mapping[str, Scale]) -> tuple[str, Scale]:
    """Order one node more than there are."""
    nodes = orders["orders"].nodes if "orders" in orders else 0
    return "orders", Scale(nodes=nodes + 1)


def test_what_is_ordered_is_read_by_nodes(tmp_path: Path) -> None:
    """Of any user; without a trace of how it was written but the lock."""
    put(tmp_path, lambda _: ("orders", Scale(nodes=3, by="a", why="b", at="c")))

    assert read(tmp_path) == {"orders": Scale(nodes=3, by="a", why="b", at="c")}
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, LOCK]


def test_of_writers_at_once_none_is_lost(tmp_path: Path) -> None:
    """Each decides by what the one before has written."""
    with ThreadPoolExecutor(8) as pool:
        for written in [pool.submit(put, tmp_path, one_more) for _ in range(40)]:
            written.result()

    assert read(tmp_path)["orders"].nodes == 40


def test_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    """Other groups, and what a later version has added."""
    before = {"orders": {"nodes": 2, "until": 7}, "late": {"nodes": 1, "more": [1]}}
    (tmp_path / NAME).write_text(json.dumps(before), "utf-8")

    put(tmp_path, one_more)

    after = json.loads((tmp_path / NAME).read_text("utf-8"))
    assert after["late"] == before["late"]
    assert (after["orders"]["nodes"], after["orders"]["until"]) == (3, 7)


def test_a_writer_that_does_not_end_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is as it was."""
    monkeypatch.setattr(scale_writer, "LOCKED_WITHIN_S", 0.0)
    with (tmp_path / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="another command has"):
            put(tmp_path, one_more)

    assert read(tmp_path) == {}
    put(tmp_path, one_more)  # the lock of one that has ended is free
    assert read(tmp_path)["orders"].nodes == 1


def test_what_is_no_such_file_is_left_to_a_person(tmp_path: Path) -> None:
    """Other groups' orders may be in it."""
    (tmp_path / NAME).write_text('{"orders": ', "utf-8")

    with pytest.raises(ScaleFileError, match=f"{NAME}: expected JSON"):
        put(tmp_path, one_more)
    assert (tmp_path / NAME).read_text("utf-8") == '{"orders": '


def test_a_decision_against_it_leaves_the_file_and_no_lock(tmp_path: Path) -> None:
    """The next writer need not wait."""

    def refuse(_orders: Mapping[str, Scale]) -> tuple[str, Scale]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        put(tmp_path, refuse)
    assert read(tmp_path) == {}
    put(tmp_path, one_more)


def test_a_write_that_fails_leaves_the_order_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a file is never there, under whatever name."""
    put(tmp_path, one_more)

    def no_room(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        put(tmp_path, one_more)

    assert read(tmp_path)["orders"].nodes == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, LOCK]


def test_a_writer_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    """What it has left beside the file is written anew."""
    (tmp_path / f"{NAME}.new").write_text("half", "utf-8")

    put(tmp_path, one_more)

    assert read(tmp_path)["orders"].nodes == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, LOCK]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Another user may have put it there: it is not read, and so nothing is written."""
    (tmp_path / "elsewhere").write_text("{}", "utf-8")
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ScaleFileError, match="cannot read"):
        put(tmp_path, one_more)
    assert (tmp_path / "elsewhere").read_text("utf-8") == "{}"


def test_a_directory_that_is_missing_is_not_made(tmp_path: Path) -> None:
    """It would be the operator's, and nodes of another user could not write there."""
    with pytest.raises(FileNotFoundError):
        put(tmp_path / "run", one_more)
    assert not (tmp_path / "run").exists()
