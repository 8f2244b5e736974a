"""What systemd is told, seen from its end of the socket."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm_event_listener.outlets.systemd import (
    HEARD_MAX_S,
    Notifier,
    Watchdog,
    watchdog_from,
)

SAID = 1_000.0


class Systemd:
    """systemd's end of the notify socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))

    def heard(self) -> list[str]:
        """Return what was said since the last look."""
        said: list[str] = []
        while True:
            try:
                said.append(self.socket.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return said


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """Yield a systemd at a path, and one at a name without a file."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@m{os.getpid()}"
    told = Systemd(name)
    yield told
    told.socket.close()


def watchdog_at(systemd: Systemd, usec: str = "60000000") -> Watchdog:
    """Return a watchdog as a unit with WatchdogSec= would have it."""
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": usec}
    notifier = Notifier.from_environment(environ)
    assert notifier is not None
    return watchdog_from(notifier, environ)


def test_ready_is_said_once_events_come(systemd: Systemd) -> None:
    """A listener that hears nothing supervises nothing."""
    watchdog = watchdog_at(systemd)
    watchdog.beat(now_s=SAID, heard_at_s=None)

    assert systemd.heard() == []
    watchdog.beat(now_s=SAID + 1, heard_at_s=SAID + 1)
    watchdog.beat(now_s=SAID + 2, heard_at_s=SAID + 1)
    assert systemd.heard() == ["READY=1\nWATCHDOG_USEC=60000000", "WATCHDOG=1"]


def test_the_watchdog_is_fed_at_half_its_time_at_the_latest(systemd: Systemd) -> None:
    """Whatever a tick comes to, no two are further apart, and not each second."""
    watchdog = watchdog_at(systemd)
    said_at_s = []
    for tick in range(600):
        now_s = SAID + tick * 1.01
        watchdog.beat(now_s=now_s, heard_at_s=now_s)
        if "WATCHDOG=1" in systemd.heard():
            said_at_s.append(now_s)

    gaps_s = [b - a for a, b in itertools.pairwise(said_at_s)]
    assert 20 < max(gaps_s) <= 30
    assert len(said_at_s) < 30


def test_nothing_is_said_while_no_event_comes(systemd: Systemd) -> None:
    """That is how a hung supervisord is found; when it is back, so is the word."""
    watchdog = watchdog_at(systemd, "4000000")
    watchdog.beat(now_s=SAID, heard_at_s=SAID)
    watchdog.beat(now_s=SAID + HEARD_MAX_S, heard_at_s=SAID)
    assert systemd.heard()[1:] == ["WATCHDOG=1"] * 2

    for tick in range(60):
        watchdog.beat(now_s=SAID + HEARD_MAX_S + 0.1 + tick, heard_at_s=SAID)
    assert systemd.heard() == []

    watchdog.beat(now_s=SAID + 80, heard_at_s=SAID + 80)
    assert systemd.heard() == ["WATCHDOG=1"]


def test_a_listener_that_ends_as_asked_leaves_the_watchdog_off(
    systemd: Systemd,
) -> None:
    """An operator's stop of the listener must not end the nodes."""
    watchdog_at(systemd).rest()

    assert systemd.heard() == ["WATCHDOG_USEC=0"]


@pytest.mark.parametrize("usec", ["", "0", "x", "-1"])
def test_a_unit_without_a_watchdog_hears_only_ready(
    systemd: Systemd, usec: str
) -> None:
    """WATCHDOG_USEC is absent without WatchdogSec=, and may be nonsense."""
    watchdog = watchdog_at(systemd, usec)
    for tick in range(100):
        watchdog.beat(now_s=SAID + tick, heard_at_s=SAID + tick)
    watchdog.rest()

    assert systemd.heard() == ["READY=1"]


def test_ready_is_said_again_until_it_was_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A systemd that is not there is said once and takes nothing down with it."""
    address = str(tmp_path / "late")
    notifier = Notifier(address)
    watchdog = Watchdog(notifier, timeout_s=None)
    for tick in range(5):
        watchdog.beat(now_s=SAID + tick, heard_at_s=SAID + tick)
    assert caplog.text.count("systemd_unreachable") == 1

    systemd = Systemd(address)
    watchdog.beat(now_s=SAID + 5, heard_at_s=SAID + 5)
    assert systemd.heard() == ["READY=1"]
    systemd.socket.close()


def test_a_full_socket_does_not_block(systemd: Systemd) -> None:
    """The listener goes on when systemd does not read."""
    notifier = Notifier(systemd.address)

    assert not all(notifier.send("WATCHDOG=1") for _ in range(100_000))


def test_a_watchdog_that_cannot_be_fed_in_time_is_said(
    systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    """A tick is a second: half of the time must be more than that."""
    watchdog_at(systemd, "1000000")

    assert "watchdog_too_short s=1" in caplog.text


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_outside_of_systemd_there_is_no_notifier(address: str) -> None:
    """No socket, or one that cannot be spoken to."""
    assert Notifier.from_environment({"NOTIFY_SOCKET": address}) is None
    assert Notifier.from_environment({}) is None
