"""Nodes that are slow to boot, cannot boot, or do not live long.

One supervisord, a group for each kind: none may be restarted for its boot, and none may
be started in a hot loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.awaits import await_said, await_state
from tests.eventually import eventually
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.swarms import GROUP, Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

MAX_RESTARTS = 2
FAILING: dict[str, dict[str, Any]] = {
    "raising": {"import": "raises"},
    "exiting": {"import": "exits"},
    "dying": {"batch_s": 2, "fault": "exit_well"},
}
SCRIPTS: dict[str, dict[str, Any]] = {"slow": {"import_s": 13}, **FAILING}
NO_APP = "tests.process.scenes:no_such_app"


@pytest.fixture(scope="module")
def booting() -> Iterator[tuple[Swarm, Lives]]:
    """Start a group of one node for each kind."""

    def prepare(folder: Path) -> None:
        for group, script in SCRIPTS.items():
            scenes.write_script(folder, f"{group}_00", **script)

    groups = dict.fromkeys(SCRIPTS, scenes.NODE)
    groups["config"] = scenes.NODE.replace("tests.process.faulty_app:app", NO_APP)
    with scenes.watched_scene(
        nodes=1,
        limits={
            "groups": [GROUP, *groups],
            "max_restarts": MAX_RESTARTS,
            "restart_period": 60_000,
            "node_report_timeout": 8_000,  # so long may a busy machine start a process
        },
        more="\n".join(
            scenes.program_section(
                group,
                command=command,
                # Silence counts only in a group that has ever reported.
                numprocs="2" if group == "slow" else "1",
            )
            for group, command in groups.items()
        ),
        prepare=prepare,
    ) as (swarm, lives):
        eventually(
            lambda: all(len(records(swarm, group)) > 1 for group in FAILING),
            within_s=60,
            describe="two back-offs of each failing node",
        )
        yield swarm, lives


def records(swarm: Swarm, group: str) -> list[dict[str, Any]]:
    """Return the records of a group's only node."""
    return [r for r in swarm.records() if r["node"] == f"{group}:{group}_00"]


def test_a_boot_longer_than_the_silence_limit_is_no_silence(
    booting: tuple[Swarm, Lives],
) -> None:
    """The first report goes out before the app is imported, and others follow."""
    swarm, lives = booting
    name = scenes.name_of(0, group="slow")

    def runs() -> bool:
        told = {n["node"]: n["report"] for n in swarm.status()["nodes"]}
        return bool(told[name]) and told[name]["state"] == "running"

    eventually(runs, within_s=30, describe="the end of the slow boot")
    assert records(swarm, "slow") == []
    assert len(lives.all(name)) == 1


@pytest.mark.parametrize("group", sorted(FAILING))
def test_a_node_that_cannot_stay_up_is_tried_again_at_a_bounded_rate(
    booting: tuple[Swarm, Lives], group: str
) -> None:
    """Beyond the normal pace each pause is a record, longer than the one before.

    supervisord brings back what dies before anybody can act: so each pause costs one
    newborn that is stopped, and one start.
    """
    swarm, lives = booting
    paused = records(swarm, group)

    assert {r["cause"] for r in paused} == {"exited"}
    assert "died again" in paused[0]["reason"]
    assert paused[1]["seconds"]["down"] > paused[0]["seconds"]["down"]
    life_count = len(lives.all(scenes.name_of(0, group=group)))
    assert MAX_RESTARTS < life_count <= MAX_RESTARTS + 2 + 2 * (len(paused) + 1)


def test_why_an_import_fails_is_in_the_log_of_the_node(
    booting: tuple[Swarm, Lives],
) -> None:
    """What the app raised, with its traceback, under the name of the app."""
    log = booting[0].daemon.file("raising_00.log")

    assert "app_import_failed app=tests.process.faulty_app:app" in log
    assert "RuntimeError: no such thing as a good import" in log


def test_a_configuration_that_cannot_work_stays_down_for_the_operator(
    booting: tuple[Swarm, Lives],
) -> None:
    """Exit 78, once, readable in supervisord; the listener says so and leaves it."""
    swarm, lives = booting
    name = scenes.name_of(0, group="config")

    await_state(swarm.daemon, name, "EXITED")
    assert swarm.daemon.rpc.process(name).exit_code == 78
    assert "no_such_app" in swarm.daemon.file("config_00.log")
    said = f"node_exited_for_good node={name}"
    await_said(swarm, said)
    assert records(swarm, "config") == []
    assert len(lives.all(name)) == 1
