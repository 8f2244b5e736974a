"""What speaks against a restart, seen over a whole group."""

from __future__ import annotations

import pytest

from swarm_event_listener.core.healing.guards import free_places
from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.node import appeared
from swarm_event_listener.core.node_table import Table
from tests.simulation import POLICY


@pytest.mark.parametrize(
    ("nodes", "limit"), [(1, 1), (4, 1), (7, 1), (8, 2), (100, 25)]
)
def test_a_quarter_may_be_down(nodes: int, limit: int) -> None:
    """By default a quarter of the group's nodes that run, at least one."""
    table = Table({"swarm": POLICY})
    for number in range(nodes):
        name, pid = f"swarm:node_{number}", 100 + number
        table.put(appeared(name, ProcessState.RUNNING, pid, now_s=0.0))
    table.put(appeared("swarm:stopped", ProcessState.STOPPED, None, now_s=0.0))

    assert free_places(table, "swarm", None, now_s=1.0) == limit
    assert free_places(table, "swarm", 3, now_s=1.0) == 3
