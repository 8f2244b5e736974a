"""Time that stands still or jumps: nobody is restarted for it.

Swarms side by side, each frozen in its own way for longer than any limit; their nodes
have a batch in flight all the while, so that an inflated age would show.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.awaits import await_heard, await_reports, await_seconds
from tests.eventually import eventually
from tests.process import scenes
from tests.process.swarms import Swarm, write_script

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

NODES: Final = 2
FROZEN_S: Final = 6.5  # silence is found after 4 s, an age after 5 s
APART_S: Final = 1.0


@dataclass
class Frozen:
    """A swarm, and whom to freeze and in which order to thaw."""

    swarm: Swarm
    order: tuple[str, ...]
    pids: dict[int, int | None] = field(default_factory=dict)
    members: dict[str, list[int]] = field(default_factory=dict)

    def look(self) -> None:
        """Note who is who."""
        self.pids = scenes.pids(self.swarm, NODES)
        self.members = {
            "supervisord": [self.swarm.daemon.process.pid],
            "listener": [self.swarm.listener_pid()],
            "nodes": [pid for pid in self.pids.values() if pid],
        }

    def has_a_batch(self) -> bool:
        """Whether the listener knows of a batch in flight, of node 0."""
        (told,) = (
            node
            for node in self.swarm.status()["nodes"]
            if node["node"] == scenes.name_of(0)
        )
        return bool(told["report"]["in_flight"])

    def freeze(self) -> None:
        """Stop all that are to be frozen."""
        for member in self.order:
            for pid in self.members[member]:
                os.kill(pid, signal.SIGSTOP)

    def thaw(self, index: int) -> None:
        """Continue the one of this place in the order."""
        for member in self.order[index : index + 1]:
            for pid in self.members[member]:
                os.kill(pid, signal.SIGCONT)


ORDERS: Final = {
    "all, supervisord first": ("supervisord", "listener", "nodes"),
    "all, listener first": ("listener", "nodes", "supervisord"),
    "all, nodes first": ("nodes", "supervisord", "listener"),
    "supervisord alone": ("supervisord",),
    "listener alone": ("listener",),
}


CLOCK: Final = "wall clock jumps"

# Read by Python at the start of each process that has its folder on PYTHONPATH.
_MOVED_CLOCK: Final = """\
import pathlib, time
_real, _moved = time.time, pathlib.Path(__file__).with_name("moved_s")
time.time = lambda: _real() + float(_moved.read_text())
"""
_PATH: Final = f'PYTHONPATH="{{folder}}/clock:{scenes.ROOT}"'


def move_clock(folder: Path, moved_s: float) -> None:
    """Set the wall clock of all processes that have the folder on their path."""
    scenes.replace_text(folder / "clock" / "moved_s", str(moved_s))


def prepare_clock(folder: Path) -> None:
    """Put a wall clock there that can be moved."""
    (folder / "clock").mkdir()
    (folder / "clock" / "sitecustomize.py").write_text(_MOVED_CLOCK, "utf-8")
    move_clock(folder, 0)


@pytest.fixture(scope="module")
def all_frozen() -> Iterator[dict[str, Frozen]]:
    """Freeze and thaw a swarm for each order; move the clock of one that goes on."""
    with ExitStack() as stack:
        swarms = {
            name: Frozen(stack.enter_context(scenes.scene(command=scenes.NODE)), order)
            for name, order in ORDERS.items()
        }
        with_clock = scenes.scene(
            command=scenes.NODE,
            program={"environment": _PATH},
            listener={"environment": _PATH},
            prepare=prepare_clock,
        )
        swarms[CLOCK] = Frozen(stack.enter_context(with_clock), ())
        for one in swarms.values():
            await_reports(one.swarm, NODES, within_s=40)
            one.swarm.tell(0, batch_s=3)
            one.look()
        for one in swarms.values():
            eventually(one.has_a_batch, within_s=10, describe="a batch in flight")
        freeze_and_thaw(swarms)
        for one in swarms.values():
            await_reports(one.swarm, NODES)
        await_heard(swarms[CLOCK].swarm, 10 * NODES)  # a while for all
        yield swarms


def freeze_and_thaw(swarms: dict[str, Frozen]) -> None:
    """Stop all that are to be, and continue them in their order."""
    clock = swarms[CLOCK].swarm.daemon.folder
    for one in swarms.values():
        one.freeze()
    move_clock(clock, 3_600)
    try:
        await_seconds(FROZEN_S)
    finally:
        move_clock(clock, -3_600)
        for index in range(3):
            for one in swarms.values():
                one.thaw(index)
            if index < 2:
                await_seconds(APART_S)


@pytest.mark.parametrize("name", [*ORDERS, CLOCK])
def test_nobody_is_restarted_for_a_freeze_or_a_jump_of_the_clock(
    all_frozen: dict[str, Frozen], name: str
) -> None:
    """The same processes go on, whoever wakes first, and the listener hears them."""
    one = all_frozen[name]

    await_reports(one.swarm, NODES)

    assert scenes.pids(one.swarm, NODES) == one.pids
    assert one.swarm.records() == []
    assert one.swarm.intents() == {}
    if name == CLOCK:
        assert "stood_still" not in one.swarm.log


def test_what_a_frozen_supervisord_had_kept_restarts_nobody() -> None:
    """A node that was held up meanwhile is well when its old reports are heard."""
    with scenes.scene() as swarm:
        await_reports(swarm, NODES)
        pids = scenes.pids(swarm, NODES)
        supervisord = swarm.daemon.process.pid
        folder, name = swarm.daemon.folder, scenes.name_of(0).partition(":")[2]
        os.kill(supervisord, signal.SIGSTOP)
        try:
            write_script(folder, name, pid=pids[0], consume_age_ms=9_000)
            await_seconds(FROZEN_S)
            write_script(folder, name, pid=pids[0])
            await_seconds(APART_S)
        finally:
            os.kill(supervisord, signal.SIGCONT)
        await_heard(swarm, 10 * NODES)

        assert scenes.pids(swarm, NODES) == pids
        assert swarm.records() == []
        assert swarm.intents() == {}
