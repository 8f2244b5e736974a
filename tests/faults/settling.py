"""How a run ends: all is as it should be, once nothing more is done to the swarm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swarm_event_listener.core.model.events import ProcessInfo
from tests.eventually import eventually
from tests.faults.book import Book, Process
from tests.faults.stage import Stage
from tests.kafka.ledgered import PARTITIONS
from tests.process import scenes
from tests.process.swarms import GROUP, LISTENER, Swarm


def await_peace(stage: Stage) -> None:
    """Undo what was not to last, and wait until each node is as it should be."""

    def is_peaceful() -> bool:
        stage.undo()
        return at_peace(stage)

    eventually(
        is_peaceful,
        within_s=stage.scenario.peace_within_s,
        every_s=0.25,
        describe="each node running once, or stopped by the operator",
    )


def at_peace(stage: Stage) -> bool:
    """Whether each node is as it should be.

    Running and heard; or stopped by the operator; or running, and held by him; or a
    spare. Where he wants nothing, each that runs has its share of the partitions.
    """
    swarm, book = stage.swarm, stage.book
    status = swarm.status()
    told = {node["node"]: node for node in status.get("nodes", [])}
    if not told or status["listener"]["pid"] != swarm.daemon.pid(LISTENER):
        return False
    if swarm.intents() or not all(roll["is_over"] for roll in status["rolls"]):
        return False
    infos = [info for info in swarm.daemon.rpc.processes() if info.name in told]
    if not all(_is_as_told(info, told[info.name], book) for info in infos):
        return False
    return _all_have_their_share(stage, told)


def _is_as_told(info: ProcessInfo, told: dict[str, Any], book: Book) -> bool:
    if told["held"] is not (info.name in book.held_at_s):
        return False
    if info.name in book.stopped_at_s:
        return info.state == "STOPPED"
    if not book.is_wanted(info.name):
        return (info.state, told["health"]) == ("EXITED", "spare")
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
        and report["no_broker_ms"] is None
        and (report["consume_age_ms"] or 0) < 1_000
        and report["poll_age_ms"] < 1_000
        and told["report_age_s"] < 2
    )


def _all_have_their_share(stage: Stage, told: dict[str, Any]) -> bool:
    if stage.ledger is None or stage.book.stopped_at_s or stage.book.held_at_s:
        return True
    # Equal shares: with others a rebalance is under way, in which nobody can commit.
    run = [node for name, node in told.items() if stage.book.is_wanted(name)]
    return all(node["report"]["assigned"] == PARTITIONS // len(run) for node in run)


def stopped(swarm: Swarm) -> set[Process]:
    """Return the processes that an independent listener saw being stopped."""
    return {one for one, _ in _witnessed(swarm, "PROCESS_STATE_STOPPING")}


def left_down(swarm: Swarm) -> set[Process]:
    """Return those after which supervisord started none, for their exit code."""
    exits = _witnessed(swarm, "PROCESS_STATE_EXITED")
    return {one for one, tokens in exits if tokens["expected"] == "1"}


def _witnessed(swarm: Swarm, name: str) -> Iterator[tuple[Process, dict[str, str]]]:
    for event in scenes.witnessed(swarm):
        if event["event"] == name:
            tokens = dict(
                token.partition(":")[::2] for token in event["payload"].split()
            )
            if tokens["groupname"] == GROUP:
                slot = f"{GROUP}:{tokens['processname']}"
                yield Process(slot, int(tokens["pid"])), tokens
