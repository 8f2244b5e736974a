"""What handlers have started ends with their node, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from swarm_worker.node.slot import slot_path
from swarm_worker.process.offspring import Mark
from swarm_worker.process.processes import era, look_at, ticks
from tests.eventually import eventually
from tests.nodes import ROOT, SETTINGS, SUPERVISED, node
from tests.process import scenes
from tests.supervisord import Supervisord, is_alive, running_supervisord

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

NODE: Final = (
    "{python} -m swarm_worker parent:app --config {folder}/swarm.toml "
    "--state-dir {folder}/run --node %(process_num)d --nodes %(numprocs)d"
)
# Hands the signals on, and the exit code back.
WRAPPER: Final = """
"$@" & node=$!
trap 'kill -TERM $node' TERM
wait $node; wait $node; exit $?
"""


@contextmanager
def parents(
    children: str,
    *,
    nodes: int = 1,
    command: str = NODE,
    mark: Mark | None = None,
    **program: str,
) -> Iterator[Supervisord]:
    """Run nodes with children; supervisord's own KILL spares these."""
    lines = {
        "command": command,
        "numprocs": str(nodes),
        "directory": "{folder}/%(process_num)d",
        "environment": f'CHILDREN="{children}",PYTHONPATH="{ROOT}:{ROOT}/tests/apps"',
        "killasgroup": "false",
        "stopwaitsecs": "20",  # on a busy machine, too, the node's own end is the first
        **program,
    }

    def prepare(folder: Path) -> None:
        for number in range(nodes):
            (folder / str(number)).mkdir()
        (folder / "swarm.toml").write_text(SETTINGS, "utf-8")
        (folder / "wrapper").write_text(WRAPPER, "utf-8")
        if mark:
            (folder / "run").mkdir()
            slot_path(folder / "run", "w:w_00").write_bytes(mark.encode())

    section = scenes.program_section("w", **lines)
    with running_supervisord(section, prepare=prepare) as daemon:
        try:
            yield daemon
        finally:
            for number in range(nodes):
                for pid in told(daemon.folder / str(number)).values():
                    for kill in (os.killpg, os.kill):
                        with contextlib.suppress(ProcessLookupError):
                            kill(pid, signal.SIGKILL)


def told(folder: Path) -> dict[str, int]:
    """Return the children that a node has told of lately, by name."""
    try:
        lines = (folder / "children").read_text("ascii").splitlines()
    except FileNotFoundError:
        return {}
    return {name: int(pid) for name, pid in map(str.split, lines)}


def children(daemon: Supervisord, *names: str, node: int = 0) -> dict[str, int]:
    """Wait for a node's children; return their pids."""
    folder = daemon.folder / str(node)
    eventually(
        lambda: {*told(folder)} >= {*names},
        within_s=20,
        describe=f"children, log:\n{daemon.file(f'w_{node:02d}.log')}",
    )
    return told(folder)


def all_end(daemon: Supervisord, *pids: int) -> None:
    """Wait for the end of processes."""
    eventually(
        lambda: not any(map(is_alive, pids)),
        describe=f"end of {pids}, log:\n{daemon.file('w_00.log')}",
    )


def group_of(pid: int) -> set[int]:
    """Return all processes of a process group."""
    shown = subprocess.run(
        ["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    rows = [row.split() for row in shown.splitlines()]
    return {int(p) for p, g, stat in rows if int(g) == pid and "Z" not in stat}


def ended_with(daemon: Supervisord, code: int) -> None:
    """Wait until supervisord has reaped node 0 with a code."""
    says = {"EXITED", "STOPPED"}
    eventually(
        lambda: daemon.rpc.process("w:w_00").state in says,
        within_s=20,
        describe=f"end of the node, log:\n{daemon.file('w_00.log')}",
    )
    assert daemon.rpc.process("w:w_00").exit_code == code


def test_the_deadline_ends_the_group() -> None:
    """Also what forks all the time; a session of one's own is nobody's business."""
    kinds = "own_session,own_group,bare,forked,forks,waited_for"
    with parents(kinds, nodes=2) as daemon:
        mine = children(daemon, *kinds.split(","))
        others = children(daemon, "waited_for", node=1)
        pid = daemon.pid("w:w_00")
        assert pid is not None

        daemon.rpc.stop("w:w_00")
        ended_with(daemon, 2)

        all_end(daemon, *(mine[k] for k in mine if k != "own_session"))
        assert group_of(pid) == set()
        assert is_alive(mine["own_session"])
        assert all(map(is_alive, others.values()))
        log = daemon.file("w_00.log")
        assert f"bash:{mine['waited_for']}" in log.splitlines()[-1]
        assert "the handler saw" not in log  # it would be taken for done


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_next_node_ends_what_is_left(number: signal.Signals) -> None:
    """After a KILL from outside, the kernel's for want of memory, and a crash."""
    kinds = "own_session,bare,left,forks"
    with parents(kinds, nodes=2) as daemon:
        mine = children(daemon, *kinds.split(","))
        others = children(daemon, *kinds.split(","), node=1)
        pid = daemon.pid("w:w_00")
        assert pid is not None

        os.kill(pid, number)

        all_end(daemon, *(mine[k] for k in mine if k != "own_session"))
        eventually(lambda: group_of(pid) == set(), describe="an empty group")
        assert is_alive(mine["own_session"])
        assert all(map(is_alive, others.values()))
        eventually(
            lambda: "WARNING remains_ended processes=" in daemon.file("w_00.log"),
            describe="a line of the next node",
        )


@pytest.mark.parametrize("age", [-1, 0])
def test_a_number_that_came_round_again_is_left_alone(age: int) -> None:
    """The group that it names now was begun later than the node that is gone."""
    script = "sleep 60 & sleep 60"
    with subprocess.Popen(["/bin/bash", "-c", script], process_group=0) as stranger:
        try:
            found = look_at(stranger.pid)
            assert found
            mark = Mark(
                pid=4_000_000,  # of nobody: the leader is a shell around it
                group=stranger.pid,
                started=found.started + age,
                era=era(),
                seen=ticks(),
            )
            with parents("left", mark=mark) as daemon:
                children(daemon, "left")
                ended = "remains_ended" in daemon.file("w_00.log")

            assert ended == (age == 0)
            assert (stranger.poll() is None) == (age < 0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(stranger.pid, signal.SIGKILL)


def test_what_a_handler_left_ends_after_a_stop_in_order() -> None:
    """Once the node is gone, also where nobody follows it."""
    with parents("left,own_session") as daemon:
        mine = children(daemon, "left", "own_session")

        daemon.rpc.stop("w:w_00")
        ended_with(daemon, 0)

        all_end(daemon, mine["left"])
        assert is_alive(mine["own_session"])
        assert f"children_left processes=bash:{mine['left']}" in daemon.file("w_00.log")


def test_a_wrapper_is_spared_and_tells_the_exit_code() -> None:
    """supervisord knows no process but that."""
    wrapped = "bash {folder}/wrapper " + NODE
    with parents("left,waited_for", command=wrapped) as daemon:
        mine = children(daemon, "left", "waited_for")
        shell_pid = daemon.pid("w:w_00")

        os.kill(parent_of(mine["left"]), signal.SIGKILL)  # the shell has had its 9
        eventually(
            lambda: daemon.pid("w:w_00") not in {shell_pid, None},
            describe="another node",
        )
        all_end(daemon, *mine.values())

        eventually(
            lambda: told(daemon.folder / "0")["waited_for"] != mine["waited_for"],
            within_s=20,
            describe="children of the other node",
        )
        mine = told(daemon.folder / "0")
        daemon.rpc.stop("w:w_00")
        ended_with(daemon, 2)
        all_end(daemon, *mine.values())


def test_a_node_by_hand_ends_its_own_children_alone(tmp_path: Path) -> None:
    """Not its neighbours in the group, though supervisord is an ancestor."""
    (tmp_path / "swarm.toml").write_text(SETTINGS, "utf-8")
    script = (
        "sleep 60 & echo neighbour $! > neighbour; "
        f"{sys.executable} -m swarm_worker parent:app; echo ended with $? >&2"
    )
    environ = {
        **os.environ,
        **SUPERVISED,
        "CHILDREN": "waited_for",
        "PYTHONPATH": f"{ROOT}:{ROOT}/tests/apps",
    }
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            ["/bin/bash", "-c", script],
            cwd=tmp_path,
            env=environ,
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        ) as shell,
    ):
        try:
            eventually(lambda: "waited_for" in told(tmp_path), describe="a child")
            child = told(tmp_path)["waited_for"]
            neighbour = int((tmp_path / "neighbour").read_text("ascii").split()[1])

            os.kill(parent_of(child), signal.SIGTERM)

            assert shell.wait(20) == 0
            assert "ended with 2" in (tmp_path / "log").read_text("utf-8")
            assert not is_alive(child)
            assert is_alive(neighbour)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def parent_of(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text("ascii").split()[3])


def test_a_check_leaves_the_neighbours_alone(tmp_path: Path) -> None:
    """It has started nothing."""
    with subprocess.Popen(["sleep", "60"]) as neighbour:
        try:
            with node(tmp_path, "--check", app="parent:app") as it:
                assert it.await_end() == 0
            assert neighbour.poll() is None
        finally:
            neighbour.kill()
