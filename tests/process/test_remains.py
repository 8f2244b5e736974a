"""What a node ends of its slot's last process, and what it must not touch."""

import os
import signal
import subprocess

import pytest

from swarm_worker.node import remains
from swarm_worker.node.remains import Remains
from swarm_worker.process.last_act import IF_STILL_THERE, LastAct
from swarm_worker.process.offspring import Mark, Process
from swarm_worker.process.processes import look_at
from tests.nodes import SUPERVISED

pytestmark = pytest.mark.process


def process(pid: int, *, group: int, session: int, started: int) -> Process:
    """Return a process whose parent is gone."""
    return Process(
        pid=pid,
        parent=1,
        group=group,
        session=session,
        started=started,
        name="x",
        is_dead=False,
    )


@pytest.mark.parametrize(("later_by", "ends"), [(0, True), (1, False)])
def test_a_number_is_killed_if_it_is_the_same_process(
    *, later_by: int, ends: bool
) -> None:
    """By the shell that waits a second after an exit in order."""
    with subprocess.Popen(["sleep", "60"]) as child:
        found = look_at(child.pid)
        assert found
        script = IF_STILL_THERE.format(pid=found.pid, started=found.started + later_by)
        subprocess.run(["/bin/sh", "-c", script], check=False)

        assert (child.poll() is None) != ends or child.wait(10) == -signal.SIGKILL
        child.kill()


def test_without_the_names_of_its_slot_a_node_ends_nothing_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What wraps it may have taken them away: then all would have them."""
    me = os.getpid()
    own = process(me, group=me, session=10, started=900)
    sibling = process(me + 1, group=me + 1, session=10, started=600)
    mark = Mark(pid=me + 2, group=me + 2, started=500, era="e", seen=800)
    ended: list[int] = []
    monkeypatch.setattr(remains, "tell", lambda told, _: ended.append(told.pid))
    monkeypatch.setattr(remains, "running", lambda: {me: own, me + 1: sibling})
    monkeypatch.setattr(remains, "look_at", {me: own}.get)
    monkeypatch.setattr(remains, "era", lambda: "e")
    monkeypatch.setattr(remains, "has_environment", lambda _, names: not names)
    last_act = LastAct()
    last_act.has_group = True
    slot = os.memfd_create("slot")
    os.write(slot, mark.encode())
    try:
        Remains(last_act, {}).end(slot)
    finally:
        os.close(slot)

    assert ended == []


def test_a_group_whose_number_came_round_is_not_ended_with_a_child_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A child in a group of its own proves nothing of its node's group."""
    me = os.getpid()
    own = process(me, group=me, session=10, started=900)
    child = process(me + 1, group=me + 1, session=10, started=600)
    stranger = process(me + 2, group=me + 2, session=77, started=850)
    mark = Mark(pid=me + 2, group=me + 2, started=500, era="e", seen=800)
    there = {each.pid: each for each in (own, child, stranger)}
    ended: list[int] = []

    def tell(told: Process, _: signal.Signals) -> None:
        ended.append(told.pid)
        there.pop(told.pid, None)

    monkeypatch.setattr(remains, "tell", tell)
    monkeypatch.setattr(remains, "running", lambda: dict(there))
    monkeypatch.setattr(remains, "look_at", there.get)
    monkeypatch.setattr(remains, "era", lambda: "e")
    monkeypatch.setattr(remains, "has_environment", lambda pid, _: pid == child.pid)
    last_act = LastAct()
    last_act.has_group = True
    slot = os.memfd_create("slot")
    os.write(slot, mark.encode())
    try:
        Remains(last_act, SUPERVISED).end(slot)
    finally:
        os.close(slot)

    assert ended == [child.pid]
