"""What an operator does with supervisorctl while the listener is at work."""

from __future__ import annotations

import pytest

from tests.awaits import await_heard, await_reports, await_restarted, await_state
from tests.eventually import eventually
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.swarms import Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def check_one_process_each(swarm: Swarm, lives: Lives, nodes: int) -> None:
    """Each slot has one process, which the listener hears."""
    await_reports(swarm, nodes, within_s=30)
    eventually(
        lambda: len(swarm.status()["nodes"]) == nodes,
        describe=f"{nodes} nodes in the status",
    )
    for node in range(nodes):
        assert len(lives.alive(scenes.name_of(node))) == 1
    assert lives.overlaps == []
    assert "Traceback" not in swarm.log
    assert " ERROR " not in swarm.log


def test_restart_all_update_and_reload_in_the_middle_of_restarts() -> None:
    """One process for each node after each of them, and no error.

    Each comes while a restart of ours is in another step: the node ignores TERM, or it
    is gone and waits for its start.
    """
    limits = {
        "node_restart_timeout": 4_000,
        "shutdown_timeout": 2_000,
        "max_unavailable": 2,
    }
    program = {"stopwaitsecs": "2"}
    with scenes.watched_scene(nodes=3, limits=limits, program=program) as (
        swarm,
        lives,
    ):
        await_reports(swarm, 3)

        swarm.tell(0, consume_age_ms=9_000, ignore_term=True)
        swarm.tell(1, consume_age_ms=9_000)
        await_state(swarm.daemon, scenes.name_of(0), "STOPPING")
        await_state(swarm.daemon, scenes.name_of(1), "STOPPED")
        scenes.supervisorctl(swarm, "restart", "all")
        check_one_process_each(swarm, lives, 3)

        swarm.tell(1, consume_age_ms=9_000)
        await_state(swarm.daemon, scenes.name_of(1), "STOPPED")
        scenes.change_config(swarm, "numprocs = 3", "numprocs = 5")
        scenes.supervisorctl(swarm, "update")
        check_one_process_each(swarm, lives, 5)

        swarm.tell(4, consume_age_ms=9_000)
        await_state(swarm.daemon, scenes.name_of(4), "STOPPED")
        scenes.change_config(swarm, "numprocs = 5", "numprocs = 2")
        scenes.supervisorctl(swarm, "update")
        check_one_process_each(swarm, lives, 2)

        swarm.tell(1, consume_age_ms=9_000)
        await_state(swarm.daemon, scenes.name_of(1), "STOPPED")
        scenes.supervisorctl(swarm, "reload")
        check_one_process_each(swarm, lives, 2)
        await_heard(swarm, 20)

        check_one_process_each(swarm, lives, 2)
        assert swarm.intents() == {}


def test_an_operators_start_in_the_gap_wins() -> None:
    """It ends the pause; the listener does not start or stop the node again."""
    limits = {"node_restart_timeout": 20_000}
    with scenes.watched_scene(limits=limits) as (swarm, lives):
        await_reports(swarm, 2)
        old = swarm.tell(0, consume_age_ms=9_000)
        await_state(swarm.daemon, scenes.name_of(0), "STOPPED")

        scenes.supervisorctl(swarm, "start", scenes.name_of(0))
        new = await_restarted(swarm, 0, than=old)
        await_heard(swarm, 20)

        (record,) = swarm.records()
        assert (record["pid"], record["new_pid"]) == (old, new)
        assert swarm.pid(0) == new
        assert lives.overlaps == []
