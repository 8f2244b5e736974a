"""A rolling restart: one node after the other, and a stop at the first failure.

    waiting --> told to be quiet --batches done--> restarted --holds partitions--> done

The listener runs it, so that a command line that is killed leaves nothing half done,
and it is noted in the journal, so that a killed listener's successor goes on with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from swarm_event_listener.core.model.events import (
    UP,
    Action,
    ProcessState,
    RollOrdered,
    Signal,
)
from swarm_event_listener.core.node import Node
from swarm_worker.shared.report import State


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInProgress:
    """A node that a roll is at work on: it is made quiet, restarted, awaited.

    Attributes:
        name: The node.
        pid: The process that is to be replaced.
        since_s: Since when.
        had_partitions: Whether it held partitions before.
        is_asked: Whether it was told to be quiet.
    """

    name: str
    pid: int
    since_s: float
    had_partitions: bool
    is_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """A rolling restart under way, or how the last one ended.

    Attributes:
        group: The group.
        max_unavailable: So many nodes may be in progress at once.
        timeout_s: What a node has until it holds partitions again.
        waiting: Nodes that are still to be restarted, in order.
        ordered_at_s: When it was ordered, as the order told it.
        turned: Nodes in progress; the journal and the log have this name.
        done: Nodes that work again.
        skipped: Nodes that were not running; they stay so.
        held: Nodes that ran and were held; they stay the processes that they were.
        restarting: Nodes that were down for a restart when their turn came, which the
            listener starts by itself: with the new code.
        failure: What went wrong; None while nothing did.
        is_cancelled: An operator stopped it: nodes in progress are finished.
    """

    group: str
    max_unavailable: int
    timeout_s: float
    waiting: tuple[str, ...]
    ordered_at_s: float | None = None
    turned: tuple[NodeInProgress, ...] = ()
    done: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    restarting: tuple[str, ...] = ()
    failure: str | None = None
    is_cancelled: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be done."""
        return not self.turned and (
            not self.waiting or self.is_cancelled or self.failure is not None
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, for the journal and the status file.

        It is read back by another version, too: a roll that is under way goes on
        through an upgrade of the listener, and back. So a new field has a default.
        """
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class RollStep:
    """What a roll came to: signals to send, nodes to restart now, places left."""

    roll: Roll
    actions: tuple[Action, ...] = ()
    to_restart: tuple[str, ...] = ()
    free_places: int = 0


def begun(order: RollOrdered, nodes: Iterable[Node]) -> Roll:
    """Return the roll of a group's nodes; those that are held or down are left out.

    One that is being restarted is not: it may be up again by then.
    """
    roll = Roll(
        group=order.group,
        max_unavailable=order.max_unavailable,
        timeout_s=order.timeout_s,
        ordered_at_s=order.ordered_at_s,
        waiting=(),
    )
    for node in sorted(nodes, key=lambda node: node.name):
        is_down = node.restart is None and node.state not in UP
        if node.is_held or is_down:
            roll = _left_alone(roll, node.name, node)
        else:
            roll = replace(roll, waiting=(*roll.waiting, node.name))
    return roll


def _left_alone(roll: Roll, name: str, node: Node | None) -> Roll:
    """Pass a node over: only one that runs keeps the code that it has."""
    if node is not None and node.is_held and node.state in UP:
        return replace(roll, held=(*roll.held, name))
    if node is not None and node.restart is not None and node.restart.starts_again:
        return replace(roll, restarting=(*roll.restarting, name))
    return replace(roll, skipped=(*roll.skipped, name))


def advance(
    roll: Roll, nodes: Mapping[str, Node], *, free_places: int, now_s: float
) -> RollStep:
    """Move each node in progress on, and begin with the next ones.

    Args:
        roll: The roll.
        nodes: All known nodes.
        free_places: How many nodes more may be down in the group.
        now_s: Now.
    """
    step = RollStep(roll, free_places=free_places)
    for current in roll.turned:
        step = _move(step, current, nodes.get(current.name), now_s=now_s)
    while _may_begin_next(step.roll, nodes, step.free_places):
        step = _begin_next(step, nodes, now_s=now_s)
    return step


def _may_begin_next(roll: Roll, nodes: Mapping[str, Node], free_places: int) -> bool:
    """A node that was made quiet is about to need a place of its own."""
    quiet_count = sum(
        _is_old(current, nodes.get(current.name)) for current in roll.turned
    )
    return (
        bool(roll.waiting)
        and roll.failure is None
        and not roll.is_cancelled
        and len(roll.turned) < roll.max_unavailable
        and free_places > quiet_count
        and not _is_starting(nodes.get(roll.waiting[0]))
    )


def _is_starting(node: Node | None) -> bool:
    """Whether a node will soon run, or fail to: until then it is waited for."""
    return node is not None and node.state is ProcessState.STARTING and not node.is_held


def _is_old(current: NodeInProgress, node: Node | None) -> bool:
    """Whether a node in progress is still to be stopped."""
    return node is not None and node.restart is None and node.pid == current.pid


def _begin_next(step: RollStep, nodes: Mapping[str, Node], *, now_s: float) -> RollStep:
    name, *rest = step.roll.waiting
    roll = replace(step.roll, waiting=tuple(rest))
    node = nodes.get(name)
    if node is None or not _may_be_rolled(node) or node.pid is None:
        return replace(step, roll=_left_alone(roll, name, node))
    current = NodeInProgress(
        name=name,
        pid=node.pid,
        since_s=now_s,
        had_partitions=bool(node.report and node.report.assigned),
    )
    step = replace(step, roll=replace(roll, turned=(*roll.turned, current)))
    return _move(step, current, node, now_s=now_s)


def _may_be_rolled(node: Node) -> bool:
    return node.state is ProcessState.RUNNING and not node.is_held


def _move(
    step: RollStep, current: NodeInProgress, node: Node | None, *, now_s: float
) -> RollStep:
    """Move one node on as far as its reports allow."""
    if node is None:
        return _failed(step, current, "is no longer known", is_quiet=False)
    is_old = node.pid == current.pid
    why = _lacks(current, node, free_places=step.free_places)
    broken = _breaks(step.roll, current, node, why, now_s=now_s)
    if broken:
        return _failed(step, current, broken, is_quiet=is_old and current.is_asked)
    if is_old and node.is_known and not current.is_asked:
        return _told_to_be_quiet(step, current)
    if why:
        return step
    if is_old:
        return replace(
            step,
            to_restart=(*step.to_restart, current.name),
            free_places=step.free_places - 1,
        )
    return replace(
        step,
        roll=replace(_with(step.roll, current), done=(*step.roll.done, current.name)),
    )


def _breaks(
    roll: Roll, current: NodeInProgress, node: Node, lacks: str | None, *, now_s: float
) -> str | None:
    """Return why a roll has to stop at this node; None while it need not."""
    if any(failure.at_s > current.since_s for failure in node.failures):
        return "failed in its turn"
    if node.is_held and (_is_old(current, node) or _is_down(node)):
        return "is held"
    if _is_down(node):
        return "was stopped by somebody else"
    if lacks and now_s - current.since_s > roll.timeout_s:
        return f"{lacks} within {roll.timeout_s:.0f} s"
    return None


def _is_down(node: Node) -> bool:
    """Whether a node stays down: nobody is about to start it."""
    return node.restart is None and node.state is ProcessState.STOPPED


def _told_to_be_quiet(step: RollStep, current: NodeInProgress) -> RollStep:
    """Send TSTP; not before the node is known, since it needs a handler for that."""
    asked = replace(current, is_asked=True)
    signal = Signal(name=current.name, pid=current.pid, signal="TSTP")
    return replace(
        step,
        roll=_with(step.roll, current, asked),
        actions=(*step.actions, signal),
    )


def _lacks(current: NodeInProgress, node: Node, *, free_places: int) -> str | None:
    """Return what is still missing for a node's next step; None when nothing is."""
    reason = node.report.not_joined if node.report else ""
    out = f" ({reason})" if reason else ""
    if node.restart is not None:
        return f"was not back{out}"
    if node.pid == current.pid:
        if not (current.is_asked and _is_drained(node)):
            return "did not end its batches"
        return None if free_places > 0 else "found too many others down"
    if not node.has_recovered:
        return f"did not join again{out}" if out else "did not poll again"
    if current.had_partitions and not (node.report and node.report.assigned):
        return "got no partitions back"
    return None


def _is_drained(node: Node) -> bool:
    report = node.report
    if report is None:  # it does not speak our reports: its graceful stop drains it
        return True
    return report.state is State.QUIET and report.consume_age_ms is None


def _with(roll: Roll, old: NodeInProgress, *new: NodeInProgress) -> Roll:
    others = [current for current in roll.turned if current is not old]
    return replace(roll, turned=(*others, *new))


def _failed(
    step: RollStep, current: NodeInProgress, why: str, *, is_quiet: bool
) -> RollStep:
    """Stop the roll; a node that was only quieted goes back to work."""
    failure = step.roll.failure or f"{current.name} {why}"
    roll = replace(_with(step.roll, current), failure=failure)
    if not is_quiet:
        return replace(step, roll=roll)
    back = Signal(name=current.name, pid=current.pid, signal="CONT")
    return replace(step, roll=roll, actions=(*step.actions, back))
