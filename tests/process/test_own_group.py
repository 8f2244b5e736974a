"""What a handler has started ends with its node, whatever process group it has made."""

from __future__ import annotations

import os
import signal

import pytest

from tests.process.test_offspring import all_end, children, ended_with, parents
from tests.supervisord import is_alive

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

KINDS = "own_group,own_session"


def test_a_group_of_ones_own_ends_after_a_stop_in_order() -> None:
    """As servers make one for their workers; a session of its own stays."""
    with parents(KINDS) as daemon:
        mine = children(daemon, *KINDS.split(","))

        daemon.rpc.stop("w:w_00")
        ended_with(daemon, 0)

        all_end(daemon, mine["own_group"])
        assert is_alive(mine["own_session"])


def test_the_next_node_ends_a_group_of_ones_own() -> None:
    """After a KILL nothing but its environment tells whose it was."""
    with parents(KINDS, nodes=2) as daemon:
        mine = children(daemon, *KINDS.split(","))
        others = children(daemon, *KINDS.split(","), node=1)
        pid = daemon.pid("w:w_00")
        assert pid is not None

        os.kill(pid, signal.SIGKILL)

        all_end(daemon, mine["own_group"])
        assert is_alive(mine["own_session"])
        assert all(map(is_alive, others.values()))
