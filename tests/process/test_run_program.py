"""A program that an operator's command starts in the place of a node."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm_event_listener.ctl.dead_letters import run_program
from swarm_event_listener.ctl.sources.node_program import NodeProgram
from swarm_event_listener.ctl.sources.state import StateError
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

WAITS_FOR_INT = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: (print("ended in order"), sys.exit(1)))
print("waits", flush=True)
while True:
    signal.pause()
"""
RUNS_IT = """
import sys
from pathlib import Path
from swarm_event_listener.ctl.dead_letters import run_program
from swarm_event_listener.ctl.sources.node_program import NodeProgram
program = NodeProgram(
    python=sys.executable, folder=Path("/"), config=Path("/x"), environ={}, uid=None
)
print("exit", run_program(["-c", sys.argv[1]], program))
"""


def program(
    folder: Path, uid: int | None = None, python: str = "/bin/sh"
) -> NodeProgram:
    """Return how a node is started there; a shell is quicker than Python."""
    return NodeProgram(
        python=python,
        folder=folder,
        config=folder / "swarm.toml",
        environ={"WORD": "told"},
        uid=uid,
    )


def test_it_works_where_and_as_a_node_works(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its folder, its environment; its exit code is told, and its output seen."""
    words = ["-c", "pwd; echo $WORD; exit 7"]

    assert run_program(words, program(tmp_path)) == 7
    assert capfd.readouterr().out == f"{tmp_path}\ntold\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_becomes_the_user_of_the_nodes(capfd: pytest.CaptureFixture[str]) -> None:
    """Who may change the code that is run; none of root's groups is left."""
    user = pwd.getpwnam("nobody")
    words = ["-c", "id -u; id -g; id -G"]

    assert run_program(words, program(Path("/"), uid=user.pw_uid)) == 0
    uid, gid, groups = capfd.readouterr().out.splitlines()
    assert (int(uid), int(gid)) == (user.pw_uid, user.pw_gid)
    assert 0 not in map(int, groups.split())


def test_ctrl_c_is_the_programs_to_obey() -> None:
    """It has to end a batch first: whoever has started it waits for that."""
    with subprocess.Popen(
        [sys.executable, "-c", RUNS_IT, WAITS_FOR_INT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=20.0)

    assert told == "ended in order\nexit 1\n"
    assert process.returncode == 0


def test_an_interpreter_out_of_reach_is_replaced_by_ours(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another user's virtual environment may be closed to us."""
    closed = tmp_path / "python"
    closed.touch(mode=0o600)
    words = ["-c", "import sys; print(sys.executable)"]

    assert run_program(words, program(tmp_path, python=str(closed))) == 0
    assert capfd.readouterr().out == f"{sys.executable}\n"


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    """A virtual environment may be gone since the nodes were started."""
    with pytest.raises(StateError, match="cannot start /absent/python"):
        run_program(["-V"], program(tmp_path, python="/absent/python"))
