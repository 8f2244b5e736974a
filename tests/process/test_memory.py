"""Memory readings, compared with psutil's and with what a process really holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import psutil
import pytest

from swarm_event_listener.supervisord import memory
from swarm_event_listener.supervisord.memory import (
    COSTLY_EVERY_S,
    Gauge,
    MemoryUnreadableError,
    Metric,
    descendants,
    read_memory,
)
from tests.eventually import eventually

_MB = 2**20
_HOLDS_64_MB = "data = bytearray(64 << 20); print('ready', flush=True); input()"
_HAS_A_CHILD = (
    "import subprocess, sys;"
    f"child = subprocess.Popen([sys.executable, '-c', {_HOLDS_64_MB!r}],"
    " stdin=subprocess.PIPE);"
    "input(); child.communicate()"
)


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that runs the given code and has said that it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert _stream(running.stdout).readline() == b"ready\n"
        yield running
        _stream(running.stdin).close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


@pytest.mark.parametrize("process", [_HOLDS_64_MB], indirect=True)
@pytest.mark.parametrize("metric", ["rss", "pss", "uss"])
def test_readings_are_those_of_psutil(
    process: subprocess.Popen[bytes], metric: Metric
) -> None:
    """Each metric counts what a process holds, and agrees with psutil."""
    expected = getattr(psutil.Process(process.pid).memory_full_info(), metric)

    read_bytes = read_memory(process.pid, metric)

    assert read_bytes is not None
    assert read_bytes > 64 * _MB
    assert abs(read_bytes - expected) < _MB


@pytest.mark.parametrize("process", [_HAS_A_CHILD], indirect=True)
def test_children_are_counted_where_asked(process: subprocess.Popen[bytes]) -> None:
    """The child's 64 MB are part of the sum and not of the process's own reading."""
    own_bytes = read_memory(process.pid)
    all_bytes = read_memory(process.pid, with_children=True)

    assert own_bytes is not None
    assert all_bytes is not None
    assert all_bytes - own_bytes > 64 * _MB
    assert descendants(process.pid) == memory._psutil_descendants(process.pid)


@pytest.mark.parametrize("process", [_HOLDS_64_MB], indirect=True)
@pytest.mark.parametrize("metric", ["rss", "pss", "uss"])
def test_what_is_dead_has_no_memory(
    process: subprocess.Popen[bytes], metric: Metric
) -> None:
    """A zombie holds nothing, and a process that is gone cannot be read: both None."""
    process.kill()
    eventually(
        lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE,
        describe="a zombie",
    )
    assert read_memory(process.pid, metric) is None
    assert memory._psutil_read(process.pid, metric) is None

    process.wait()
    assert read_memory(process.pid, metric) is None
    assert memory._psutil_read(process.pid, metric) is None
    assert descendants(process.pid) == []


@pytest.mark.parametrize("metric", ["rss", "pss", "uss"])
def test_without_proc_psutil_is_asked(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other platforms get the same figures."""
    expected = read_memory(os.getpid(), metric)
    monkeypatch.setattr(memory, "_HAS_PROC", False)

    read_bytes = read_memory(os.getpid(), metric)

    assert expected is not None
    assert read_bytes is not None
    assert abs(read_bytes - expected) < 2 * _MB


def test_what_may_not_be_read_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A rule that silently never applies would be worse than an error."""

    def forbidden(_pid: int, _metric: Metric) -> int:
        raise PermissionError

    monkeypatch.setattr(memory, "_rollup_bytes", forbidden)

    with pytest.raises(MemoryUnreadableError, match='memory_metric = "rss"'):
        read_memory(os.getpid(), "pss")


# --- the gauge ------------------------------------------------------------------------


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Give the readings that a process has; they can be set."""
    values = {"rss": 100, "pss": 60}

    def read(_pid: int, metric: Metric, *, with_children: bool) -> int | None:
        assert not with_children
        return values.get(metric)

    monkeypatch.setattr(memory, "read_memory", read)
    return values


def test_the_costly_reading_is_saved_while_rss_is_within_the_limit(
    readings: dict[str, int],
) -> None:
    """Pss is never more than rss: within the limit the cheap reading will do."""
    del readings["pss"]
    gauge = Gauge("pss", with_children=False, limit_bytes=100)

    assert gauge.read(7, now_s=1000.0) == 100


def test_the_costly_reading_decides_beyond_it_and_is_taken_rarely(
    readings: dict[str, int],
) -> None:
    """Between two costly readings there is none: a cheap one would be too high."""
    gauge = Gauge("pss", with_children=False, limit_bytes=99)

    assert gauge.read(7, now_s=1000.0) == 60
    assert gauge.read(7, now_s=1000.0 + COSTLY_EVERY_S - 0.1) is None
    assert gauge.read(8, now_s=1000.0) == 60
    readings["pss"] = 99
    assert gauge.read(7, now_s=1000.0 + COSTLY_EVERY_S) == 99
    gauge.forget_all_but({8})
    assert gauge.read(7, now_s=1000.0 + COSTLY_EVERY_S) == 99


def test_rss_is_read_each_time(readings: dict[str, int]) -> None:
    """The cheap metric needs no saving, with a limit or without."""
    gauge = Gauge("rss", with_children=False, limit_bytes=1)

    assert gauge.read(7, now_s=1000.0) == 100
    readings["rss"] = 120
    assert gauge.read(7, now_s=1000.0) == 120
