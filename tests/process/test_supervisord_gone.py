"""supervisord is killed, or told to end: what becomes of the nodes."""

from __future__ import annotations

import pytest

from tests.awaits import await_heard, await_reports
from tests.eventually import eventually
from tests.process import scenes
from tests.process.swarms import LISTENER

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

IDLE, BUSY, HUNG = range(3)
NODES = 3


def test_no_node_outlives_a_killed_supervisord_nor_meets_its_successor() -> None:
    """Idle, in a handler, or with the GIL held for ever: all are gone, at once.

    The next supervisord, started in the same moment, starts each of them once, and a
    restart that was under way with the first one is void.
    """
    with scenes.watched_scene(nodes=NODES, command=scenes.NODE) as (swarm, lives):
        await_reports(swarm, NODES, within_s=30)
        swarm.tell(BUSY, batch_s=4)
        swarm.tell(HUNG, fault="hold_gil")
        eventually(
            lambda: scenes.name_of(HUNG) in swarm.intents(),
            within_s=30,
            describe="a restart under way",
        )
        old = scenes.pids(swarm, NODES)

        swarm.daemon.process.kill()
        swarm.daemon.process.wait()
        scenes.start_again(swarm)
        eventually(
            lambda: (
                not {
                    life.pid
                    for node in range(NODES)
                    for life in lives.alive(scenes.name_of(node))
                }
                & set(old.values())
            ),
            within_s=5,
            describe="the end of all former nodes",
        )
        await_reports(swarm, NODES, within_s=30)
        await_heard(swarm, 6 * NODES)

        assert lives.overlaps == []
        assert "intents_void" in swarm.log
        for node in range(NODES):
            assert len(lives.alive(scenes.name_of(node))) == 1
            assert len(lives.all(scenes.name_of(node))) == 2
        assert len(lives.alive(LISTENER)) == 1


def test_told_to_end_supervisord_ends_all_nodes_and_none_comes_back() -> None:
    """Handlers finish their batch; the listener begins nothing, whatever it sees."""
    with scenes.watched_scene(nodes=NODES, command=scenes.NODE) as (swarm, lives):
        await_reports(swarm, NODES, within_s=30)
        swarm.tell(BUSY, batch_s=2)
        swarm.tell(HUNG, fault="sleep")
        await_heard(swarm, 4 * NODES)

        swarm.daemon.process.terminate()
        eventually(
            lambda: swarm.daemon.process.poll() is not None,
            within_s=20,
            describe="the end of supervisord",
        )
        lives.sample()

        for node in range(NODES):
            assert len(lives.all(scenes.name_of(node))) == 1
            assert lives.alive(scenes.name_of(node)) == []
        assert lives.alive(LISTENER) == []
        for node in (IDLE, BUSY):
            assert "node_stopped exit_code=0" in swarm.daemon.file(f"w_{node:02d}.log")
        assert swarm.records() == []
