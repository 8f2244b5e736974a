"""Each death of a node is on record: what ended it, and how it came back."""

from __future__ import annotations

import os
import signal
from typing import Any, Final

import pytest

from tests.awaits import await_new_pid, await_records, await_reports, await_state
from tests.eventually import eventually
from tests.process.scenes import ctl, name_of, scene
from tests.process.swarms import LISTENER, Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

IN_FLIGHT: Final = ["orders/3@7"]


def test_each_death_is_on_record_with_its_cause() -> None:
    """KILL, a crash in C, exit 9, exit 78; and a stop that was asked for is none."""
    with scene(nodes=5) as swarm:
        pids = await_in_flight(swarm, 5)
        os.kill(pids[0], signal.SIGKILL)
        os.kill(pids[1], signal.SIGSEGV)
        swarm.tell(2, exit=9)
        (swarm.daemon.folder / "w_03.refused").touch()
        swarm.tell(3, exit=78)
        swarm.daemon.rpc.stop(name_of(4))
        deaths = await_deaths(swarm, 4)

        assert [deaths[name_of(node)]["death"] for node in range(4)] == [
            died("kill", pids[0], signal="SIGKILL"),
            died("signal", pids[1], signal="SIGSEGV"),
            died("exit", pids[2], exit_code=9),
            died("exit", pids[3], exit_code=78),
        ]
        for node in range(3):
            record = deaths[name_of(node)]
            assert (record["cause"], record["pid"]) == ("died", pids[node])
            assert record["in_flight"] == IN_FLIGHT
            assert record["new_pid"] == swarm.pid(node)
            assert record["recovered_at"] >= record["started_at"]
        assert deaths[name_of(3)]["started_at"] is None
        assert name_of(4) not in deaths
        assert f"pid {pids[0]} was ended by SIGKILL" in swarm.log
        told = ctl(swarm, "swarm", "why", name_of(1)).stdout
        assert f"pid {pids[1]} was ended by SIGSEGV" in told
        assert "polled again" in told


@pytest.mark.parametrize("log", ["/dev/null", "syslog"])
def test_without_supervisords_log_the_cause_is_not_known(log: str) -> None:
    """But for what supervisord leaves down: its exit code is in the list."""
    with scene(nodes=2, more=f"[supervisord]\nlogfile = {log}") as swarm:
        pids = await_in_flight(swarm, 2)
        os.kill(pids[0], signal.SIGKILL)
        (swarm.daemon.folder / "w_01.refused").touch()
        swarm.tell(1, exit=78)
        deaths = await_deaths(swarm, 2)

        assert deaths[name_of(0)]["death"] == died("unknown", pids[0])
        assert deaths[name_of(0)]["reason"] == f"pid {pids[0]} ended, cause not known"
        assert deaths[name_of(0)]["recovered_at"]
        assert deaths[name_of(1)]["death"] == died("exit", pids[1], exit_code=78)


def test_a_death_while_no_listener_runs_is_told_by_the_next() -> None:
    """And a restart by an operator meanwhile is none."""
    with scene(nodes=2, listener={"autorestart": "false"}) as swarm:
        pids = await_in_flight(swarm, 2)
        eventually(
            lambda: swarm.notes()["pids"] == {name_of(n): p for n, p in pids.items()},
            describe="the pids on record",
        )
        swarm.daemon.rpc.stop(LISTENER)
        await_state(swarm.daemon, LISTENER, "STOPPED")
        os.kill(pids[0], signal.SIGKILL)
        await_new_pid(swarm.daemon, name_of(0), than=pids[0])
        swarm.daemon.rpc.stop(name_of(1))
        await_state(swarm.daemon, name_of(1), "STOPPED")
        swarm.daemon.rpc.start(name_of(1))
        swarm.daemon.rpc.start(LISTENER)
        deaths = await_deaths(swarm, 1)

        assert deaths[name_of(0)]["death"] == died("kill", pids[0], signal="SIGKILL")
        assert deaths[name_of(0)]["new_pid"] == swarm.pid(0)
        assert set(deaths) == {name_of(0)}


def test_a_back_off_says_how_its_node_has_died() -> None:
    """And not that its successor was stopped within no time."""
    with scene(nodes=1, limits={"max_restarts": 1}) as swarm:
        first = await_in_flight(swarm, 1)[0]
        os.kill(first, signal.SIGKILL)
        await_deaths(swarm, 1)
        second = swarm.tell(0, exit=9)
        (record,) = await_records(swarm)

        assert record["death"] == died("exit", second, exit_code=9)
        assert record["reason"].endswith(f"; pid {second} exited with 9")
        assert len(swarm.deaths()) == 1
        told = ctl(swarm, "swarm", "why", name_of(0)).stdout
        assert "stopped within" not in told


def await_in_flight(swarm: Swarm, nodes: int) -> dict[int, int]:
    """Give each node a message in flight; return their pids."""
    await_reports(swarm, nodes)
    pids = {node: swarm.tell(node, in_flight=IN_FLIGHT) for node in range(nodes)}
    eventually(
        lambda: all(n["report"]["in_flight"] for n in swarm.status()["nodes"]),
        describe="messages in flight",
    )
    return pids


def await_deaths(swarm: Swarm, count: int) -> dict[str, dict[str, Any]]:
    """Wait until so many nodes have a death on record; return that of each."""

    def enough() -> dict[str, dict[str, Any]] | None:
        deaths = {record["node"]: record for record in swarm.deaths()}
        return deaths if len(deaths) >= count else None

    return eventually(enough, within_s=20, describe=f"{count} deaths")


def died(cause: str, pid: int, **known: object) -> dict[str, object]:
    """Return how a process died, as a record has it."""
    nothing = {"exit_code": None, "signal": None, "out_of_memory": "no"}
    return {"pid": pid, "cause": cause, **nothing, **known}
