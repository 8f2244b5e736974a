"""Which state a node's reports tell of."""

from __future__ import annotations

from swarm_worker.reporting.lifecycle import Lifecycle
from swarm_worker.shared.report import State


def test_a_node_boots_until_all_its_consumers_have_joined() -> None:
    """That they once have is enough: a rebalance makes nobody boot again."""
    lifecycle = Lifecycle()

    assert lifecycle.state(joined=True) is State.BOOTING  # of whom? nothing runs yet
    lifecycle.started = True
    assert lifecycle.state(joined=False) is State.BOOTING
    assert lifecycle.state(joined=True) is State.RUNNING
    assert lifecycle.state(joined=False) is State.RUNNING


def test_quiet_is_told_of_a_node_that_runs_and_stopping_of_any() -> None:
    """A node that is told to be quiet while it boots is still one that boots."""
    lifecycle = Lifecycle()
    lifecycle.quiet = True

    assert lifecycle.state(joined=False) is State.BOOTING
    lifecycle.started = True
    assert lifecycle.state(joined=True) is State.QUIET
    lifecycle.quiet = False
    assert lifecycle.state(joined=True) is State.RUNNING
    lifecycle.stopping = True
    assert lifecycle.state(joined=True) is State.STOPPING
    assert Lifecycle().state(joined=False) is State.BOOTING
