"""The swarm as a systemd service: the unit file, and what systemd is told."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.awaits import await_state
from tests.eventually import eventually
from tests.process.swarms import LISTENER, Swarm
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

UNIT = ROOT / "conf" / "systemd" / "kafka-swarm.service"
WATCHDOG_S = 4


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Yield systemd's end of the socket, with the environment of its service."""
    address = f"kafka-swarm-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{address}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{address}")
        monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG_S * 1_000_000))
        yield receiver


def hear(systemd: socket.socket) -> str:
    """Wait for the next word, for as long as systemd would; empty without one."""
    systemd.settimeout(WATCHDOG_S)
    try:
        return systemd.recv(4096).decode()
    except TimeoutError:
        return ""


def hear_until(systemd: socket.socket, word: str) -> None:
    """Wait until a word was said."""
    eventually(lambda: word in hear(systemd).split("\n"), within_s=30.0, describe=word)


@pytest.mark.timeout(120)
def test_a_hung_supervisord_is_no_longer_vouched_for(
    systemd: socket.socket, start_swarm: Callable[..., Swarm]
) -> None:
    """WATCHDOG=1 ends with supervisord's events, and systemd would end the unit."""
    swarm = start_swarm(nodes=1)
    hear_until(systemd, "READY=1")
    hear_until(systemd, "WATCHDOG=1")

    swarm.daemon.process.send_signal(signal.SIGSTOP)
    eventually(
        lambda: not hear(systemd), within_s=30.0, describe="systemd hears nothing"
    )
    assert "listener_unheard" not in swarm.log  # not merely because it ended

    swarm.daemon.process.send_signal(signal.SIGCONT)
    hear_until(systemd, "WATCHDOG=1")


@pytest.mark.timeout(120)
def test_a_listener_that_is_frozen_is_no_longer_vouched_for(
    systemd: socket.socket, start_swarm: Callable[..., Swarm]
) -> None:
    """The word comes from the loop itself."""
    swarm = start_swarm(nodes=1)
    hear_until(systemd, "WATCHDOG=1")

    os.kill(swarm.listener_pid(), signal.SIGSTOP)
    eventually(
        lambda: not hear(systemd), within_s=30.0, describe="systemd hears nothing"
    )
    os.kill(swarm.listener_pid(), signal.SIGCONT)
    hear_until(systemd, "WATCHDOG=1")


@pytest.mark.timeout(120)
def test_an_operators_stop_of_the_listener_leaves_the_nodes_alone(
    systemd: socket.socket, start_swarm: Callable[..., Swarm]
) -> None:
    """The watchdog is off until the listener is back; a killed one leaves it on."""
    swarm = start_swarm(nodes=1)
    hear_until(systemd, "WATCHDOG=1")
    swarm.kill_listener()
    hear_until(systemd, f"WATCHDOG_USEC={WATCHDOG_S * 1_000_000}")

    await_state(swarm.daemon, LISTENER, "RUNNING")
    swarm.daemon.rpc.stop(LISTENER)
    hear_until(systemd, "WATCHDOG_USEC=0")

    await_state(swarm.daemon, LISTENER, "STOPPED")
    swarm.daemon.rpc.start(LISTENER)
    hear_until(systemd, f"WATCHDOG_USEC={WATCHDOG_S * 1_000_000}")


def test_a_listener_that_cannot_begin_tells_systemd_why(
    systemd: socket.socket, tmp_path: Path
) -> None:
    """``systemctl status`` shows it while the start waits for READY."""
    ended = subprocess.run(
        [sys.executable, "-m", "swarm_event_listener", "--polling-ttl", "x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )

    assert ended.returncode == 78
    assert hear(systemd).startswith("STATUS=swarm-event-listener: --polling-ttl")


# --- the unit file --------------------------------------------------------------------


def unit_values() -> dict[str, str]:
    """Return the values of [Service]."""
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names as written
    unit.read_string(UNIT.read_text("utf-8"))
    return dict(unit["Service"])


def test_the_unit_leaves_time_and_lets_the_listener_speak() -> None:
    """Each of these undone costs messages or nodes."""
    service = unit_values()
    conf = (ROOT / "conf" / "supervisord.conf").read_text("utf-8")
    (stop_wait_s,) = [
        int(line.partition("=")[2])
        for line in conf.splitlines()
        if line.startswith("stopwaitsecs")
    ]

    assert int(service["TimeoutStopSec"]) > stop_wait_s
    assert int(service["TimeoutAbortSec"]) > stop_wait_s
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "all")
    assert (service["KillMode"], service["OOMPolicy"]) == ("mixed", "continue")
    assert int(service["WatchdogSec"]) >= 60


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    """As systemd itself reads it, with the program of this installation."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here: apt-get install systemd")
    text = UNIT.read_text("utf-8")
    installed = "/srv/kafka-swarm/.venv/bin"
    assert installed in text
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(installed, str(Path(sys.executable).parent)), "utf-8")

    verified = subprocess.run(
        [analyze, "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
