"""A node whose stderr nobody reads goes on: its log waits, and nobody for its log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.eventually import eventually
from tests.nodes import ROOT, SETTINGS, SUPERVISED
from tests.process import scenes
from tests.supervisord import running_supervisord

pytestmark = pytest.mark.timeout(120)

# Lines of 4 kB: a pipe takes 16.
MANY: Final = 80
NODE: Final = (
    "{python} -m swarm_worker chatty:app --config {folder}/swarm.toml "
    "--state-dir {folder}/run --node %(process_num)d --nodes %(numprocs)d"
)


def handled(folder: Path, pid: int) -> int:
    """Return the last offset that a process has handled."""
    try:
        return int((folder / f"handled.{pid}").read_text("ascii") or 0)
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("own", [{}, {"OWN_LOGGING": "1"}])
def test_a_node_whose_log_nobody_reads_works_and_ends_in_order(
    tmp_path: Path, own: dict[str, str]
) -> None:
    """Also where the app brings its own logging; exit 0, and no wait without an end."""
    (tmp_path / "swarm.toml").write_text(SETTINGS, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "swarm_worker", "chatty:app"],
        cwd=tmp_path,
        env={
            **os.environ,
            **SUPERVISED,
            "PYTHONPATH": f"{ROOT}:{ROOT}/tests/apps",
            **own,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as node:
        try:
            eventually(
                lambda: handled(tmp_path, node.pid) >= MANY,
                within_s=30,
                describe="work beyond a full pipe",
            )
            node.send_signal(signal.SIGTERM)
            assert node.wait(10) == 0
            assert node.stderr
            text = node.stderr.read().decode()
        finally:
            node.kill()

    prefix = "theirs polled=" if own else " INFO polled="
    assert text.count(prefix) >= 15  # as far as the pipe took it


@pytest.mark.process
def test_nodes_go_on_while_supervisord_is_frozen() -> None:
    """Nothing of their logs is lost, and nobody is restarted for it."""

    def prepare(folder: Path) -> None:
        (folder / "swarm.toml").write_text(scenes.toml(), "utf-8")

    lines = {
        "command": NODE,
        "numprocs": "2",
        "directory": "{folder}",
        "environment": f'PYTHONPATH="{ROOT}:{ROOT}/tests/apps"',
    }
    section = scenes.program_section("w", **lines)
    with running_supervisord(section, prepare=prepare) as daemon:
        names = ("w:w_00", "w:w_01")
        eventually(
            lambda: all(handled(daemon.folder, daemon.pid(n) or 0) for n in names),
            within_s=30,
            describe="two nodes at work",
        )
        pids = [daemon.pid(name) or 0 for name in names]

        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            aims = [handled(daemon.folder, pid) + MANY for pid in pids]
            eventually(
                lambda: all(
                    handled(daemon.folder, pid) >= aim
                    for pid, aim in zip(pids, aims, strict=True)
                ),
                within_s=30,
                describe="work while supervisord is frozen",
            )
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)

        for number, aim in enumerate(aims):
            log = eventually(
                lambda number=number, aim=aim: (  # type: ignore[misc]  # bound at once
                    text
                    if f"polled={aim} " in (text := daemon.file(f"w_{number:02d}.log"))
                    else ""
                ),
                describe="the lines of the freeze",
            )
            told = [line for line in log.splitlines() if " polled=" in line]
            assert len(told) > aim
            assert "log_lines_dropped" not in log
        assert [daemon.pid(name) for name in names] == pids
