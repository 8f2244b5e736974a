"""How nodes stand to an order of how many are to run, and what is left to do for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.ctl.known.node_rows import has_changed, partitions_of
from swarm_event_listener.ctl.known.scaling import Node, Program
from swarm_event_listener.ctl.sources.supervisord import Process
from swarm_worker.shared.report import State
from swarm_worker.shared.settings import STAYS_DOWN


class Stage(StrEnum):
    """How far a node is from what an order asks of it."""

    DONE = "done"
    UNDER_WAY = "under way"
    FAILED = "failed"  # somebody else has to do something


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands to an order, for the program and for people."""

    stage: Stage
    text: str


def to_start(program: Program, wanted: int) -> tuple[str, ...]:
    """Return the nodes that are down as spares, and needed.

    What an operator has stopped or holds is not started for him.
    """
    return tuple(
        node.name
        for node in program.nodes
        if node.node_id < wanted and node.process.exited_as_spare and not node.is_held
    )


def to_leave(program: Program, wanted: int) -> tuple[Process, ...]:
    """Return the processes that are not needed, and can be told to leave and end.

    One that has not reported may not have its handlers yet: it looks at the number by
    itself.
    """
    return tuple(
        node.process
        for node in program.nodes
        if node.node_id >= wanted and node.report and not node.report.get("spare")
    )


def standings(
    program: Program, wanted: int, *, started: Mapping[str, str]
) -> Mapping[str, Standing]:
    """Return how the nodes of a program stand to an order, by name.

    Args:
        program: As it is now.
        wanted: How many nodes are to run.
        started: Nodes that were started for this order, each with why supervisord
            refused, empty where it did not.
    """
    return {
        node.name: _needed(node, program, started)
        if node.node_id < wanted
        else _not_needed(node)
        for node in program.nodes
    }


def _not_needed(node: Node) -> Standing:
    process = node.process
    if process.exited_as_spare:
        return Standing(Stage.DONE, "a spare")
    if _is_down_for_good(process):
        return Standing(Stage.DONE, f"down already, {process.state}")
    return Standing(Stage.UNDER_WAY, "to leave its group and end")


def _is_down_for_good(process: Process) -> bool:
    """Whether supervisord by itself leaves it down."""
    if process.state is ProcessState.EXITED:
        return process.exit_code in STAYS_DOWN
    return process.state in {
        ProcessState.STOPPED,
        ProcessState.FATAL,
        ProcessState.UNKNOWN,
    }


def _needed(node: Node, program: Program, started: Mapping[str, str]) -> Standing:
    process = node.process
    if process.exited_as_spare:
        return _spare(node, started)
    if process.pid is not None:
        return _up(node, is_heard=program.is_heard)
    is_restarted = program.is_heard and (
        has_changed(process, node.told) or node.told.get("restart")
    )
    if is_restarted or not _is_down_for_good(process):
        return Standing(Stage.UNDER_WAY, f"{process.state}, to be started again")
    return Standing(Stage.FAILED, _down(node, is_heard=program.is_heard))


def _spare(node: Node, started: Mapping[str, str]) -> Standing:
    if node.is_held:
        release = f"swarm release {node.name}, and the listener starts it"
        return Standing(Stage.FAILED, f"held: not started; {release}")
    if node.name in started:
        again = (
            "started, and it ended as a spare again: its log says which number it read"
        )
        return Standing(Stage.FAILED, started[node.name] or again)
    return Standing(Stage.UNDER_WAY, "to be started")


def _down(node: Node, *, is_heard: bool) -> str:
    """Return why a node is down, and who brings it back."""
    process = node.process
    why = str(node.told.get("why") or "") if is_heard else ""
    if process.state is ProcessState.STOPPED:
        return why or f"stopped by an operator; supervisorctl start {node.name}"
    return f"{process.state}: {why or 'see its log'}"


def _up(node: Node, *, is_heard: bool) -> Standing:
    report = node.report
    if not is_heard:
        return Standing(Stage.UNDER_WAY, "runs; whether it works is not known")
    if report.get("state") == State.QUIET:
        return Standing(
            Stage.FAILED, f"quiet, by an operator's command; swarm resume {node.name}"
        )
    hindrance = str(report.get("not_joined") or "")
    if report.get("state") != State.RUNNING or hindrance:
        return Standing(Stage.UNDER_WAY, f"boots{hindrance and f': {hindrance}'}")
    held = partitions_of(report)
    text = "works" if held is None else f"works, partitions: {held}"
    return Standing(Stage.DONE, text)
