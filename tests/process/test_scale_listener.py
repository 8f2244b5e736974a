"""What the listener does about the number of nodes, under a real supervisord."""

from __future__ import annotations

import pytest

from tests.eventually import eventually
from tests.process import scenes
from tests.process.orders import order
from tests.process.swarms import Swarm
from tests.process.test_spare import RUNS, SPARE, await_states, swarm_of

pytestmark = pytest.mark.process


def words(swarm: Swarm) -> list[str]:
    """Return how the listener calls the nodes."""
    return [node["health"] for node in swarm.status().get("nodes", [])]


def await_spares(swarm: Swarm, count: int) -> None:
    """Wait until the listener calls so many nodes spares."""
    eventually(lambda: words(swarm).count("spare") == count, describe=f"{count} spares")


def test_spares_are_no_deaths_and_what_is_missing_is_started() -> None:
    """An order by hand, whose giver does no more; also one to a dead listener."""
    with swarm_of() as swarm:
        await_states(swarm, RUNS, RUNS, RUNS)
        eventually(lambda: len(words(swarm)) == 3, describe="a status")
        order(swarm.daemon.folder, 2)
        await_states(swarm, RUNS, RUNS, SPARE)
        await_spares(swarm, 1)
        old = swarm.kill_listener()
        order(swarm.daemon.folder, 1)
        await_states(swarm, RUNS, SPARE, SPARE)
        eventually(
            lambda: swarm.status()["listener"]["pid"] != old, describe="another one"
        )
        await_spares(swarm, 2)
        assert swarm.deaths() == []
        assert swarm.status()["scale"]["w"]["nodes"] == 1

        order(swarm.daemon.folder, 3)
        await_states(swarm, RUNS, RUNS, RUNS)
        assert swarm.deaths() == []
        changes = swarm.notes()["scaled"]
        assert [change["nodes"] for change in changes] == [2, 1, 3]


def test_a_roll_leaves_spares_out_and_they_make_nobody_ill() -> None:
    """`swarm status` takes them for well."""
    with swarm_of(prepare=lambda folder: order(folder, 1)) as swarm:
        await_states(swarm, RUNS, SPARE, SPARE)
        await_spares(swarm, 2)
        said = scenes.ctl(swarm, "swarm", "status")
        assert said.stdout.count("spare") >= 2
        told = scenes.supervisorctl(swarm, "swarm", "roll", "w", "--json")
        assert '"skipped": []' in told


def test_an_exit_code_that_is_not_expected_is_complained_of() -> None:
    """Once, with the line to change."""
    with swarm_of(start_nodes=2, program={"exitcodes": "78,5"}) as swarm:
        eventually(
            lambda: "exitcodes=78,5,6" in swarm.log, describe="an ERROR", within_s=20
        )
