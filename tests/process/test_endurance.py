"""Restart after restart: supervisord and the listener do not grow.

Ten in a row of each of four nodes here; 500 of one node, with
the figures, by ``SWARM_RESTARTS=500 pytest -s tests/process/test_endurance.py``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.awaits import await_heard, await_no_restart, await_records, await_reports
from tests.eventually import eventually
from tests.process import scenes
from tests.process.swarms import Swarm

LONG_COUNT: Final = int(os.environ.get("SWARM_RESTARTS", "0"))
NODES: Final = 1 if LONG_COUNT else 4
COUNT: Final = LONG_COUNT or 40
WARM_COUNT: Final = COUNT // 4  # first imports, first buffers, the journal's first size
GROWTH_MAX_KB: Final = 1_024 + 4 * COUNT  # the history is kept in memory, 1 kB a record

pytestmark = [pytest.mark.process, pytest.mark.timeout(120 + 5 * LONG_COUNT)]


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    descriptors: int
    rss_kb: int


def size(pid: int) -> Size:
    """Look at a process from outside."""
    resident = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return Size(
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        rss_kb=resident * os.sysconf("SC_PAGESIZE") // 1024,
    )


def sizes(swarm: Swarm) -> dict[str, Size]:
    """Look at both."""
    listener_pid = swarm.listener_pid()
    return {
        "supervisord": size(swarm.daemon.process.pid),
        "listener": size(listener_pid),
    }


def descriptors(swarm: Swarm) -> dict[str, int]:
    """Count the open files of both."""
    return {who: size.descriptors for who, size in sizes(swarm).items()}


def test_many_restarts_leave_no_descriptor_and_no_memory_behind() -> None:
    """Each restart has one record, and costs neither of the two anything that stays."""
    with scenes.scene(
        nodes=NODES,
        limits={
            "node_restart_timeout": 0,
            "max_restarts": 10_000,
            "max_unavailable": NODES,
        },
    ) as swarm:
        await_reports(swarm, NODES)
        listener_pid = swarm.listener_pid()
        have_restarted(swarm, WARM_COUNT)
        warm = sizes(swarm)
        have_restarted(swarm, COUNT)
        eventually(  # it may be writing a file just now
            lambda: descriptors(swarm) == {w: s.descriptors for w, s in warm.items()},
            describe=f"as few descriptors as in the beginning: {warm}",
        )
        in_the_end = sizes(swarm)
        sys.stdout.write(
            f"\n{WARM_COUNT}: {warm}\n{COUNT}: {in_the_end}\n"
        )  # pytest -s

        assert swarm.listener_pid() == listener_pid
        for node in range(NODES):  # not by the pids alone: the kernel uses them again
            records = scenes.records_of(swarm, node)
            successors = [record["new_pid"] for record in records[:-1]]
            assert successors == [record["pid"] for record in records[1:]]
        for who, before in warm.items():
            grown_kb = in_the_end[who].rss_kb - before.rss_kb
            assert grown_kb < GROWTH_MAX_KB, (who, warm, in_the_end)


def have_restarted(swarm: Swarm, count: int) -> None:
    """Have nodes ill until there are so many records, then well, and wait for peace."""
    for node in range(NODES):
        name = f"w_{node:02d}"
        scenes.write_script(swarm.daemon.folder, name, consume_age_ms=9_000)
    await_records(swarm, count, within_s=60 + 4 * count, every_s=0.5)
    for node in range(NODES):
        scenes.write_script(swarm.daemon.folder, f"w_{node:02d}")
    await_no_restart(swarm)
    await_reports(swarm, NODES)
    await_heard(swarm, 8 * NODES)
