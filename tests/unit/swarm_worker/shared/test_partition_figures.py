"""How far behind a node's partitions are, as its file says it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from swarm_worker.node.slot import slot_path
from swarm_worker.process import json_file
from swarm_worker.shared.state_files.partition_figures import (
    NodeFigures,
    NotKnownError,
    PartitionFigures,
    figures,
    path_of,
    read,
)

BEHIND = PartitionFigures(
    topic="orders", partition=4, kafka_group="billing", lag=6236, oldest_ms=62_360
)
TOLD = NodeFigures(pid=7, at_ms=990_000, partitions=(BEHIND,))
NODE = "w:w_00"


def put(folder: Path, told: NodeFigures = TOLD, node: str = NODE) -> Path:
    """Write a file as a node does."""
    path = path_of(folder, node)
    json_file.replace(path, told.as_json())
    return path


def why_not(*folders: Path, pid: int = 7) -> NotKnownError:
    """Return why nothing is known at 1000 s."""
    with pytest.raises(NotKnownError) as refused:
        read(folders, NODE, pid=pid, now_s=1000.0)
    return refused.value


def test_what_a_node_writes_is_read_back(tmp_path: Path) -> None:
    """What is not known stays so."""
    put(tmp_path)

    assert read([tmp_path], NODE, pid=7, now_s=1000.0) == TOLD
    assert json.loads(path_of(tmp_path, NODE).read_text("utf-8")) == {
        "pid": 7,
        "at_ms": 990_000,
        "partitions": [
            {
                "topic": "orders",
                "partition": 4,
                "kafka_group": "billing",
                "lag": 6236,
                "oldest_ms": 62_360,
                "lso_behind_ms": None,
            }
        ],
    }


@pytest.mark.parametrize("node", ["w:w_00", "w.1:ü/ö", "g:" + "λ" * 40, "n" * 300])
def test_the_file_stands_beside_the_slot(node: str) -> None:
    """Whatever supervisord calls the node: the writer knows its slot's file alone."""
    slot = slot_path(Path("run"), node)

    assert path_of(Path("run"), node) == slot.with_suffix(".partitions")


def test_files_of_other_versions_are_read() -> None:
    """More fields may come, and what is missing is not known: not 0."""
    least = {"topic": "orders", "partition": 4, "rack": "b"}
    text = json.dumps({"v": 2, "pid": 7, "at_ms": 1, "partitions": [least]})

    (found,) = figures(text).partitions
    assert found == PartitionFigures(topic="orders", partition=4, kafka_group="")
    assert found.lag is None


@pytest.mark.parametrize("lag", [None, "7", True, 0.5, [7]])
def test_a_figure_that_is_no_number_is_not_known(lag: object) -> None:
    """Least of all is it 0."""
    told = TOLD.as_json()
    told["partitions"][0]["lag"] = lag

    assert figures(json.dumps(told)).partitions == (replace(BEHIND, lag=None),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"pid": 7, "at_ms": 1',
        '{"pid": 7, "at_ms": 1, "partitions": 3}',
        '{"pid": 7, "at_ms": 1, "partitions": [3]}',
        '{"pid": 7, "at_ms": 1, "partitions": [{"topic": "t", "partition": "3"}]}',
        '{"pid": 7, "at_ms": NaN, "partitions": []}',
        "\udc80",
    ],
)
def test_what_is_no_such_file_tells_nothing(text: str, tmp_path: Path) -> None:
    """Not even that the node holds no partitions."""
    path = path_of(tmp_path, NODE)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    assert str(why_not(tmp_path)) == f"{path} is not what a node writes"


def test_figures_of_another_process_are_not_those_of_this_one(tmp_path: Path) -> None:
    """What it held was handed on meanwhile."""
    path = put(tmp_path)

    said = str(why_not(tmp_path, pid=8))
    assert said == f"{path} is of pid 7, and pid 8 has written none yet"


def test_a_file_from_before_the_machine_started_is_not_believed(tmp_path: Path) -> None:
    """Its pid may be anybody's now; what is replaced while it is read is believed."""
    path = put(tmp_path, replace(TOLD, at_ms=1_001_001))
    assert str(why_not(tmp_path)) == f"{path} is from before the machine started"

    put(tmp_path, replace(TOLD, at_ms=1_001_000))
    assert read([tmp_path], NODE, pid=7, now_s=1000.0).at_ms == 1_001_000


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    """A node of an older version writes none."""
    said = str(why_not(tmp_path, tmp_path / "run"))

    looked_for = f"no {path_of(tmp_path, NODE)} or {path_of(tmp_path / 'run', NODE)}: "
    assert said.startswith(looked_for)


def test_any_of_several_directories_may_have_it(tmp_path: Path) -> None:
    """What a node has left where it worked before does not hide its file of now."""
    former, now = tmp_path / "former", tmp_path / "now"
    former.mkdir()
    now.mkdir()
    put(former, replace(TOLD, pid=6))
    put(now)

    assert read([former, now], NODE, pid=7, now_s=1000.0) == TOLD
    assert "is of pid 6" in str(why_not(former, tmp_path / "none"))


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can be said who may: the reason is no text alone."""
    path = put(tmp_path)

    def refuse(*_: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert why_not(tmp_path).forbidden == path
    assert why_not(tmp_path, pid=8).forbidden is None


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(tmp_path: Path) -> None:
    """The node's user may have put it there for root to read."""
    path = path_of(tmp_path, NODE)
    path.symlink_to(put(tmp_path, node="w:other"))
    assert str(why_not(tmp_path)).startswith(f"cannot read {path}: ")

    path.unlink()
    os.mkfifo(path)
    assert str(why_not(tmp_path)) == f"{path} is not what a node writes"
