"""The end of a process is known when it comes."""

import os
import select
import subprocess
import sys

import pytest

from swarm_event_listener.supervisord.process_exits import Exits
from tests.awaits import await_records
from tests.process.scenes import scene
from tests.process.slow_end import GONE_AFTER_S


def test_the_end_of_a_process_is_told_once() -> None:
    """Readable from its end on, and then no longer awaited."""
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as p:
        exits = Exits()
        exits.await_end(p.pid)
        exits.await_end(p.pid)
        (descriptor,) = exits.descriptors
        assert not select.select([descriptor], [], [], 0.0)[0]
        assert not exits.take([])

        p.kill()
        ready, _, _ = select.select([descriptor], [], [], 10.0)
        assert exits.take(ready)
        assert exits.descriptors == ()
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)


def test_a_process_that_is_gone_is_not_awaited() -> None:
    """Nobody could tell of its end any more."""
    p = subprocess.Popen([sys.executable, "-c", ""])
    p.wait()
    exits = Exits()
    exits.await_end(p.pid)

    assert exits.descriptors == ()


def test_a_python_without_such_descriptors_awaits_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have been built on an older Linux: supervisord finds out by itself."""
    monkeypatch.delattr(os, "pidfd_open")
    exits = Exits()
    exits.await_end(os.getpid())

    assert exits.descriptors == ()


@pytest.mark.process
def test_supervisord_is_told_of_an_end_that_it_would_find_out_later() -> None:
    """A node whose pipes close before it is gone costs no second of each restart."""
    with scene(nodes=1, command="{python} -m tests.process.slow_end") as swarm:
        records = await_records(swarm, 2, within_s=40.0)

    for record in records[1:]:
        assert GONE_AFTER_S <= record["seconds"]["stop"] < GONE_AFTER_S + 0.5
