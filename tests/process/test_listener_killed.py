"""A listener that is killed at each step of a restart; the next one finishes it.

All nodes fall ill at once, and at each another step is the listener's last: so the
successors find several half-done restarts at a time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.awaits import (
    await_heard,
    await_new_pid,
    await_no_restart,
    await_reports,
    await_state,
)
from tests.eventually import eventually
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.proxy import Blow, Proxy
from tests.process.swarms import LISTENER, Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

# Which call is the listener's last, for which node, and whether supervisord gets it.
LAST_STEPS: Final = {
    "intent written": ("signalProcess", False),
    "TTIN sent": ("signalProcess", True),
    "stop decided": ("stopProcess", False),
    "stop sent": ("stopProcess", True),
    "start decided": ("startProcess", False),
    "start sent": ("startProcess", True),
}
STEPS: Final = tuple(LAST_STEPS)
UNTOUCHED: Final = len(STEPS)
STOPPED: Final = len(STEPS) + 1
LATER: Final = len(STEPS) + 2
NODES: Final = len(STEPS) + 3


@dataclass
class Struck:
    """The swarm whose listener was killed at all steps."""

    swarm: Swarm
    lives: Lives
    old: dict[int, int]
    listeners_killed: int


def await_blows(proxy: Proxy, count: int) -> None:
    """Wait until so many listeners were killed."""
    eventually(
        lambda: len(proxy.dealt) >= count,
        within_s=20,
        describe=f"{count} listeners killed",
    )


@pytest.fixture(scope="module")
def struck() -> Iterator[Struck]:
    """Have six nodes restarted, the listener killed at another step of each."""
    proxies: list[Proxy] = []

    def prepare(folder: Path) -> None:
        proxies.append(Proxy(folder))

    with scenes.watched_scene(
        nodes=NODES,
        limits={"max_unavailable": NODES},
        listener={"environment": 'SUPERVISOR_SERVER_URL="unix://{folder}/p"'},
        prepare=prepare,
    ) as (swarm, lives):
        (proxy,) = proxies
        await_reports(swarm, NODES)
        swarm.daemon.rpc.stop(scenes.name_of(STOPPED))
        await_state(swarm.daemon, scenes.name_of(STOPPED), "STOPPED")
        old = {UNTOUCHED: swarm.pid(UNTOUCHED)}
        for node, (method, is_made) in enumerate(LAST_STEPS.values()):
            proxy.arm(Blow(method, scenes.name_of(node), is_made))
            old[node] = swarm.tell(node, consume_age_ms=9_000, ignore_term=node == 3)
            if method == "signalProcess":  # a successor does not ask for stacks again
                await_blows(proxy, node + 1)
        await_blows(proxy, len(STEPS))
        for node in range(len(STEPS)):
            await_new_pid(
                swarm.daemon, scenes.name_of(node), than=old[node], within_s=40
            )
        await_no_restart(swarm)
        yield Struck(swarm, lives, old, len(proxy.dealt))
        proxy.close()


def test_the_listener_was_killed_at_every_step(struck: Struck) -> None:
    """Each blow fell: what the others tell is about all steps."""
    assert struck.listeners_killed == len(STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_a_half_done_restart_is_finished_by_the_next_listener(
    struck: Struck, step: str
) -> None:
    """Stopped once, started once, recorded once; no two processes at a time."""
    node = STEPS.index(step)

    (record,) = scenes.records_of(struck.swarm, node)
    assert (record["pid"], record["status"]) == (struck.old[node], 2)
    assert record["new_pid"] == struck.swarm.pid(node)
    assert record["recovered_at"] is not None
    assert scenes.stops(struck.swarm, node) == 1
    assert len(struck.lives.all(scenes.name_of(node))) == 2
    assert struck.lives.overlaps == []


def test_who_was_well_is_left_alone_meanwhile(struck: Struck) -> None:
    """A healthy node keeps its process; an operator's stop is not undone."""
    swarm = struck.swarm

    assert swarm.pid(UNTOUCHED) == struck.old[UNTOUCHED]
    assert swarm.daemon.state(scenes.name_of(STOPPED)) == "STOPPED"
    assert len(struck.lives.all(scenes.name_of(STOPPED))) == 1


def test_an_idle_listener_that_is_killed_is_back_and_restarts_nobody(
    struck: Struck,
) -> None:
    """It knows the nodes from supervisord, and silence counts from its own start."""
    swarm = struck.swarm
    before = scenes.pids(swarm, NODES)
    record_count = len(swarm.records())
    for _ in range(3):
        old = swarm.kill_listener()
        await_new_pid(swarm.daemon, LISTENER, than=old, within_s=5)
    eventually(
        lambda: swarm.status()["listener"]["pid"] == swarm.listener_pid(),
        describe="the status of the last listener",
    )
    await_heard(swarm, 16 * NODES)  # 4 s, the limit of silence

    assert scenes.pids(swarm, NODES) == before
    assert len(swarm.records()) == record_count


def test_a_listener_killed_while_the_new_process_boots_keeps_one_record(
    struck: Struck,
) -> None:
    """The restart is over for the node; its record is not lost and not doubled."""
    swarm = struck.swarm
    old = swarm.tell(LATER, consume_age_ms=9_000)
    new = await_new_pid(swarm.daemon, scenes.name_of(LATER), than=old)
    os.kill(swarm.listener_pid(), signal.SIGKILL)

    eventually(
        lambda: scenes.records_of(swarm, LATER),
        within_s=15,
        describe="the record of the restart",
    )
    await_no_restart(swarm)
    assert [r["pid"] for r in scenes.records_of(swarm, LATER)] == [old]
    assert swarm.pid(LATER) == new
