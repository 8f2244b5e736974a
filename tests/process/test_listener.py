"""The listener on the real supervisord, with nodes that misbehave as they are told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from swarm_event_listener.supervisord.protocol import RemoteCommand
from tests.awaits import (
    await_gone,
    await_new_pid,
    await_records,
    await_reports,
    await_restarted,
    await_state,
)
from tests.eventually import eventually
from tests.process.conftest import running_swarm
from tests.process.swarms import LISTENER, Swarm
from tests.signals import HUP

pytestmark = pytest.mark.process

StartSwarm = Callable[..., Swarm]


def steady(swarm: Swarm, nodes: int) -> list[int]:
    """Return the pids of all nodes, to compare later."""
    return [swarm.pid(node) for node in range(nodes)]


@pytest.mark.parametrize("number", [HUP, signal.SIGUSR2])
def test_what_others_take_for_reload_does_not_end_the_listener(
    start_swarm: StartSwarm, number: signal.Signals
) -> None:
    """It goes on, and says once what would have been the word."""
    swarm = start_swarm(nodes=1)
    listener_pid = swarm.daemon.pid(LISTENER)
    assert listener_pid is not None

    os.kill(listener_pid, number)
    eventually(
        lambda: "signal_ignored" in swarm.daemon.file("listener.log"),
        describe="a line in the listener's log",
    )
    os.kill(listener_pid, number)
    pid = swarm.tell(0, consume_age_ms=9_000)

    await_restarted(swarm, 0, than=pid)
    assert swarm.daemon.pid(LISTENER) == listener_pid
    log = swarm.daemon.file("listener.log")
    assert log.count(f"signal_ignored signal={number.name}") == 1


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGTTIN, "most recent call first"),
        (signal.SIGTSTP, "signal_ignored signal=SIGTSTP"),
        (signal.SIGTTOU, "signal_ignored signal=SIGTTOU"),
        (signal.SIGUSR1, "signal_ignored signal=SIGUSR1"),
    ],
)
def test_a_word_to_all_nodes_neither_stops_nor_ends_the_listener(
    start_swarm: StartSwarm, number: signal.Signals, said: str
) -> None:
    """`supervisorctl signal TTIN all` reaches it, too: nobody would wake it again."""
    swarm = start_swarm(nodes=1)
    listener_pid = swarm.daemon.pid(LISTENER)
    assert listener_pid is not None

    os.kill(listener_pid, number)
    eventually(
        lambda: said in swarm.daemon.file("listener.log"),
        describe="a line in the listener's log",
    )
    pid = swarm.tell(0, consume_age_ms=9_000)

    await_restarted(swarm, 0, than=pid)
    assert swarm.daemon.pid(LISTENER) == listener_pid


SICK: Final[tuple[tuple[dict[str, Any], int, str], ...]] = (
    ({"consume_age_ms": 9_000, "in_flight": ["orders/3@7"]}, 2, "orders/3@7"),
    ({"poll_age_ms": 9_000}, 1, "polling_ttl"),
    ({"unsteady_ms": 9_000}, 4, "stability_ttl"),
    ({"silent": True}, -1, "node_report_timeout"),
)


def test_each_misbehaving_node_is_restarted_with_one_record(
    start_swarm: StartSwarm,
) -> None:
    """It gets a new pid, nobody else does; record and events name what it was."""
    swarm = start_swarm(nodes=5)
    healthy = swarm.pid(4)

    pids = [swarm.tell(node, **script) for node, (script, *_) in enumerate(SICK)]
    new_pids = [await_restarted(swarm, node, than=pid) for node, pid in enumerate(pids)]

    records = {record["pid"]: record for record in swarm.records()}
    assert len(swarm.records()) == len(SICK)
    for node, (_, status, words) in enumerate(SICK):
        record = records[pids[node]]
        assert (record["node"], record["new_pid"]) == (swarm.name(node), new_pids[node])
        assert (record["status"], record["killed"]) == (status, False)
        assert words in record["reason"]
        assert record["recovered_at"] is not None
        assert "Current thread" in swarm.daemon.file(f"w_{node:02d}.log")  # evidence
    assert swarm.pid(4) == healthy
    assert swarm.intents() == {}
    told = [e for e in swarm.events() if isinstance(e, RemoteCommand)]
    for event_type in ("stopping", "started", "recovered"):
        assert [e.type for e in told].count(f"swarm.node.{event_type}") == len(SICK)


def test_a_node_that_is_stopped_before_the_listener_hears_anything_comes_back() -> None:
    """The queue still tells of its first start when the listener has stopped it.

    An impossible memory limit makes the listener act on what it is told first of all:
    there is hardly a moment at which the node reports, so none is waited for.
    """
    limits = "memory_limit = 1\nnode_restart_timeout = 2000"
    with running_swarm(nodes=1, toml=limits) as swarm:
        records = await_records(swarm, 2, within_s=25)  # one after the other

    assert [record["status"] for record in records] == [3, 3]
    assert records[0]["pid"] != records[0]["new_pid"] == records[1]["pid"]


def test_a_listener_that_is_told_to_end_leaves_no_intent(
    start_swarm: StartSwarm,
) -> None:
    """TERM: what is down is started at once, then it exits; only a crash resumes."""
    swarm = start_swarm(toml="node_restart_timeout = 60000")
    pid = swarm.tell(0, consume_age_ms=9_000)
    await_state(swarm.daemon, swarm.name(0), "STOPPED", within_s=15)

    old = swarm.listener_pid()
    swarm.daemon.rpc.signal(LISTENER, "TERM")
    await_new_pid(swarm.daemon, LISTENER, than=old)

    assert swarm.pid(0) != pid
    assert swarm.intents() == {}


_SECOND_LISTENER: Final = """[eventlistener:second]
command = {python} -m swarm_event_listener --config {folder}/swarm.toml
events = TICK_5
autostart = false
autorestart = false
startsecs = 0
stderr_logfile = {folder}/second.log

[eventlistener:witness]"""


def test_two_listeners_of_one_journal_are_one_too_many(
    start_swarm: StartSwarm,
) -> None:
    """The second exits 78 and says why; the first goes on."""
    swarm = start_swarm(replace=(("[eventlistener:witness]", _SECOND_LISTENER),))

    swarm.daemon.rpc.start("second:second")

    await_state(swarm.daemon, "second:second", "EXITED")

    assert swarm.daemon.rpc.process("second:second").exit_code == 78
    assert "state_dir of its own" in swarm.daemon.file("second.log")
    assert swarm.daemon.state(LISTENER) == "RUNNING"


def test_a_listener_that_hears_nothing_starts_afresh(start_swarm: StartSwarm) -> None:
    """supervisord is deaf to it after a stray byte, or frozen: nobody is to blame.

    Until then the run is untroubled: nothing is lost or warned of. Two swarms, so that
    the twenty seconds are waited for once.
    """
    deaf, frozen = start_swarm(nodes=4), start_swarm()
    pids = steady(frozen, 2)
    eventually(
        lambda: int(deaf.status()["listener"]["reports"]) >= 40,
        within_s=30,
        describe="40 reports",
    )
    assert " WARNING " not in deaf.log
    assert " ERROR " not in deaf.log
    assert "overflow" not in deaf.daemon.log
    old, old_frozen = deaf.listener_pid(), frozen.listener_pid()

    supervisord = frozen.daemon.process.pid
    os.kill(supervisord, signal.SIGSTOP)
    try:
        with _channel_of(old).open("wb", buffering=0) as channel:
            channel.write(b"stray")
        await_new_pid(deaf.daemon, LISTENER, than=old, within_s=45)
        await_gone(old_frozen, within_s=40)
    finally:
        os.kill(supervisord, signal.SIGCONT)
    await_reports(frozen, 2)

    assert "listener_unheard" in deaf.log
    assert deaf.records() == []
    assert steady(frozen, 2) == pids
    assert frozen.records() == []


def _channel_of(pid: int) -> Path:
    """Find the descriptor on which a listener answers supervisord.

    Its wake-up pipe is the listener's own at both ends, the channel at one.
    """
    own = [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()]
    for path in Path(f"/proc/{pid}/fd").iterdir():
        is_pipe = str(path.readlink()).startswith("pipe:")
        if int(path.name) > 2 and is_pipe and own.count(path.readlink()) == 1:
            return path
    raise AssertionError(f"pid {pid} has no channel")
