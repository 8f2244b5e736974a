"""Nodes beyond the number that is to run, under a real supervisord, without Kafka."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from swarm_worker.shared.state_files.scale_file import NAME
from tests.eventually import eventually
from tests.process import scenes
from tests.process.orders import order
from tests.process.scenes import scene
from tests.process.swarms import Swarm, replace_text

pytestmark = pytest.mark.process

NODES = 3


def states(swarm: Swarm) -> list[tuple[str, int]]:
    """Return state and exit code of each node; the code of what runs is left out."""
    infos = {info.name: info for info in swarm.daemon.rpc.processes()}
    nodes = [infos[swarm.name(node)] for node in range(NODES)]
    return [(it.state, it.exit_code * (it.state == "EXITED")) for it in nodes]


RUNS = ("RUNNING", 0)
SPARE = ("EXITED", 6)


def await_states(swarm: Swarm, *wanted: tuple[str, int]) -> None:
    """Wait until the nodes are as wanted."""
    eventually(
        lambda: states(swarm) == [*wanted],
        within_s=20,
        describe=f"{wanted}; {swarm.daemon.file('w_02.log')[-2000:]}",
    )


def swarm_of(*, start_nodes: int | None = None, **options: Any) -> Any:
    """Return a scene with real nodes."""
    worker = {} if start_nodes is None else {"start_nodes": start_nodes}
    return scene(nodes=NODES, command=scenes.NODE, worker=worker, **options)


def test_the_number_holds_whoever_starts_a_node() -> None:
    """At supervisord's start, `restart all`, and a start by hand; and is no death."""
    with swarm_of(prepare=lambda folder: order(folder, 1)) as swarm:
        await_states(swarm, RUNS, SPARE, SPARE)
        old = swarm.pid(0)
        scenes.supervisorctl(swarm, "restart", "w:*")
        eventually(lambda: swarm.pid(0) != old, describe="restarted")
        await_states(swarm, RUNS, SPARE, SPARE)
        assert "started" in scenes.supervisorctl(swarm, "start", "w:w_02")
        await_states(swarm, RUNS, SPARE, SPARE)

        log = swarm.daemon.file("w_02.log")
        assert "node_spare node=2" in log
        assert "node_started" not in log


def test_the_number_holds_over_the_death_of_supervisord() -> None:
    """The next one asks nobody but the file."""
    with swarm_of(prepare=lambda folder: order(folder, 2)) as swarm:
        await_states(swarm, RUNS, RUNS, SPARE)
        os.kill(swarm.daemon.process.pid, signal.SIGKILL)
        swarm.daemon.process.wait()
        scenes.start_again(swarm)
        await_states(swarm, RUNS, RUNS, SPARE)


def test_a_node_that_runs_follows_an_order() -> None:
    """By itself: whoever gave it may be gone. It comes back once it is to run."""
    with swarm_of() as swarm:
        await_states(swarm, RUNS, RUNS, RUNS)
        eventually(
            lambda: "node_started" in swarm.daemon.file("w_02.log"), describe="at work"
        )
        order(swarm.daemon.folder, 2)
        await_states(swarm, RUNS, RUNS, SPARE)
        assert "node_stopped exit_code=6" in swarm.daemon.file("w_02.log")

        order(swarm.daemon.folder, 3)
        scenes.supervisorctl(swarm, "start", "w:w_02")
        await_states(swarm, RUNS, RUNS, RUNS)


def test_without_an_order_the_setting_counts() -> None:
    """Also where the file cannot be read; another program's order says nothing."""

    def damage(folder: Path) -> None:
        order(folder, 3, key="w:other")
        (folder / "slots" / NAME).write_text("{", "utf-8")

    with swarm_of(start_nodes=1, prepare=damage) as swarm:
        await_states(swarm, RUNS, SPARE, SPARE)
        assert "scale_unknown" in swarm.daemon.file("w_02.log")
        order(swarm.daemon.folder, 3, key="w:other")
        scenes.supervisorctl(swarm, "start", "w:w_02")
        await_states(swarm, RUNS, SPARE, SPARE)
        order(swarm.daemon.folder, 3, key="w:w")
        scenes.supervisorctl(swarm, "start", "w:*")
        await_states(swarm, RUNS, RUNS, RUNS)


def test_what_runs_goes_on_where_the_file_is_lost_or_damaged() -> None:
    """Nobody has said that it is to end."""
    with swarm_of(start_nodes=1, prepare=lambda folder: order(folder, 2)) as swarm:
        await_states(swarm, RUNS, RUNS, SPARE)
        pid, file = swarm.pid(1), swarm.daemon.folder / "slots" / NAME
        eventually(
            lambda: "node_started" in swarm.daemon.file("w_01.log"), describe="at work"
        )
        replace_text(file, json.dumps([]))
        eventually(
            lambda: "instead='as before'" in swarm.daemon.file("w_01.log"),
            describe="it has looked",
        )
        file.unlink()
        scenes.supervisorctl(swarm, "restart", "w:w_00")
        await_states(swarm, RUNS, RUNS, SPARE)
        assert swarm.pid(1) == pid
