"""A run of the demo, and what it comes to, with a scripted swarm."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from swarm_worker.demo.faults import FAULTS, Fault
from swarm_worker.demo.run import CLEAR_UP_S, NODES, Run
from swarm_worker.demo.screen import Screen
from swarm_worker.demo.summary import as_text
from swarm_worker.demo.swarm import DemoSwarm, mock_broker

HANGS = FAULTS[0]


@dataclass
class ScriptedSwarm:
    """Nodes and a listener that take one step each time they are looked at.

    Attributes:
        statuses: What the listener calls a fault; None: it does not find it.
        immortal: A fault whose node never comes back.
        skipped: A message that is never processed.
        strangers: Records of restarts that nobody asked for.
    """

    folder: Path
    bootstrap: str
    topic: str = "t"
    statuses: dict[str, int | None] = field(default_factory=dict)
    immortal: str = ""
    skipped: int = -1
    strangers: dict[int, dict[str, Any]] = field(default_factory=dict)
    pids: dict[int, int] = field(
        default_factory=lambda: {n: 100 + n for n in range(NODES)}
    )
    misbehaving: list[Fault] = field(default_factory=list)
    found: dict[int, dict[str, Any]] = field(default_factory=dict)
    processed_count: int = 0

    def check(self) -> None:
        """Let one thing happen to the fault in progress, and all nodes consume."""
        ordered = [f for f in FAULTS if (self.folder / f"{f.node}.{f.name}").exists()]
        for fault in self.misbehaving:
            self._go_on(fault)
        for fault in ordered:
            (self.folder / f"{fault.node}.{fault.name}").unlink()
            self.misbehaving.append(fault)
        fresh = range(self.processed_count, self.processed_count + 20)
        with (self.folder / "processed").open("a") as ledger:
            for number in fresh if self.pids else ():
                node = number % NODES
                line = f"{node} {self.pids[node]} {number}\n"
                ledger.write("" if number == self.skipped else line)
        self.processed_count += len(fresh)

    def _go_on(self, fault: Fault) -> None:
        pid, status = 100 + fault.node, self.statuses.get(fault.name, fault.status)
        if status is not None and pid not in self.found:
            self.found[pid] = {"pid": pid, "status": status, "reason": "why"}
        elif fault.name != self.immortal:
            self.pids[fault.node] = 200 + fault.node

    def records(self) -> dict[int, dict[str, Any]]:
        """Return what the listener has found."""
        return self.found | self.strangers


@pytest.fixture
def swarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedSwarm]:
    """A swarm on a broker, looked at more often than a real one."""
    monkeypatch.setattr("swarm_worker.demo.run.LOOK_S", 0.01)
    with mock_broker("t") as bootstrap:
        yield ScriptedSwarm(tmp_path, bootstrap)


def play(swarm: ScriptedSwarm, *, seconds: float = 60.0) -> tuple[dict[str, Any], str]:
    """Return the summary of a run, and what was said."""
    out = io.StringIO()
    run = Run(cast("DemoSwarm", swarm), Screen(out), seconds=CLEAR_UP_S + seconds)
    run.run()
    return run.summary(), out.getvalue()


def test_four_faults_found_and_got_over_and_nothing_lost_is_a_success(
    swarm: ScriptedSwarm,
) -> None:
    """In their order, each by its status; --json tells it with these keys."""
    summary, said = play(swarm)

    assert summary["ok"], summary["complaints"]
    assert [outcome["status"] for outcome in summary["faults"]] == [2, 3, 1, -1]
    assert summary["lost"] == 0 < summary["produced"] <= summary["processed"]
    told = json.loads(json.dumps(summary))
    assert told.keys() == {
        *("ok", "produced", "processed", "lost", "duplicates", "seconds"),
        *("faults", "other_restarts", "complaints"),
    }
    assert told["faults"][3].items() >= {
        *(("node", 0), ("fault", "silent"), ("status", -1), ("reason", "why")),
    }
    for outcome in summary["faults"]:
        assert 0 <= outcome["found_after_s"] <= outcome["consumed_again_after_s"]
    assert said.count("Found: status") == len(FAULTS)
    assert said.index("Node 2 hangs") < said.index("Node 2 consumes again")
    assert said.index("Node 2 consumes again") < said.index("Node 1 leaks")


@pytest.mark.parametrize(
    ("status", "complaint"), [(1, "status 1, expected 2"), (None, "was not found")]
)
def test_a_wrong_status_and_a_fault_that_is_not_found_are_no_success(
    swarm: ScriptedSwarm, status: int | None, complaint: str
) -> None:
    """The node comes back and the run goes on; it is told all the same."""
    swarm.statuses = {"hangs": status}

    summary, said = play(swarm)

    assert summary["complaints"] == [f"node 2 (hangs): {complaint}"]
    assert not summary["ok"]
    assert "Node 1 consumes again" in said
    assert f"FAILED: node 2 (hangs): {complaint}" in as_text(summary)
    assert "OK:" not in as_text(summary)


def test_a_node_that_does_not_come_back_is_waited_for_until_the_time_is_up(
    swarm: ScriptedSwarm,
) -> None:
    """Then the others' turn has not come, which is said too."""
    swarm.immortal = "hangs"

    summary, said = play(swarm, seconds=1.0)

    assert "The time is up." in said
    assert summary["complaints"] == [
        "node 2 (hangs): did not consume again",
        *(f"node {f.node} ({f.name}): its turn did not come" for f in FAULTS[1:]),
    ]


def test_a_message_that_is_lost_is_no_success(swarm: ScriptedSwarm) -> None:
    """However well the faults were found."""
    swarm.skipped = 7

    summary, _ = play(swarm, seconds=4.0)

    assert summary["complaints"] == ["1 messages are not processed"]
    assert summary["lost"] == 1


def test_without_a_single_message_nothing_was_shown(swarm: ScriptedSwarm) -> None:
    """Nothing lost of nothing is no success."""
    swarm.pids = {}

    summary, _ = play(swarm, seconds=0.5)

    assert summary["complaints"][0] == "no message was processed"


def test_a_restart_that_nobody_asked_for_is_shown(swarm: ScriptedSwarm) -> None:
    """It spoils nothing."""
    swarm.strangers = {
        99: {"pid": 99, "node": "swarm_demo:swarm_demo_02", "reason": "x"}
    }

    summary, said = play(swarm)

    assert (summary["ok"], summary["other_restarts"]) == (True, 1)
    assert "Also restarted: swarm_demo:swarm_demo_02, x." in said


def test_the_figures_fit_80_columns_and_tell_seconds_from_the_fault_on() -> None:
    """Found after 3 s, consumed again after 9."""
    outcome = {"node": 2, "fault": "hangs", "pid": 7, "status": 2, "reason": "why"}
    summary = {
        **dict.fromkeys(("produced", "processed", "lost", "duplicates"), 99_999),
        "seconds": 59.9,
        "faults": [
            outcome | {"found_after_s": 3.04, "consumed_again_after_s": 9.0},
            outcome | {"node": 1, "found_after_s": 3.0, "consumed_again_after_s": None},
        ],
        "complaints": [],
    }
    lines = as_text(summary).splitlines()

    assert max(map(len, lines)) <= 80
    assert "   2  hangs        2        3.0 s                 9.0 s" in lines
    assert lines[-1] == "OK: each fault was found and got over, and nothing was lost."


def test_the_faults_are_the_four_statuses_on_four_nodes() -> None:
    """Each node of the demo is restarted once."""
    assert sorted(fault.status for fault in FAULTS) == [-1, 1, 2, 3]
    assert sorted(fault.node for fault in FAULTS) == list(range(NODES))
