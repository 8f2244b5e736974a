"""Nodes that go wrong all at once: each is found by its rule, and no other is touched.

One swarm for all: whatever is wrong with a node must not be held against another.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.awaits import await_heard, await_new_pid, await_reports, await_restarted
from tests.eventually import eventually
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.swarms import Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ROLES: Final = (
    "untouched",
    "frozen",
    "frozen_shortly",
    "hold_gil",
    "sleep",
    "slow_but_legal",
    "wedge_poll",
    "kill_poll",
    "leak",
    "flood",
    "forge",
    "close_stdout",
    "exit_well",
)
STATUS: Final = {"frozen": -1, "hold_gil": -1, "sleep": 2, "wedge_poll": 1, "leak": 3}
LEFT_ALONE: Final = (
    "untouched",
    "frozen_shortly",
    "slow_but_legal",
    "flood",
    "forge",
    "close_stdout",
)


@dataclass
class Faulted:
    """The swarm, its witness, and who was who when the faults came."""

    swarm: Swarm
    lives: Lives
    pids: dict[str, int]

    def node(self, role: str) -> int:
        """Return the node of a role."""
        return ROLES.index(role)

    def log(self, role: str) -> str:
        """Return what a node wrote."""
        return self.swarm.daemon.file(f"w_{self.node(role):02d}.log")


@pytest.fixture(scope="module")
def faulted() -> Iterator[Faulted]:
    """Start a node for each role, and bring all faults about."""
    options = {
        "nodes": len(ROLES),
        "command": scenes.NODE,
        "limits": {"max_unavailable": len(ROLES), "memory_limit": 300},
    }
    with scenes.watched_scene(**options) as (swarm, lives):
        await_reports(swarm, len(ROLES), within_s=40)
        pids = {role: swarm.pid(node) for node, role in enumerate(ROLES)}
        for node, role in enumerate(ROLES):
            if role == "slow_but_legal":
                swarm.tell(node, batch_s=4.5)
            elif role not in {"untouched", "frozen", "frozen_shortly"}:
                swarm.tell(node, fault=role)
        os.kill(pids["frozen"], signal.SIGSTOP)
        os.kill(pids["frozen_shortly"], signal.SIGSTOP)
        try:
            await_heard(swarm, 40)  # about 2.5 s of the nodes that report
        finally:
            os.kill(pids["frozen_shortly"], signal.SIGCONT)
        yield Faulted(swarm, lives, pids)


@pytest.mark.parametrize("role", sorted(STATUS))
def test_each_fault_is_found_by_its_rule_and_healed_once(
    faulted: Faulted, role: str
) -> None:
    """One record with the right status, a new process that works."""
    swarm, node = faulted.swarm, faulted.node(role)

    await_restarted(swarm, node, than=faulted.pids[role], within_s=40)
    eventually(
        lambda: scenes.records_of(swarm, node)[0]["recovered_at"],
        within_s=20,
        describe="the end of the record",
    )

    (record,) = scenes.records_of(swarm, node)
    assert (record["pid"], record["status"]) == (faulted.pids[role], STATUS[role])
    assert scenes.stops(swarm, node) == 1
    assert len(faulted.lives.all(scenes.name_of(node))) == 2


def test_a_frozen_node_is_killed_in_the_end(faulted: Faulted) -> None:
    """TERM stays pending in a frozen process, and a held GIL hears no handler."""
    for role in ("frozen", "hold_gil"):
        node = faulted.node(role)
        await_restarted(faulted.swarm, node, than=faulted.pids[role], within_s=40)

        assert scenes.records_of(faulted.swarm, node)[0]["killed"] is True


def test_the_stacks_of_a_hung_node_are_in_its_log(faulted: Faulted) -> None:
    """Also with the GIL held for ever in C; they show who holds it."""
    for role, culprit in (
        ("hold_gil", "in hold_gil"),
        ("sleep", "in handle"),
        ("wedge_poll", "in submit"),
    ):
        node = faulted.node(role)
        await_restarted(faulted.swarm, node, than=faulted.pids[role], within_s=40)

        assert culprit in faulted.log(role), role


@pytest.mark.parametrize(
    ("role", "culprit"),
    [
        ("hold_gil", " in hold_gil"),
        ("sleep", " in handle"),
        ("wedge_poll", " in submit"),
        ("leak", " in _leak"),
        ("frozen", None),
    ],
)
def test_why_shows_the_stacks_of_the_restart(
    faulted: Faulted, role: str, culprit: str | None
) -> None:
    """Those of its process, from the moment; a frozen one has written none."""
    node = faulted.node(role)
    await_restarted(faulted.swarm, node, than=faulted.pids[role], within_s=40)

    text = scenes.ctl(faulted.swarm, "swarm", "why", scenes.name_of(node)).stdout
    plain = scenes.ctl(
        faulted.swarm, "swarm", "why", "--json", scenes.name_of(node)
    ).stdout
    (record,) = json.loads(plain)["restarts"]

    assert ("its stacks" in text) == (culprit is not None)
    assert (culprit or f"no stacks of pid {faulted.pids[role]}") in text
    if culprit:
        assert record["stacks"]["pid"] == faulted.pids[role]
        assert (record["stacks"]["at"] is None) == (role == "hold_gil")
        assert "thread swarm-" in text
        assert " idle thread" in text
        assert "in _bootstrap" not in text
    else:
        assert record["stacks"] is None


def test_a_long_batch_is_named_in_the_record(faulted: Faulted) -> None:
    """topic/partition@offset, and the rule of polling is not blamed."""
    node = faulted.node("sleep")
    await_restarted(faulted.swarm, node, than=faulted.pids["sleep"], within_s=40)

    (record,) = scenes.records_of(faulted.swarm, node)
    assert record["in_flight"][0].startswith("orders/0@")
    assert "consuming_ttl" in record["reason"]
    assert "polling_ttl" not in record["reason"]
    assert "node_report_timeout" not in record["reason"]


def test_a_node_whose_poll_thread_died_does_not_pass_for_healthy(
    faulted: Faulted,
) -> None:
    """It ends by itself, exit 1, and supervisord brings it back."""
    node = faulted.node("kill_poll")
    await_new_pid(
        faulted.swarm.daemon,
        scenes.name_of(node),
        than=faulted.pids["kill_poll"],
        within_s=30,
    )

    assert "poll thread is dead" in faulted.log("kill_poll")
    assert scenes.records_of(faulted.swarm, node) == []


def test_a_node_that_exits_well_unasked_is_brought_back(faulted: Faulted) -> None:
    """Nobody asked it to end: os._exit(0) in a handler is a death like another."""
    node = faulted.node("exit_well")

    await_new_pid(
        faulted.swarm.daemon,
        scenes.name_of(node),
        than=faulted.pids["exit_well"],
        within_s=30,
    )

    assert scenes.records_of(faulted.swarm, node) == []


def test_what_is_legal_or_only_noisy_is_left_alone(faulted: Faulted) -> None:
    """Long after all faults are healed they run as the same processes, and report."""
    swarm = faulted.swarm
    for role in STATUS:
        await_restarted(swarm, faulted.node(role), than=faulted.pids[role], within_s=40)
    await_heard(swarm, 12 * len(ROLES))  # 6 s: more than any limit
    await_reports(swarm, len(ROLES))

    assert {role: swarm.pid(faulted.node(role)) for role in LEFT_ALONE} == {
        role: faulted.pids[role] for role in LEFT_ALONE
    }
    assert {r["node"] for r in swarm.records()} == {
        scenes.name_of(faulted.node(role)) for role in STATUS
    }
    assert faulted.lives.overlaps == []


def test_what_an_app_prints_neither_forges_nor_swallows_a_report(
    faulted: Faulted,
) -> None:
    """The forged report and the tokens are in the log, as the text that they are."""
    swarm, node = faulted.swarm, faulted.node("forge")
    eventually(
        lambda: "XSUPERVISOR" in faulted.log("forge"),
        describe="what the app printed, in its log",
    )
    await_heard(swarm, 2 * len(ROLES))

    assert swarm.status()["listener"]["bad_reports"] == 0
    (told,) = [n for n in swarm.status()["nodes"] if n["node"] == scenes.name_of(node)]
    assert told["report_age_s"] < 3
