"""What is to be seen of a swarm from outside once nothing more is done to it."""

from __future__ import annotations

from typing import Any

from swarm_event_listener.core.model.events import ProcessInfo
from tests.faults.book import Book
from tests.faults.verdict import Process
from tests.process import scenes
from tests.process.swarms import GROUP, LISTENER, Swarm


def stopped(swarm: Swarm) -> set[Process]:
    """Give the processes that an independent listener saw being stopped."""
    found = set()
    for event in scenes.witnessed(swarm):
        if event["event"] == "PROCESS_STATE_STOPPING":
            tokens = dict(
                token.partition(":")[::2] for token in event["payload"].split()
            )
            if tokens["groupname"] == GROUP:
                found.add((f"{GROUP}:{tokens['processname']}", int(tokens["pid"])))
    return found


def at_peace(swarm: Swarm, book: Book) -> bool:
    """Tell whether each node is as it should be.

    Running and heard; or stopped by the operator; or running, and held by him.
    """
    status = swarm.status()
    told = {node["node"]: node for node in status.get("nodes", [])}
    if not told or status["listener"]["pid"] != swarm.daemon.pid(LISTENER):
        return False
    if not all(roll["is_over"] for roll in status["rolls"]):
        return False
    infos = [info for info in swarm.daemon.rpc.processes() if info.name in told]
    return not swarm.intents() and all(
        _is_as_told(info, told[info.name], book) for info in infos
    )


def _is_as_told(info: ProcessInfo, told: dict[str, Any], book: Book) -> bool:
    if told["held"] is not (info.name in book.held_at_s):
        return False
    if info.name in book.stopped_at_s:
        return info.state == "STOPPED"
    if info.name in book.held_at_s:
        return info.state == "RUNNING"
    return _is_well(told, info.pid)


def _is_well(told: dict[str, Any], pid: int | None) -> bool:
    report = told["report"]
    return bool(
        pid is not None
        and told["pid"] == pid
        and told["restart"] is None
        and report
        and report["state"] == "running"
        and (report["consume_age_ms"] or 0) < 1_000
        and report["poll_age_ms"] < 1_000
        and told["report_age_s"] < 2
    )
