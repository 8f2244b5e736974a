"""Many nodes: one that takes long to stop, and all of them frozen at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Final

import pytest

from tests.awaits import await_reports, await_restarted
from tests.process import scenes
from tests.process.swarms import Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

CROWD: Final = 50
FEW: Final = 8


@pytest.fixture(scope="module")
def few() -> Iterator[tuple[Swarm, dict[int, int | None]]]:
    """Freeze all nodes of a swarm, and give it back when they are found."""
    with scenes.scene(
        nodes=FEW,
        program={"stopwaitsecs": "1"},
        limits={"shutdown_timeout": 1_000, "node_restart_timeout": 500},
    ) as swarm:
        await_reports(swarm, FEW)
        before = scenes.pids(swarm, FEW)
        for pid in before.values():
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
        yield swarm, before


@pytest.fixture(scope="module")
def crowd(
    few: tuple[Swarm, dict[int, int | None]],
) -> Iterator[tuple[Swarm, dict[int, int | None]]]:
    """Start the crowd while the few are frozen: their restarts take a while."""
    assert few
    with scenes.scene(
        nodes=CROWD + 1,
        program={"environment": 'SCRIPTED_EVERY_S="0.1"'},
        limits={"node_report_timeout": 2_000},
    ) as swarm:
        await_reports(swarm, CROWD + 1, within_s=60)
        yield swarm, scenes.pids(swarm, CROWD + 1)


def test_a_stop_that_takes_long_keeps_nobody_from_being_heard(
    crowd: tuple[Swarm, dict[int, int | None]],
) -> None:
    """50 others report ten times a second meanwhile; all of it is heard."""
    swarm, before = crowd

    pid = swarm.tell(CROWD, consume_age_ms=9_000, ignore_term=True)
    await_restarted(swarm, CROWD, than=pid)

    (record,) = swarm.records()
    assert record["pid"] == pid
    assert record["killed"] is True
    after = scenes.pids(swarm, CROWD + 1)
    assert {n: p for n, p in after.items() if n != CROWD} == {
        n: p for n, p in before.items() if n != CROWD
    }
    assert "overflowed" not in swarm.daemon.log
    assert swarm.status()["listener"]["lost_events"] == 0


def down_at_once(swarm: Swarm) -> int:
    """Return the most nodes that an independent listener saw down at the same time."""
    down: set[str] = set()
    most = 0
    for event in scenes.witnessed(swarm):
        process = event["payload"].partition("processname:")[2].partition(" ")[0]
        if event["event"] == "PROCESS_STATE_STOPPING":
            down.add(process)
        elif event["event"] == "PROCESS_STATE_RUNNING":
            down.discard(process)
        most = max(most, len(down))
    return most


def test_of_nodes_frozen_all_at_once_a_quarter_is_down_at_a_time(
    few: tuple[Swarm, dict[int, int | None]],
) -> None:
    """All are found, two at a time are restarted, all of them work in the end."""
    swarm, before = few

    for node, pid in before.items():
        await_restarted(swarm, node, than=pid or 0, within_s=60)
    await_reports(swarm, FEW)

    assert down_at_once(swarm) == 2
    assert [r["status"] for r in swarm.records()] == [-1] * FEW
    assert {r["pid"] for r in swarm.records()} == set(before.values())
