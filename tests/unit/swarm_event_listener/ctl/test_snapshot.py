"""What follows from what supervisord and the listener say at one moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swarm_event_listener.ctl.known.snapshot import Snapshot
from swarm_event_listener.ctl.sources.place import Place
from swarm_event_listener.ctl.sources.state import ListenerStatus, StateError
from tests.operators import LISTENER, listener_status, node_status, process

PLACE = Place(directory=Path("/run"), groups=("v",), pool="swarm")


def snapshot(status: ListenerStatus | None, *, error: str = "") -> Snapshot:
    """Return what is known of two nodes and their listener."""
    processes = (process("w:w_00"), process("w:w_01", pid=8), LISTENER)
    return Snapshot(processes=processes, place=PLACE, status=status, error=error)


def test_without_a_status_the_configuration_names_the_groups() -> None:
    """And where that is not known either, there are none."""
    unread = snapshot(None, error="no status.json")

    assert snapshot(listener_status()).groups == ("w",)
    assert unread.groups == ("v",)
    assert replace(unread, place=None).groups == ()


def test_a_status_that_is_not_known_is_a_warning_and_not_a_stale_one() -> None:
    """It takes no orders, and its error says why."""
    unread = snapshot(None, error="no status.json")

    assert unread.warnings == ["warning: no status.json"]
    assert unread.stale is None
    assert unread.is_settled
    assert unread.rolls({"w"}) == []
    with pytest.raises(StateError, match=r"^no status\.json$"):
        unread.taking_orders()


def test_the_status_of_an_earlier_boot_is_that_of_no_listener() -> None:
    """The process id in it is anybody's now."""
    before = snapshot(listener_status(age_s=None))
    gone = replace(before, processes=before.processes[:-1])

    assert before.stale is not None
    assert before.stale.text.startswith("the listener, pid 1, runs for 75 s and has")
    assert gone.stale is not None
    assert gone.stale.text == (
        "the listener has said nothing since the machine started; start it"
    )


def test_it_is_settled_once_both_tell_of_the_same_processes() -> None:
    """Those that the listener does not watch do not count."""
    first, other = node_status(), node_status(node="w:w_01", pid=9)

    assert snapshot(listener_status(first)).is_settled
    assert not snapshot(listener_status(first, other)).is_settled
    assert snapshot(listener_status(first, other, age_s=11.0)).is_settled


def test_a_name_of_several_nodes_is_not_that_of_one() -> None:
    """One of them is named, as an example."""
    known = snapshot(listener_status())

    assert known.one("w_01").pid == 8
    with pytest.raises(StateError, match=r"^w: ERROR \(2 nodes; .* such as w:w_00\)$"):
        known.one("w")
    with pytest.raises(StateError, match="no such group or node"):
        known.one("x")
