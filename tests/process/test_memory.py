"""Memory readings, compared with what processes really hold."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import IO

import psutil
import pytest

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.node import appeared
from swarm_event_listener.supervisord import memory
from swarm_event_listener.supervisord.log_throttle import LogThrottle
from swarm_event_listener.supervisord.memory import (
    COSTLY_EVERY_S,
    Children,
    MemoryReader,
    MemoryUnreadableError,
    Metric,
    bytes_of,
    children_of_all,
    descendants,
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
    """Yield a process that runs the given code and has said that it is ready."""
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


def read(
    pid: int, metric: Metric = "rss", *, with_children: bool = False
) -> int | None:
    """Read the memory of a process that is beyond its limit."""
    reader = MemoryReader(metric, with_children=with_children, limit_bytes=0)
    return reader.read(pid, now_s=1000.0, children=children_of_all)


@pytest.mark.parametrize("process", [_HOLDS_64_MB], indirect=True)
@pytest.mark.parametrize("metric", ["rss", "pss", "uss"])
def test_a_process_is_read_from_outside(
    process: subprocess.Popen[bytes], metric: Metric
) -> None:
    """Each metric counts what a process holds."""
    read_bytes = read(process.pid, metric)

    assert read_bytes is not None
    assert 64 * _MB < read_bytes < 96 * _MB


@pytest.mark.parametrize("process", [_HAS_A_CHILD], indirect=True)
@pytest.mark.parametrize("metric", ["rss", "uss"])
def test_children_are_counted_where_asked(
    process: subprocess.Popen[bytes], metric: Metric
) -> None:
    """The child's 64 MB are part of the sum and not of the process's own reading."""
    own_bytes = read(process.pid, metric)
    all_bytes = read(process.pid, metric, with_children=True)

    assert own_bytes is not None
    assert all_bytes is not None
    assert all_bytes - own_bytes > 64 * _MB


@pytest.mark.parametrize("process", [_HAS_A_CHILD], indirect=True)
def test_children_of_children_count(process: subprocess.Popen[bytes]) -> None:
    """The child here is a grandchild of this process; what is not below is left out."""
    below = [each.pid for each in descendants(os.getpid(), children_of_all())]

    (child,) = psutil.Process(process.pid).children()
    assert {process.pid, child.pid} <= {*below}
    assert os.getpid() not in below
    assert os.getppid() not in below


def test_a_circle_of_children_ends() -> None:
    """A pid may come round again while all are looked at."""
    own, other = psutil.Process(), psutil.Process(os.getppid())
    children: Children = {own.pid: [other], other.pid: [own]}

    assert [*descendants(own.pid, children)] == [other]


@pytest.mark.parametrize("process", [_HOLDS_64_MB], indirect=True)
@pytest.mark.parametrize("metric", ["rss", "pss", "uss"])
def test_what_is_dead_has_no_memory(
    process: subprocess.Popen[bytes], metric: Metric
) -> None:
    """A zombie holds nothing, and a process that is gone cannot be read: both None."""
    reader = MemoryReader(metric, with_children=True, limit_bytes=0)
    assert reader.read(process.pid, now_s=1000.0, children=children_of_all)
    known = psutil.Process(process.pid)
    process.kill()
    eventually(
        lambda: known.status() == psutil.STATUS_ZOMBIE,
        describe="a zombie",
    )
    assert read(process.pid, metric) is None
    assert bytes_of(known, metric) is None

    process.wait()
    assert read(process.pid, metric) is None
    assert bytes_of(known, metric) is None
    assert reader.read(process.pid, now_s=2000.0, children=children_of_all) is None


def _raises(error: BaseException) -> Callable[[object], int]:
    def fail(_self: object) -> int:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psutil.AccessDenied(7), 'memory_metric = "rss"'),
        (AttributeError("pss"), "memory_metric to rss or uss"),
    ],
)
def test_what_may_not_be_read_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    """A rule that silently never applies would be worse than an error."""
    monkeypatch.setattr(psutil.Process, "memory_full_info", _raises(error))

    with pytest.raises(MemoryUnreadableError, match=said):
        read(os.getpid(), "pss")


# --- the reader -----------------------------------------------------------------------


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the readings that a process has; they can be set."""
    values = {"rss": 100, "pss": 60}
    monkeypatch.setattr(memory, "bytes_of", lambda _process, metric: values.get(metric))
    return values


def never() -> Children:
    """Stand in for a look at all processes that nobody asked for."""
    raise AssertionError("looked at all processes")


def test_the_costly_reading_is_saved_while_rss_is_within_the_limit(
    readings: dict[str, int],
) -> None:
    """Pss is never more than rss: within the limit the cheap reading will do."""
    del readings["pss"]
    reader = MemoryReader("pss", with_children=False, limit_bytes=100)

    assert reader.read(os.getpid(), now_s=1000.0, children=never) == 100


def test_the_costly_reading_decides_beyond_it_and_is_taken_rarely(
    readings: dict[str, int],
) -> None:
    """Between two costly readings there is none: a cheap one would be too high."""
    reader = MemoryReader("pss", with_children=False, limit_bytes=99)
    own, other = os.getpid(), os.getppid()

    def read_at(pid: int, now_s: float) -> int | None:
        return reader.read(pid, now_s=now_s, children=never)

    assert read_at(own, 1000.0) == 60
    assert read_at(own, 1000.0 + COSTLY_EVERY_S - 0.1) is None
    assert read_at(other, 1000.0) == 60
    readings["pss"] = 99
    assert read_at(own, 1000.0 + COSTLY_EVERY_S) == 99
    reader.forget_all_but({other})
    assert read_at(own, 1000.0 + COSTLY_EVERY_S) == 99


def test_rss_is_read_each_time(readings: dict[str, int]) -> None:
    """The cheap metric needs no saving, with a limit or without."""
    reader = MemoryReader("rss", with_children=False, limit_bytes=1)

    assert reader.read(os.getpid(), now_s=1000.0, children=never) == 100
    readings["rss"] = 120
    assert reader.read(os.getpid(), now_s=1000.0, children=never) == 120


# --- all nodes ------------------------------------------------------------------------


@pytest.mark.parametrize(("with_children", "looks"), [(True, 2), (False, 0)])
def test_all_nodes_of_a_tick_share_one_look_at_the_processes(
    monkeypatch: pytest.MonkeyPatch, *, with_children: bool, looks: int
) -> None:
    """One a tick, however many nodes there are; none where no children count."""
    looked: list[int] = []

    def look() -> Children:
        looked.append(1)
        return children_of_all()

    monkeypatch.setattr(memory, "children_of_all", look)
    reader = MemoryReader("rss", with_children=with_children, limit_bytes=None)
    sampler = memory.MemorySampler({"w": reader}, LogThrottle())
    nodes = {
        name: appeared(name, ProcessState.RUNNING, pid, now_s=0.0)
        for name, pid in (("w:a", os.getpid()), ("w:b", os.getppid()))
    }

    for now_s in (1000.0, 1001.0):
        measured = [*sampler.measure(nodes, now_s=now_s)]

        assert [each.name for each in measured] == ["w:a", "w:b"]
    assert len(looked) == looks
