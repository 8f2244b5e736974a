"""How many nodes of each program are to run, by whose order; and what changed that.

Nodes follow an order by themselves. What is left to the listener is on record here, and
the start of nodes that are missing is in `healing.due`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.model.events import Action, ScaleRead, group_of
from swarm_event_listener.core.model.scale_change import ScaleChange
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.node_table import Table
from swarm_worker.shared.scale import Scale, wanted_nodes

CHANGES_MAX: Final = 50  # of all groups


class Scaling:
    """Knows the orders, and their last changes, over the lives of listeners."""

    def __init__(self, table: Table, changes: Iterable[ScaleChange]) -> None:
        """Go on with the changes that an earlier listener has on record."""
        self._table = table
        self.changes = tuple(changes)

    def read(self, event: ScaleRead, *, now_s: float) -> Iterator[Action]:
        """Take in what the file says now."""
        self._table.take_orders(event.orders, now_s=now_s)
        watched = {
            key: order
            for key, order in event.orders.items()
            if group_of(key) in self._table.policies
        }
        found = list(_changed(self.changes, watched))
        self.changes = (*self.changes, *found)[-CHANGES_MAX:]
        yield from map(lines.scaled, found)

    def told(self) -> dict[str, dict[str, Any]]:
        """Return for each program how many nodes are to run, and what is known of them.

        By ``group``, or ``group:program`` where a group has two. ``least`` is how many
        the app needs, ``partitions`` how many its nodes hold; ``by``, ``why`` and
        ``at`` are those of the order, where there is one.
        """
        return {
            key: _figures(nodes, self._table)
            for group in sorted(self._table.policies)
            for key, nodes in _programs(
                group, self._table.of(self._table.group(group).names)
            )
        }

    def as_json(self) -> Sequence[Mapping[str, Any]]:
        """Return the changes as plain data, for the journal."""
        return [dataclasses.asdict(change) for change in self.changes]


def _programs(group: str, nodes: Iterable[Node]) -> Iterator[tuple[str, list[Node]]]:
    """Yield the programs of a group, by the key of an order, with their nodes."""
    programs: dict[str, list[Node]] = {}
    for node in nodes:
        programs.setdefault(node.program, []).append(node)
    is_one = len(programs) == 1
    for name, of_program in sorted(programs.items()):
        yield (group if is_one else f"{group}:{name}"), of_program


def _figures(nodes: Sequence[Node], table: Table) -> dict[str, Any]:
    reports = [node.report for node in nodes if node.report and node.is_counted]
    order, start_nodes = table.order(nodes[0]), table.policy(nodes[0]).start_nodes
    return {
        **(dataclasses.asdict(order) if order else {}),
        "nodes": wanted_nodes(order, start_nodes=start_nodes, most=len(nodes)),
        "running": sum(node.is_counted for node in nodes),
        "least": max((report.least_nodes for report in reports), default=0),
        "most": len(nodes),
        "partitions": sum(report.assigned for report in reports),
    }


def _changed(
    changes: Sequence[ScaleChange], orders: Mapping[str, Scale]
) -> Iterator[ScaleChange]:
    """Yield what differs from the last changes of each key."""
    last = {change.key: change for change in changes}
    for key in sorted(last.keys() | orders.keys()):
        known, order = last.get(key), orders.get(key)
        before = known.nodes if known else None
        if order is None and before is not None:
            yield ScaleChange(key=key, before=before, nodes=None)
        elif order is not None and (known is None or _differs(known, order)):
            yield ScaleChange(key=key, before=before, **dataclasses.asdict(order))


def _differs(known: ScaleChange, order: Scale) -> bool:
    return (known.nodes, known.by, known.why, known.at) != dataclasses.astuple(order)
