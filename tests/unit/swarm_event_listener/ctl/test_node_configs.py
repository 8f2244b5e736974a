"""How nodes are set up: what supervisord and the nodes' files tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarm_event_listener.ctl.sources.node_configs import ExitPolicy, NodeConfigs
from swarm_event_listener.ctl.sources.place import Place, Running
from swarm_event_listener.ctl.sources.scale import ScaleFiles

NODE = "w:late_00"


def configs(folder: Path, *, conf: Path | None = None, **fields: Any) -> NodeConfigs:
    """Return what is told of one node."""
    told = {
        "group": "w",
        "name": "late_00",
        "command": "swarm-worker a:b",
        "directory": "none",
        **fields,
    }
    return NodeConfigs(
        lambda: Running(configs=[told], folder=folder), conf, {"X": "five"}
    )


def conf_of(folder: Path, *lines: str) -> Path:
    """Write a configuration of supervisord."""
    path = folder / "supervisord.conf"
    section = ("[program:own]", "command=swarm-worker a:b", "numprocs=2", *lines)
    names = "process_name=late_%(process_num)02d"
    group = ("[group:w]", "programs=own")
    path.write_text("\n".join(["[supervisord]", *section, names, *group]), "utf-8")
    return path


def test_supervisord_tells_with_which_codes_a_node_stays_down(tmp_path: Path) -> None:
    """Its file alone tells whether it starts others again, and names the section."""
    told = configs(tmp_path, exitcodes=[78, 5]).exit_policy(NODE)
    assert told == ExitPolicy(section="program:late", exit_codes=(78, 5))

    conf = conf_of(tmp_path, "autorestart=true", "exitcodes=0")
    told = configs(tmp_path, conf=conf, exitcodes=[78]).exit_policy(NODE)
    assert told == ExitPolicy(
        section="program:own", exit_codes=(78,), autorestart="true"
    )


def test_where_supervisord_tells_nothing_its_file_does(tmp_path: Path) -> None:
    """Or nobody does: then nothing speaks against it."""
    conf = conf_of(tmp_path, "exitcodes=78,6")
    silent = NodeConfigs(Running, conf, {})
    assert silent.exit_policy(NODE) == ExitPolicy(
        section="program:own", exit_codes=(78, 6), autorestart="unexpected"
    )
    nobody = NodeConfigs(Running, None, {})
    assert nobody.exit_policy(NODE) == ExitPolicy(section="program:late")


@pytest.mark.parametrize(
    ("toml", "start_nodes"),
    [("", None), ("[worker]\nstart_nodes = 3\nmistyped = 1\n", 3), ("no", None)],
)
def test_how_many_run_without_an_order(
    tmp_path: Path, toml: str, start_nodes: int | None
) -> None:
    """As the node's own file says; all where that cannot be read."""
    (tmp_path / "swarm.toml").write_text(toml, "utf-8")
    files = ScaleFiles(configs(tmp_path), lambda: Place(directory=tmp_path))

    assert files.start_nodes(NODE) == start_nodes


def test_an_order_goes_where_the_node_looks(tmp_path: Path) -> None:
    """Its state directory; the listener's where a script hides the command."""
    (tmp_path / "swarm.toml").write_text('[worker]\nstate_dir = "own"\n', "utf-8")
    place = Place(directory=tmp_path / "listener")

    own = ScaleFiles(configs(tmp_path), lambda: place)
    hidden = ScaleFiles(configs(tmp_path / "x", command="./start"), lambda: place)
    assert own.directory(NODE) == tmp_path / "own"
    assert hidden.directory(NODE) == tmp_path / "listener"
    assert own.read(NODE) == {}
