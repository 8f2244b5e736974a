"""Nodes of another user, who has no way to supervisord's socket and to our state.

supervisord and the listener run as root, as they do from a package; the nodes as
``user=nobody``. A node needs nothing but the pipe that it is born with.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.awaits import await_heard, await_reports, await_restarted
from tests.eventually import eventually
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.swarms import Swarm
from tests.supervisord import ROOT

USER: Final = "nobody"
KNOCKING, HUNG = 0, 1
NODES: Final = 2
PYTHONS: Final = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
PATH: Final = f"{ROOT}:{sysconfig.get_path('purelib')}"

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root can start nodes as another user"
    ),
]


def can_start_a_node(python: str) -> bool:
    """Whether the user can: an interpreter in root's home is out of his reach."""
    try:
        done = subprocess.run(
            [
                python,
                "-c",
                "import swarm_worker.node.node, swarm_worker.kafka.consumer",
            ],
            check=False,
            capture_output=True,
            cwd="/",
            env={"PYTHONPATH": PATH},
            user=USER,
            extra_groups=[],
        )
    except OSError:
        return False
    return done.returncode == 0


def open_to_user(folder: Path) -> None:
    """Let the user read the configuration and make slots; the rest is root's."""
    folder.chmod(0o755)
    (folder / "slots").mkdir()
    shutil.chown(folder / "slots", USER)


@contextmanager
def swarm_of_another_user() -> Iterator[tuple[Swarm, Lives]]:
    """Run a swarm whose nodes all report."""
    python = next(filter(can_start_a_node, PYTHONS), None)
    if python is None:
        pytest.skip(f"{USER} can start none of {', '.join(PYTHONS)} with our packages")
    with scenes.watched_scene(
        nodes=NODES,
        command=scenes.NODE.replace("{python}", python),
        program={
            "user": USER,
            "directory": "{folder}",
            "environment": f'PYTHONPATH="{PATH}"',
        },
        prepare=open_to_user,
    ) as (swarm, lives):
        await_reports(swarm, NODES)
        yield swarm, lives


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[Swarm, Lives]]:
    """Run a swarm whose nodes are another user's."""
    with swarm_of_another_user() as both:
        yield both


def log(swarm: Swarm, node: int) -> str:
    """Return what a node wrote."""
    return swarm.daemon.file(f"w_{node:02d}.log")


def test_a_node_reaches_neither_socket_nor_state_and_reports_all_the_same(
    watched: tuple[Swarm, Lives],
) -> None:
    """It tries, as itself: the socket, the journal, its copy and the status."""
    swarm, _ = watched
    pid = swarm.tell(KNOCKING, fault="knock")
    told = eventually(
        lambda: re.search(r"^knocked (.*)$", log(swarm, KNOCKING), re.MULTILINE),
        describe="what came of knocking",
    )
    await_heard(swarm, 4 * NODES)

    assert told[1].split() == [
        f"uid={pwd.getpwnam(USER).pw_uid}",
        "socket=PermissionError",
        "journal.json=PermissionError",
        "journal.copy.json=PermissionError",
        "status.json=PermissionError",
    ]
    assert swarm.pid(KNOCKING) == pid
    assert scenes.records_of(swarm, KNOCKING) == []


def test_state_is_for_its_owner_alone_and_slots_are_the_users(
    watched: tuple[Swarm, Lives],
) -> None:
    """Whose directory it is decides nothing: each file is closed by itself, too."""
    swarm, _ = watched
    folder = swarm.daemon.folder
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [folder / "s", *(folder / "run").iterdir()]
    }

    assert modes == {
        "s": 0o700,
        "journal.json": 0o600,
        "journal.copy.json": 0o600,
        "journal.lock": 0o600,
        "status.json": 0o640,
    }
    for kind in ("slot", "id"):
        files = list((folder / "slots").glob(f"*.{kind}"))
        assert [file.owner() for file in files] == [USER] * NODES


def test_a_hung_node_of_another_user_is_restarted(
    watched: tuple[Swarm, Lives],
) -> None:
    """With the stacks in its log, under its user again, and never twice at once."""
    swarm, lives = watched
    other = swarm.pid(KNOCKING)
    old = swarm.tell(HUNG, fault="sleep")

    new = await_restarted(swarm, HUNG, than=old)
    await_reports(swarm, NODES)

    (record,) = scenes.records_of(swarm, HUNG)
    assert (record["pid"], record["status"]) == (old, 2)
    assert "most recent call first" in log(swarm, HUNG)
    assert Path(f"/proc/{new}").owner() == USER
    assert swarm.pid(KNOCKING) == other
    assert lives.overlaps == []


def test_no_node_of_another_user_outlives_supervisord() -> None:
    """Its tie to supervisord needs no right either."""
    with swarm_of_another_user() as (swarm, lives):
        swarm.daemon.process.kill()
        swarm.daemon.process.wait()

        eventually(
            lambda: not any(lives.alive(scenes.name_of(n)) for n in range(NODES)),
            within_s=5.0,
            describe="the end of the nodes",
        )
