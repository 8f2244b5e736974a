"""The listener on the real supervisord, with nodes that misbehave as they are told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from swarm_event_listener.events import StateChanged
from swarm_event_listener.protocol import RemoteCommand
from tests.eventually import eventually
from tests.process.swarms import LISTENER, Swarm
from tests.supervisord import is_alive

pytestmark = pytest.mark.process

StartSwarm = Callable[..., Swarm]


def steady(swarm: Swarm, nodes: int) -> list[int]:
    """Give the pids of all nodes, to compare later."""
    return [swarm.pid(node) for node in range(nodes)]


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ({"consume_age_ms": 9_000, "in_flight": ["orders/3@7"]}, 2, "orders/3@7"),
        ({"poll_age_ms": 9_000}, 1, "polling_ttl"),
        ({"unsteady_ms": 9_000}, 4, "stability_ttl"),
        ({"silent": True}, -1, "node_report_timeout"),
    ],
)
def test_a_misbehaving_node_is_restarted_with_one_record(
    start_swarm: StartSwarm, script: dict[str, Any], status: int, words: str
) -> None:
    """It alone gets a new pid; record and events name status and reason."""
    swarm = start_swarm()
    other = swarm.pid(1)

    pid = swarm.tell(0, **script)
    new_pid = swarm.restarted(0, than=pid)

    (record,) = swarm.records()
    assert (record["node"], record["pid"], record["new_pid"]) == (
        "w:w_00",
        pid,
        new_pid,
    )
    assert record["status"] == status
    assert words in record["reason"]
    assert record["recovered_at"] is not None
    assert record["killed"] is False
    assert swarm.pid(1) == other
    assert swarm.intents() == {}
    assert "Current thread" in swarm.daemon.file("w_00.log")  # the evidence
    told = [e.type for e in swarm.events() if isinstance(e, RemoteCommand)]
    assert told[:2] == ["swarm.node.stopping", "swarm.node.started"]


def test_a_node_over_its_memory_limit_is_restarted(start_swarm: StartSwarm) -> None:
    """The listener reads the memory itself."""
    swarm = start_swarm(toml="memory_limit = 1\nnode_restart_timeout = 4000")

    def record() -> dict[str, object] | None:
        return next(iter(swarm.records()), None)

    found = eventually(record, within_s=20, describe="a restart for memory")
    assert found["status"] == 3
    assert "memory_limit_below_boot_size" not in swarm.log  # it had handled messages


def test_a_node_that_ignores_term_is_killed_and_its_record_says_so(
    start_swarm: StartSwarm,
) -> None:
    """supervisord escalates after stopwaitsecs."""
    swarm = start_swarm()

    pid = swarm.tell(0, consume_age_ms=9_000, ignore_term=True)
    swarm.restarted(0, than=pid)

    assert swarm.records()[0]["killed"] is True
    assert not is_alive(pid)


def test_a_frozen_node_is_replaced(start_swarm: StartSwarm) -> None:
    """SIGSTOP: silence, TERM that stays pending, KILL, a new pid."""
    swarm = start_swarm()
    pid = swarm.pid(0)

    os.kill(pid, signal.SIGSTOP)
    swarm.restarted(0, than=pid)

    assert [(r["status"], r["killed"]) for r in swarm.records()] == [(-1, True)]


def test_an_operators_stop_stands(start_swarm: StartSwarm) -> None:
    """Also over a restart of the listener; a start is the operator's, too."""
    swarm = start_swarm()
    swarm.daemon.rpc.stop(swarm.name(0))
    swarm.daemon.wait_for(swarm.name(0), "STOPPED")

    old = swarm.kill_listener()
    swarm.daemon.new_pid(LISTENER, than=old)
    pid = swarm.tell(1, silent=True)
    swarm.restarted(1, than=pid)

    assert swarm.daemon.state(swarm.name(0)) == "STOPPED"
    swarm.daemon.rpc.start(swarm.name(0))
    swarm.daemon.wait_for(swarm.name(0), "RUNNING")
    assert [record["node"] for record in swarm.records()] == ["w:w_01"]


@pytest.mark.parametrize("phase", ["stopping", "down"])
def test_a_killed_listener_finishes_what_it_had_begun(
    start_swarm: StartSwarm, phase: str
) -> None:
    """Between stop and start nobody else would ever start the node again."""
    swarm = start_swarm(toml="node_restart_timeout = 4000")
    pid = swarm.tell(0, consume_age_ms=9_000, ignore_term=phase == "stopping")
    state = {"stopping": "STOPPING", "down": "STOPPED"}[phase]
    swarm.daemon.wait_for(swarm.name(0), state, within_s=15)

    old = swarm.kill_listener()
    swarm.daemon.new_pid(LISTENER, than=old)
    swarm.restarted(0, than=pid)

    (record,) = swarm.records()
    assert (record["pid"], record["status"]) == (pid, 2)
    stops = [
        e
        for e in swarm.events()
        if isinstance(e, StateChanged) and e.name == "w:w_00" and e.state == "STOPPING"
    ]
    assert len(stops) == 1


def test_a_listener_that_is_told_to_end_leaves_no_intent(
    start_swarm: StartSwarm,
) -> None:
    """TERM: what is down is started at once, then it exits; only a crash resumes."""
    swarm = start_swarm(toml="node_restart_timeout = 60000")
    pid = swarm.tell(0, consume_age_ms=9_000)
    swarm.daemon.wait_for(swarm.name(0), "STOPPED", within_s=15)

    old = swarm.listener_pid()
    swarm.daemon.rpc.signal(LISTENER, "TERM")
    swarm.daemon.new_pid(LISTENER, than=old)

    assert swarm.pid(0) != pid
    assert swarm.intents() == {}


def test_two_listeners_of_one_journal_are_one_too_many(
    start_swarm: StartSwarm,
) -> None:
    """The second exits 78 and says why; the first goes on."""
    second = (
        "[eventlistener:witness]",
        "[eventlistener:second]\n"
        "command = {python} -m swarm_event_listener --config {folder}/swarm.toml\n"
        "events = TICK_5\nautorestart = false\nstartsecs = 0\n"
        "stderr_logfile = {folder}/second.log\n"
        "[eventlistener:witness]",
    )
    first_starts_first = ("[eventlistener:swarm]", "[eventlistener:swarm]\npriority=-9")
    swarm = start_swarm(replace=(second, first_starts_first))

    swarm.daemon.wait_for("second:second", "EXITED")
    (info,) = [p for p in swarm.daemon.rpc.processes() if p.name == "second:second"]
    assert info.exit_code == 78
    assert "state_dir of its own" in swarm.daemon.file("second.log")
    assert swarm.daemon.state(LISTENER) == "RUNNING"


@pytest.mark.parametrize(
    "raw",
    [
        "<!--XSUPERVISOR:BEGIN-->" + text + "<!--XSUPERVISOR:END-->\n" + " " * 300
        for text in (
            "",
            "null",
            '{"swarm": 1}',
            '{"swarm": 1, "node": NaN}',
            "[" * 5_000,
            '{"swarm": 1, "node": 0, "pid": 1, "state": "odd"}',
            "x" * 5_000,
        )
    ],
)
def test_nonsense_in_the_place_of_reports_restarts_nobody_at_once(
    start_swarm: StartSwarm, raw: str
) -> None:
    """It is counted and ignored; one line says so, however often it comes."""
    swarm = start_swarm(toml="node_report_timeout = 30000")
    pids = steady(swarm, 2)

    swarm.tell(0, raw=raw)

    def counted() -> bool:
        return int(swarm.status()["listener"]["bad_reports"]) >= 6

    eventually(counted, within_s=15, describe="six rejected reports")
    assert steady(swarm, 2) == pids
    assert swarm.records() == []
    assert swarm.log.count("report_rejected") == 1


def test_the_log_of_an_untroubled_run_has_no_complaint(
    start_swarm: StartSwarm,
) -> None:
    """Nothing is lost, nobody restarted, nothing warned of."""
    swarm = start_swarm(nodes=4)

    def heard_enough() -> bool:
        return int(swarm.status()["listener"]["reports"]) >= 60

    eventually(heard_enough, within_s=30, describe="60 reports")
    assert swarm.records() == []
    assert " WARNING " not in swarm.log
    assert " ERROR " not in swarm.log
    assert "overflow" not in swarm.daemon.log


def test_a_listener_that_hears_nothing_starts_afresh(start_swarm: StartSwarm) -> None:
    """A stray byte on its channel makes supervisord deaf to it, without a word."""
    swarm = start_swarm()
    old = swarm.listener_pid()

    with open(f"/proc/{old}/fd/1", "wb", buffering=0):  # where prints go: stderr
        pass
    channel = next(
        fd
        for fd in os.listdir(f"/proc/{old}/fd")
        if int(fd) > 2
        and os.readlink(f"/proc/{old}/fd/{fd}").startswith("pipe:")
        and _is_writable(old, fd)
    )
    with open(f"/proc/{old}/fd/{channel}", "wb", buffering=0) as stray:
        stray.write(b"stray")

    swarm.daemon.new_pid(LISTENER, than=old, within_s=45)
    assert "listener_unheard" in swarm.log
    assert swarm.records() == []


def _is_writable(pid: int, fd: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
        flags = next(line for line in info if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE == os.O_WRONLY
