"""``swarm-demo`` as a stranger runs it, and however it ends."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import suppress
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


def environ(temporary: Path) -> dict[str, str]:
    """Return the environment of a demo that writes to a directory of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}


def start(temporary: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a demo; its story goes to a file, so that no pipe can fill."""
    return subprocess.Popen(
        [sys.executable, "-m", "swarm_worker.demo", *flags],
        cwd=temporary,
        env=environ(temporary),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(temporary: Path) -> list[str]:
    """Return the command lines of all processes that have this TMPDIR."""
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
    """Whether neither a process nor a file is left."""
    return not processes_of(temporary) and not list(temporary.iterdir())


def in_terminal(temporary: Path) -> tuple[int, str]:
    """Run a demo in a terminal of 100 columns; return its exit code and output."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
    demo = subprocess.Popen(
        [sys.executable, "-m", "swarm_worker.demo"],
        cwd=temporary,
        env={**environ(temporary), "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with suppress(OSError):  # EIO once the last writer is gone
        while some := os.read(master, 4096):
            shown += some
    os.close(master)
    return demo.wait(), shown.decode()


@pytest.mark.timeout(150)
def test_two_demos_side_by_side_find_all_four_faults_and_lose_nothing(
    temporary: Path,
) -> None:
    """Exit 0, the four statuses by name, nothing lost, nothing left behind.

    One is looked at in a terminal, where the operator's own table is; the other one
    tells its story in plain lines.
    """
    told = start(temporary, "--json")
    code, shown = in_terminal(temporary)
    summary, story = told.communicate(timeout=140)
    figures = json.loads(summary)

    assert (code, told.returncode) == (0, 0), shown + story
    assert [act["status"] for act in figures["faults"]] == [2, 3, 1, -1]
    assert (figures["lost"], figures["complaints"]) == (0, [])
    assert figures["processed"] == figures["produced"] > 1000

    assert story.count("Found: status") == 4
    assert "status -1, node_report_timeout" in story
    assert re.search(r" s    produced \d+, processed \d+; swarm_demo: \d", story)
    assert "\x1b" not in story

    assert "$ supervisorctl swarm status" in shown
    for heading in ("NODE", "HEALTH", "RESTARTS"):
        assert heading in shown
    assert "1 (2)" in shown  # one restart, for status 2
    assert "lost 0 " in shown
    assert "OK: each fault was found" in shown
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
        lambda: any(file.stat().st_size for file in temporary.glob("*/processed")),
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


def test_a_supervisord_that_ends_is_said(temporary: Path) -> None:
    """However it ends: exit 1, the ends of the logs and a reason, nothing left."""
    demo = start(temporary)
    eventually(
        lambda: any(file.stat().st_size for file in temporary.glob("*/processed")),
        within_s=30,
        describe="the nodes consume",
    )
    (pid_file,) = temporary.glob("*/supervisord.pid")

    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    _, complaint = demo.communicate(timeout=30)

    assert demo.returncode == 1
    assert "--- swarm_event_listener.log ---" in complaint
    assert complaint.endswith("swarm-demo: supervisord has ended, the demo too\n")
    eventually(
        lambda: is_clean(temporary),
        within_s=30,
        describe=f"all is cleared up; left: {processes_of(temporary)}",
    )


def test_an_audience_that_leaves_ends_it(temporary: Path) -> None:
    """As in ``swarm-demo | head``: no traceback, nothing left."""
    demo = start(temporary)
    assert demo.stdout is not None
    assert "A producer sends" in demo.stdout.readline()
    demo.stdout.close()

    assert demo.wait(timeout=60) == 1
    assert demo.stderr is not None
    assert demo.stderr.read() == ""
    demo.stderr.close()
    assert is_clean(temporary)


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
