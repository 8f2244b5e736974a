"""``swarm-demo`` as a stranger runs it, and however it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short directory that is the demo's TMPDIR."""
    folder = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(temporary: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a demo; its story goes to a file, so that no pipe can fill."""
    return subprocess.Popen(
        [sys.executable, "-m", "swarm_worker.demo", *flags],
        cwd=temporary,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(temporary: Path) -> list[str]:
    """Give the command lines of all processes that have this TMPDIR."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environ = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"TMPDIR={temporary}".encode() in environ and command:
            found.append(f"{process.name} {command.decode()}")
    return found


def is_clean(temporary: Path) -> bool:
    """Tell whether neither a process nor a file is left."""
    return not processes_of(temporary) and not list(temporary.iterdir())


@pytest.mark.timeout(150)
def test_two_demos_side_by_side_find_all_four_faults_and_lose_nothing(
    temporary: Path,
) -> None:
    """Exit 0, the four statuses by name, nothing lost, nothing left behind."""
    plain, told = start(temporary), start(temporary, "--json")
    text, _ = plain.communicate(timeout=140)
    figures = json.loads(told.communicate(timeout=140)[0])

    assert (plain.returncode, told.returncode) == (0, 0), text
    assert [act["status"] for act in figures["faults"]] == [2, 3, 1, -1]
    assert (figures["lost"], figures["complaints"]) == (0, [])
    assert figures["processed"] == figures["produced"] > 1000
    assert "status -1, node_report_timeout" in text
    assert "OK: each fault was found" in text
    assert is_clean(temporary)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_nothing_is_left_however_it_ends(
    temporary: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C, TERM and even KILL: no process and no file, soon after."""
    demo = start(temporary)
    eventually(
        lambda: any(temporary.glob("*/processed")),
        within_s=30,
        describe="the nodes consume",
    )

    demo.send_signal(number)

    assert demo.wait(timeout=30) == code
    eventually(
        lambda: is_clean(temporary),
        within_s=30,
        describe=f"all is cleared up; left: {processes_of(temporary)}",
    )
    demo.communicate()


def test_a_bounded_demo_ends_in_time_and_is_no_success(temporary: Path) -> None:
    """--seconds is kept, also where no fault's turn came; exit 1 says so."""
    demo = start(temporary, "--seconds", "9")
    text, _ = demo.communicate(timeout=30)

    assert demo.returncode == 1
    assert "The time is up." in text
    assert "FAILED: node 2 (hangs): its turn did not come" in text
    assert is_clean(temporary)


def test_a_kafka_that_is_not_there_is_said(temporary: Path) -> None:
    """One line, exit 1, nothing left."""
    demo = start(temporary, "--bootstrap", "127.0.0.1:1")
    _, complaint = demo.communicate(timeout=40)

    assert demo.returncode == 1
    assert complaint.startswith("swarm-demo: expected a Kafka at 127.0.0.1:1")
    assert len(complaint.splitlines()) == 1
    assert is_clean(temporary)
