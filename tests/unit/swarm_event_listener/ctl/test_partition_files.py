"""Where nodes keep the files of their partitions, and who may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm_event_listener.ctl.sources.node_configs import NodeConfigs
from swarm_event_listener.ctl.sources.partition_files import PartitionFiles
from swarm_event_listener.ctl.sources.place import Place, Running
from swarm_worker.process import json_file
from swarm_worker.shared.state_files.partition_figures import NotKnownError, path_of
from tests.operators import figures

NODE = "w:w_00"


def files(
    folder: Path, command: str, *, directory: str = "none", conf: Path | None = None
) -> PartitionFiles:
    """Return the files of a node of that command, and a listener beside it."""
    config = {"group": "w", "name": "w_00", "command": command, "directory": directory}
    running = Running(configs=[config], folder=folder)
    place = Place(directory=folder / "listener")
    configs = NodeConfigs(lambda: running, conf, {"X": "x"})
    return PartitionFiles(configs, lambda: place, lambda: 1000.0)


def put(directory: Path, pid: int = 7) -> Path:
    """Write the file of the node."""
    directory.mkdir(exist_ok=True, parents=True)
    path = path_of(directory, NODE)
    json_file.replace(path, figures("G orders/0 5", pid=pid).as_json())
    return path


@pytest.mark.parametrize(
    ("command", "directory"),
    [
        ("swarm-worker a:b", "run"),
        ("swarm-worker a:b --config own.toml", "own"),
        ("swarm-worker a:b --config=sub/x.toml --state-dir state", "state"),
        ("/bin/sh -c 'exec swarm-worker a:b --state-dir state'", "state"),
        ("swarm-worker a:b --config absent.toml", "listener"),
        ("./start-a-node", "run"),
        ("./start-another", "listener"),
    ],
)
def test_the_file_is_where_the_nodes_command_says(
    tmp_path: Path, command: str, directory: str
) -> None:
    """Or its swarm.toml, or else where the listener works: a script may start it."""
    (tmp_path / "swarm.toml").write_text("", "utf-8")
    (tmp_path / "own.toml").write_text(
        '[worker]\nstate_dir = "own"\nmistyped = 1\n', "utf-8"
    )
    put(tmp_path / directory)

    (found,) = files(tmp_path, command).read(NODE, 7).partitions
    assert found.lag == 5
    with pytest.raises(NotKnownError):
        files(tmp_path / "elsewhere", command).read(NODE, 7)


def test_a_node_of_another_folder_has_its_state_there(tmp_path: Path) -> None:
    """Relative names are relative to the program's directory."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "swarm.toml").write_text("", "utf-8")
    put(tmp_path / "app" / "run")

    found = files(tmp_path, "swarm-worker a:b", directory="app").read(NODE, 7)
    assert found.pid == 7
    with pytest.raises(NotKnownError):
        files(tmp_path, "swarm-worker a:b").read(NODE, 7)


def test_what_a_file_adds_to_the_nodes_environment_counts(tmp_path: Path) -> None:
    """supervisord does not tell that."""
    (tmp_path / "swarm.toml").write_text('[worker]\nstate_dir = "${X}"\n', "utf-8")
    conf = tmp_path / "supervisord.conf"
    conf.write_text(
        "[supervisord]\n[program:w]\ncommand=swarm-worker a:b\nnumprocs=1\n"
        'process_name=w_%(process_num)02d\nenvironment=X="state"\n',
        "utf-8",
    )
    put(tmp_path / "state")
    put(tmp_path / "x", pid=8)

    assert files(tmp_path, "swarm-worker a:b", conf=conf).read(NODE, 7).pid == 7
    assert files(tmp_path, "swarm-worker a:b").read(NODE, 8).pid == 8
    conf.write_text("[program:w\n", "utf-8")
    assert files(tmp_path, "swarm-worker a:b", conf=conf).read(NODE, 8).pid == 8


def test_a_node_that_supervisord_no_longer_tells_of(tmp_path: Path) -> None:
    """Its group was removed a moment ago, or the configuration cannot be had."""
    put(tmp_path / "listener")
    unknown = PartitionFiles(
        NodeConfigs(Running, None, {}),
        lambda: Place(directory=tmp_path / "listener"),
        lambda: 1e3,
    )

    assert unknown.read(NODE, 7).pid == 7
    with pytest.raises(NotKnownError, match="is of pid 7, and pid 8 has written none"):
        unknown.read(NODE, 8)


@pytest.mark.parametrize(
    ("mode", "words"),
    [(0o640, "or as a member of group"), (0o600, "run supervisorctl as")],
)
def test_a_file_that_may_not_be_read_says_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, words: str
) -> None:
    """Its owner, and its group where it may."""
    path = put(tmp_path / "listener")
    path.chmod(mode)

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NotKnownError) as caught:
        files(tmp_path, "swarm-worker a:b").read(NODE, 7)

    assert str(caught.value).startswith(f"cannot read {path}: ")
    assert words in str(caught.value)
