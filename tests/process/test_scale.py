"""swarm scale on a real supervisord: nodes that obey an operator, without Kafka."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from swarm_event_listener.storage import scale_writer
from swarm_worker.shared.scale import Scale
from tests.awaits import await_reports, await_state
from tests.eventually import eventually
from tests.process.conftest import ADDED, OBEDIENT, running_swarm
from tests.process.scenes import ctl
from tests.process.swarms import GROUP, Swarm
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

NODES: Final = 4
SUPERVISORCTL: Final = Path(sys.executable).with_name("supervisorctl")
SPARES_STAY: Final = "autorestart = unexpected\nexitcodes = 78,5,6\nstartsecs = 0\n"
OPTIONS: Final = "autorestart = true\nstartsecs = 1\n"


@pytest.fixture(scope="module")
def scalable() -> Iterator[Swarm]:
    """Run four nodes whose program keeps spares, for all tests that leave it so."""
    replaced = (ADDED, OBEDIENT, (OPTIONS, SPARES_STAY))
    # Each test makes them all end: a back-off would keep them down for longer.
    often = "max_restarts = 1000"
    with running_swarm(nodes=NODES, toml=often, replace=replaced) as swarm:
        await_reports(swarm, NODES)
        yield swarm


@pytest.fixture
def swarm(scalable: Swarm) -> Swarm:
    """Return them, all at work, and no trace of what was left."""
    assert scale(scalable, str(NODES))[0] == 0
    for node in range(NODES):
        left(scalable, node).unlink(missing_ok=True)
    return scalable


def scale(swarm: Swarm, *words: str) -> tuple[int, str]:
    """Run the command on the group; return its exit status and what it printed."""
    done = ctl(swarm, "swarm", "scale", GROUP, *words)
    assert "error: <class" not in done.stdout
    return done.returncode, done.stdout


def left(swarm: Swarm, node: int) -> Path:
    """Return what a node leaves that was told to leave its group for good."""
    return swarm.daemon.folder / f"{GROUP}_{node:02d}.left"


def states(swarm: Swarm) -> list[str]:
    """Return supervisord's states of the nodes."""
    return [swarm.daemon.state(swarm.name(node)) for node in range(NODES)]


def order(swarm: Swarm) -> Any:
    """Return what stands in the file of the group."""
    return json.loads(swarm.daemon.file("run/scale.json"))[GROUP]


def test_down_and_up_touch_no_other_node(swarm: Swarm) -> None:
    """The highest leave for good and stay EXITED as spares; up starts those again."""
    pids = [swarm.pid(0), swarm.pid(1)]

    status, text = scale(swarm, "-2", "--why", "a quiet night")
    assert (status, text.splitlines()[-1]) == (0, "w: 2 of 4 nodes run, partitions: 12")
    assert states(swarm) == ["RUNNING", "RUNNING", "EXITED", "EXITED"]
    assert [left(swarm, node).exists() for node in range(NODES)] == [False] * 2 + [
        True
    ] * 2
    exits = [swarm.daemon.rpc.process(swarm.name(node)).exit_code for node in (2, 3)]
    assert exits == [6, 6]
    assert (order(swarm)["nodes"], order(swarm)["why"]) == (2, "a quiet night")

    status, text = scale(swarm, "+1")
    assert (status, text.splitlines()[-1]) == (0, "w: 3 of 4 nodes run, partitions: 12")
    assert states(swarm) == ["RUNNING"] * 3 + ["EXITED"]
    assert pids == [swarm.pid(0), swarm.pid(1)]


def test_the_number_holds_for_whoever_starts_a_node(swarm: Swarm) -> None:
    """``restart all``, and a start of a spare by hand."""
    scale(swarm, "2")
    ctl(swarm, "start", swarm.name(3))
    await_state(swarm.daemon, swarm.name(3), "EXITED")
    ctl(swarm, "restart", f"{GROUP}:*")

    def are_settled() -> bool:
        return states(swarm) == ["RUNNING", "RUNNING", "EXITED", "EXITED"]

    eventually(are_settled, describe="two nodes and two spares")


def test_what_an_operator_has_stopped_stays_stopped(swarm: Swarm) -> None:
    """It is named, and the others are started."""
    scale(swarm, "2")
    swarm.daemon.rpc.stop(swarm.name(0))
    await_state(swarm.daemon, swarm.name(0), "STOPPED")

    status, text = scale(swarm, "3")

    assert status == 1
    assert "w:w_00: ERROR (stopped by an operator; supervisorctl start w:w_00)" in text
    assert states(swarm) == ["STOPPED", "RUNNING", "RUNNING", "EXITED"]
    swarm.daemon.rpc.start(swarm.name(0))


def test_two_commands_at_once_both_count(swarm: Swarm) -> None:
    """Neither loses what the other has ordered."""
    scale(swarm, "1")
    with ExitStack() as stack:
        commands = [
            stack.enter_context(started(swarm, "+1", "--no-wait")) for _ in range(3)
        ]
        for command in commands:
            told, _ = command.communicate(timeout=30)
            assert command.returncode == 0 or "overtaken" in told

    assert order(swarm)["nodes"] == 4
    assert scale(swarm, "4")[0] == 0


def test_a_command_that_is_killed_leaves_its_order(swarm: Swarm) -> None:
    """Whole; another one goes on from there."""
    scale(swarm, "4")
    with started(swarm, "1") as command:
        eventually(lambda: order(swarm)["nodes"] == 1, describe="the order")
        command.kill()

    status, text = scale(swarm, "1")

    assert status == 0
    assert text.splitlines()[-1].startswith("w: 1 of 4 nodes run")
    assert states(swarm) == ["RUNNING", "EXITED", "EXITED", "EXITED"]


def test_what_a_killed_command_has_not_begun_comes_about(swarm: Swarm) -> None:
    """It has written the order, and no more: the listener starts what is missing."""
    assert scale(swarm, "2")[0] == 0
    order_of = Scale(nodes=NODES, by="one that was killed")
    scale_writer.put(swarm.daemon.folder / "run", lambda _: (GROUP, order_of))

    for node in (2, 3):
        await_state(swarm.daemon, swarm.name(node), "RUNNING", within_s=30.0)
    assert swarm.daemon.state(swarm.name(1)) == "RUNNING"


def test_a_later_order_takes_the_place_of_one_that_is_waited_for(swarm: Swarm) -> None:
    """And whoever waits is told, by whom."""
    with frozen(swarm, 3), started(swarm, "3") as waits:
        eventually(lambda: order(swarm)["nodes"] == 3, describe="the order")
        assert scale(swarm, "4", "--no-wait")[0] == 0
        told, _ = waits.communicate(timeout=30)

    assert waits.returncode == 1
    assert "overtaken: user " in told


def test_ctrl_c_leaves_the_number(swarm: Swarm) -> None:
    """And says that it holds."""
    with frozen(swarm, 3), started(swarm, "3") as waits:
        assert waits.stdout is not None
        assert waits.stdout.readline().startswith("w:w_03: to leave")
        waits.send_signal(signal.SIGINT)
        told, _ = waits.communicate(timeout=30)

    assert waits.returncode == 1
    assert "the number holds" in told
    assert scale(swarm, "3")[0] == 0


@contextmanager
def frozen(swarm: Swarm, node: int) -> Iterator[None]:
    """Keep a node from ending, for a while."""
    pid = swarm.pid(node)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def started(swarm: Swarm, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and do not wait for it."""
    conf = swarm.daemon.folder / "supervisord.conf"
    with subprocess.Popen(
        [str(SUPERVISORCTL), "-c", str(conf), "swarm", "scale", GROUP, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    ) as command:
        try:
            yield command
        finally:
            command.kill()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "autorestart = unexpected\nexitcodes = 78,5\nstartsecs = 0\n",
            "got 78,5: write exitcodes=78,5,6 in [program:w]",
        ),
        (
            "autorestart = true\nexitcodes = 78,5,6\nstartsecs = 0\n",
            "expected autorestart=unexpected, got autorestart=true",
        ),
    ],
    ids=["exitcodes", "autorestart"],
)
def test_where_spares_would_not_stay_down_it_is_refused(
    options: str, told: str
) -> None:
    """With the line to change; nothing is written, and no node is touched."""
    with running_swarm(nodes=2, replace=(ADDED, OBEDIENT, (OPTIONS, options))) as swarm:
        await_reports(swarm, 2)
        pids = [swarm.pid(0), swarm.pid(1)]

        status, text = scale(swarm, "1")

        assert (status, text.count("\n")) == (2, 1)
        assert told in text
        assert [swarm.pid(0), swarm.pid(1)] == pids
        assert not (swarm.daemon.folder / "run" / "scale.json").exists()
