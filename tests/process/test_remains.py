"""What a node ends of its slot's last process, and what it must not touch."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping

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


@pytest.mark.parametrize(("later_by", "by"), [(0, signal.SIGKILL), (1, signal.SIGTERM)])
def test_a_number_is_killed_if_it_is_the_same_process(
    later_by: int, by: signal.Signals
) -> None:
    """By the shell that waits a second after an exit in order."""
    with subprocess.Popen(["sleep", "60"]) as child:
        found = look_at(child.pid)
        assert found
        script = IF_STILL_THERE.format(pid=found.pid, started=found.started + later_by)
        subprocess.run(["/bin/sh", "-c", script], check=False)
        child.terminate()  # what lives still ends by this

        assert child.wait(10) == -by


def ended_of(
    mark: Mark,
    *others: Process,
    own: Process,
    environ: Mapping[str, str],
    has_environment: Callable[[int, Mapping[str, str]], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> list[int]:
    """Return what a node KILLs that follows in a slot, in order.

    Args:
        mark: What the last node left there.
        others: The processes that there are beside the node.
        own: The node.
        environ: Its environment.
        has_environment: Whether a pid's environment has some names and values.
        monkeypatch: The test's.
    """
    there = {each.pid: each for each in (own, *others)}
    ended: list[int] = []

    def tell(told: Process, _: signal.Signals) -> None:
        ended.append(told.pid)
        there.pop(told.pid, None)

    monkeypatch.setattr(remains, "tell", tell)
    monkeypatch.setattr(remains, "running", lambda: dict(there))
    monkeypatch.setattr(remains, "look_at", there.get)
    monkeypatch.setattr(remains, "era", lambda: mark.era)
    monkeypatch.setattr(remains, "has_environment", has_environment)
    last_act = LastAct()
    last_act.has_group = True
    slot = os.memfd_create("slot")
    os.write(slot, mark.encode())
    try:
        Remains(last_act, environ).end(slot)
    finally:
        os.close(slot)
    return ended


def test_without_the_names_of_its_slot_a_node_ends_nothing_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What wraps it may have taken them away: then all would have them."""
    me = os.getpid()

    ended = ended_of(
        Mark(pid=me + 2, group=me + 2, started=500, era="e", seen=800),
        process(me + 1, group=me + 1, session=10, started=600),
        own=process(me, group=me, session=10, started=900),
        environ={},
        has_environment=lambda _, names: not names,
        monkeypatch=monkeypatch,
    )

    assert ended == []


def test_a_group_whose_number_came_round_is_not_ended_with_a_child_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A child in a group of its own proves nothing of its node's group."""
    me = os.getpid()
    child = process(me + 1, group=me + 1, session=10, started=600)
    stranger = process(me + 2, group=me + 2, session=77, started=850)

    ended = ended_of(
        Mark(pid=me + 2, group=me + 2, started=500, era="e", seen=800),
        child,
        stranger,
        own=process(me, group=me, session=10, started=900),
        environ=SUPERVISED,
        has_environment=lambda pid, _: pid == child.pid,
        monkeypatch=monkeypatch,
    )

    assert ended == [child.pid]
