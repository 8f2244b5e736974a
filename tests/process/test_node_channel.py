"""Reports cannot be forged, split, swallowed or held up by what user code does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm_worker.shared.report import FRAME_MIN_BYTES, State
from tests.eventually import eventually
from tests.nodes import ROOT, SETTINGS, SUPERVISED, node

TERM = signal.SIGTERM


@pytest.mark.parametrize("mood", ["forge", "close_stdout", "forge,close_stdout"])
def test_reports_go_on_whatever_is_done_to_stdout(tmp_path: Path, mood: str) -> None:
    """Prints, children and closed descriptors leave stdout to the reports."""
    with node(tmp_path, moods={"HANDLER": mood}) as it:
        it.await_logged("handled=3")
        seq = it.await_reported(State.RUNNING).seq
        eventually(lambda: it.reports[-1].seq > seq + 1, describe="more reports")
        it.send(TERM)
        assert it.await_end() == 0

    assert {report.pid for report in it.reports} == {it.process.pid}
    assert len(it.stdout) >= FRAME_MIN_BYTES * len(it.reports)
    if "forge" in mood:
        assert '"pid":66' in it.log


def test_a_reader_that_stands_still_does_not_hold_the_node_up(tmp_path: Path) -> None:
    """Reports are dropped and counted; handlers go on."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    try:
        while True:
            os.write(write_fd, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write_fd, True)
    with node(tmp_path, stdout=write_fd) as it:
        os.close(write_fd)
        assert it.stop_after("handled=20") == 0
    os.close(read_fd)

    assert int(it.log.rpartition("dropped_reports=")[2]) >= 2


def test_a_node_whose_reports_nobody_reads_is_an_orphan(tmp_path: Path) -> None:
    """Exit 3, though its parent lives and its handler hangs."""
    read_fd, write_fd = os.pipe()
    with node(tmp_path, moods={"HANDLER": "hang"}, stdout=write_fd) as it:
        os.close(write_fd)
        it.await_logged("now=HANDLER")
        os.close(read_fd)
        assert it.await_end() == 3

    assert "node_orphaned reason='nobody reads" in it.log


def test_one_pipe_for_both_is_refused(tmp_path: Path) -> None:
    """redirect_stderr=true: exit 78, and the line to change."""
    (tmp_path / "swarm.toml").write_text(SETTINGS)
    it = subprocess.run(
        [sys.executable, "-m", "swarm_worker", "moody:app"],
        cwd=tmp_path,
        env={**os.environ, **SUPERVISED, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/apps"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert it.returncode == 78
    assert it.stdout.count("\n") == 1
    assert "redirect_stderr=false" in it.stdout
