"""With what a program of the nodes' is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swarm_event_listener.ctl.sources.node_program import NodeProgram, program_of
from swarm_event_listener.ctl.sources.place import Running
from swarm_event_listener.ctl.sources.state import StateError

OWN = "/own/python"


def node(command: str, name: str = "w_00", **fields: Any) -> dict[str, Any]:
    """Return a node as supervisord tells of it."""
    told = {"group": "w", "name": name, "command": command, "directory": "none"}
    return {**told, "inuse": True, "uid": "none", **fields}


def found(
    folder: Path,
    *nodes: dict[str, Any],
    name: str | None = None,
    conf: Path | None = None,
    environ: dict[str, str] | None = None,
    uid: int | None = None,
) -> NodeProgram:
    """Return how nodes are started."""
    running = Running(configs=nodes, folder=folder, environ=environ, uid=uid)
    return program_of(name, running, conf, {"PATH": str(folder / "bin")}, OWN)


def script(folder: Path, text: str) -> Path:
    """Write an installed ``swarm-worker``."""
    path = folder / "bin" / "swarm-worker"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("#!/v/bin/python3.12\nimport sys\n", "/v/bin/python3.12"),
        ("#!/v/bin/python -I\n", "/v/bin/python"),
        ("#!/bin/sh\n'''exec' \"/long/python\" \"$0\" \"$@\"\n", "/long/python"),
        ("#!/bin/sh\nexec docker run\n#/no/bin/python \n", OWN),
        ("", OWN),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "command", ["swarm-worker a:b", "{}/bin/swarm-worker a:b", "sh -c 'swarm-worker a'"]
)
def test_its_interpreter_is_that_of_its_script(
    tmp_path: Path, command: str, text: str, python: str
) -> None:
    """Looked up in the node's PATH; ours where the script names none."""
    script(tmp_path, text)

    assert found(tmp_path, node(command.format(tmp_path))).python == python


@pytest.mark.parametrize(
    ("command", "python"),
    [
        ("/v/bin/python -m swarm_worker a:b", "/v/bin/python"),
        ("bin/python3 -u -m swarm_worker a:b", "{}/bin/python3"),
        ("python3 -m swarm_worker a:b", "python3"),
        ("nice swarm-worker a:b 'unclosed", OWN),
        ("/absent/swarm-worker a:b", OWN),
        ("wrapper swarm-worker a:b", OWN),
    ],
)
def test_or_that_of_its_command(tmp_path: Path, command: str, python: str) -> None:
    """As it is started, relative to where it works."""
    told = found(tmp_path, node(command))

    assert told.python == python.format(tmp_path)


def test_it_works_where_a_node_works(tmp_path: Path) -> None:
    """With the same file."""
    told = found(tmp_path, node("swarm-worker a:b --config=x.toml", directory="app"))

    assert (told.folder, told.config) == (tmp_path / "app", tmp_path / "app/x.toml")
    assert found(tmp_path, node("swarm-worker a:b")).config == tmp_path / "swarm.toml"


def test_its_environment_is_supervisords_and_what_that_adds(tmp_path: Path) -> None:
    """Where we may see that; else ours."""
    conf = tmp_path / "supervisord.conf"
    conf.write_text(
        "[supervisord]\n[program:w]\ncommand=swarm-worker a:b\n"
        'process_name=w_00\nenvironment=PASSWORD="%(ENV_SECRET)s"\n',
        "utf-8",
    )
    told = found(tmp_path, node("swarm-worker"), conf=conf, environ={"SECRET": "s"})

    assert told.environ == {"SECRET": "s", "PASSWORD": "s"}
    assert found(tmp_path, node("swarm-worker")).environ == {
        "PATH": str(tmp_path / "bin")
    }


def test_its_user_is_the_nodes_or_supervisords(tmp_path: Path) -> None:
    """Where none is set it runs as supervisord does."""
    assert found(tmp_path, node("swarm-worker", uid=33), uid=5).uid == 33
    assert found(tmp_path, node("swarm-worker"), uid=5).uid == 5
    assert found(tmp_path, node("swarm-worker")).uid is None


def test_nodes_that_differ_have_to_be_named(tmp_path: Path) -> None:
    """In their configuration; not where a thousand have the same."""
    one = node("swarm-worker a:b --config a.toml")
    same = node("swarm-worker c:d --config a.toml", "w_01")
    other = node("swarm-worker a:b --config b.toml", "w_02")

    assert found(tmp_path, one, same).config == tmp_path / "a.toml"
    with pytest.raises(StateError, match=r"--node NODE \.\.\., such as w:w_00, w:w_02"):
        found(tmp_path, one, same, other)
    for name in ("w:w_02", "w_02"):
        assert found(tmp_path, one, other, name=name).config == tmp_path / "b.toml"
    with pytest.raises(StateError, match="w_9"):
        found(tmp_path, one, name="w_9")


def test_what_is_no_node_is_not_asked(tmp_path: Path) -> None:
    """A removed program is told of until the next update."""
    removed = node("swarm-worker a:b --config a.toml", inuse=False)

    with pytest.raises(
        StateError, match=r"python -m swarm_worker\.admin --config FILE"
    ):
        found(tmp_path, removed, node("swarm-event-listener", "l"), node("cat", "c"))
