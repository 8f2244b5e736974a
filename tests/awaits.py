"""What tests wait for: facts of processes, supervisord, a swarm, and Kafka.

Each function returns once it is so, and fails with what was seen last. What one test
alone waits for it asks of `tests.eventually`, on which all of these stand.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException

from swarm_event_listener.supervisord.rpc import SupervisorFault, SupervisorUnreachable
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.process.scenes import pids
from tests.process.swarms import LISTENER, Swarm
from tests.supervisord import Supervisord, is_alive


def await_seconds(seconds: float) -> None:
    """Let time pass where that is the subject: a freeze has to last."""
    until_s = time.monotonic() + seconds
    eventually(
        lambda: time.monotonic() >= until_s,
        within_s=seconds + 1,
        describe=f"{seconds} s later",
    )


def await_gone(pid: int, *, within_s: float = 10.0) -> None:
    """Wait until a process is gone, or a zombie."""
    eventually(
        lambda: not is_alive(pid), within_s=within_s, describe=f"the end of pid {pid}"
    )


# --- supervisord ----------------------------------------------------------------------


def await_state(
    daemon: Supervisord, name: str, *states: str, within_s: float = 10.0
) -> int | None:
    """Wait until a process is in one of the states; return its pid."""
    eventually(
        lambda: daemon.state(name) in states or None,
        within_s=within_s,
        describe=f"{name} in {' or '.join(states)}",
    )
    return daemon.pid(name)


def await_new_pid(
    daemon: Supervisord, name: str, *, than: int | None, within_s: float = 20.0
) -> int:
    """Wait until a process runs under another pid; return that."""

    def other() -> int | None:
        info = daemon.rpc.process(name)
        return info.pid if info.state == "RUNNING" and info.pid != than else None

    return eventually(other, within_s=within_s, describe=f"a new pid of {name}")


# --- the listener ---------------------------------------------------------------------


def await_reports(swarm: Swarm, nodes: int, *, within_s: float = 20.0) -> None:
    """Wait until the present listener has heard from all nodes' present processes."""

    def heard() -> bool:
        try:
            listener_pid = swarm.daemon.pid(LISTENER)
            present = pids(swarm, nodes)
        except (SupervisorFault, SupervisorUnreachable, KeyError):
            return False  # in the middle of a reload or an update
        status = swarm.status()
        if status.get("listener", {}).get("pid") != listener_pid:
            return False
        told = {
            node["pid"]
            for node in status["nodes"]
            if node["report"] and node["report"]["state"] in {"running", "quiet"}
        }
        return None not in present.values() and told >= set(present.values())

    eventually(heard, within_s=within_s, describe=f"reports of {nodes} nodes")


def await_heard(swarm: Swarm, reports: int, *, within_s: float = 30.0) -> None:
    """Wait until the listener has heard so many more reports: a measure of time."""
    first = int(swarm.status()["listener"]["reports"])

    def more() -> bool:
        return int(swarm.status()["listener"]["reports"]) >= first + reports

    eventually(more, within_s=within_s, describe=f"{reports} more reports")


def await_said(swarm: Swarm, text: str, *, within_s: float = 10.0) -> None:
    """Wait until the listener has logged a text."""
    eventually(lambda: text in swarm.log, within_s=within_s, describe=text)


def await_records(
    swarm: Swarm, count: int = 1, *, within_s: float = 20.0, every_s: float = 0.05
) -> list[dict[str, Any]]:
    """Wait until there are so many records of restarts; return all."""

    def enough() -> list[dict[str, Any]] | None:
        records = swarm.records()
        return records if len(records) >= count else None

    return eventually(
        enough,
        within_s=within_s,
        every_s=every_s,
        describe=f"{count} records\n{swarm.log}",
    )


def await_restarted(
    swarm: Swarm, node: int, *, than: int, within_s: float = 25.0
) -> int:
    """Wait for another pid of a node, and for the record of its restart."""
    pid = await_new_pid(swarm.daemon, swarm.name(node), than=than, within_s=within_s)
    eventually(
        lambda: [r for r in swarm.records() if r["pid"] == than],
        describe=f"a record of the restart of pid {than}",
    )
    return pid


def await_no_restart(swarm: Swarm, *, within_s: float = 20.0) -> None:
    """Wait until no restart is under way."""
    eventually(
        lambda: not swarm.intents(), within_s=within_s, describe="no restart under way"
    )


# --- Kafka ----------------------------------------------------------------------------


def await_committed(
    kafka: KafkaBroker,
    group: str,
    topic: str,
    offsets: Mapping[int, int],
    *,
    within_s: float = 10.0,
) -> None:
    """Wait until the group has committed exactly these offsets.

    Those of partitions without messages, of which a node commits 0, may be left out.
    """

    def reached() -> bool:
        try:
            told = kafka.committed(group, topic)
        except KafkaException:  # the coordinator comes up
            return False
        worked_on = {at: n for at, n in told.items() if n or at in offsets}
        return worked_on == dict(offsets)

    eventually(
        reached,
        within_s=within_s,
        every_s=0.1,
        describe=f"committed offsets of {group} are {dict(offsets)}",
    )
