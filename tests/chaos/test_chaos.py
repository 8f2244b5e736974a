"""Chaos in short: a hundred faults, and what must hold all the same.

Another seed by ``CHAOS_SEED=7 pytest tests/chaos``; the long form is
``python -m tests.chaos --seed S --faults N``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from tests.faults import schedule
from tests.faults.run import run
from tests.faults.verdict import Evidence, complaints
from tests.process.lives import Life

FAULTS = 100
SLOT = "w:w_00"


@pytest.mark.chaos
@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_hundred_faults_leave_each_node_running_once_and_each_restart_explained() -> (
    None
):
    """Nodes, listener, supervisord and operator, in the order of a seed."""
    outcome = run(seed=int(os.environ.get("CHAOS_SEED", "1")), faults=FAULTS)

    assert outcome.done > FAULTS // 2
    assert outcome.records > 0


def test_a_seed_is_a_schedule() -> None:
    """The same for the same seed, another for another; all kinds come up."""
    drawn = schedule.draw(5, count=1_000, nodes=6)

    assert drawn == schedule.draw(5, count=1_000, nodes=6)
    assert drawn != schedule.draw(6, count=1_000, nodes=6)
    assert {fault.kind for fault in drawn} == set(schedule.Kind)
    assert {fault.step for fault in drawn} == set(schedule.STEPS)
    assert {fault.damage for fault in drawn} == set(schedule.DAMAGES)


# --- the verdict: what it must not let pass -------------------------------------------


def life(pid: int, *, seen_at_s: float, gone_at_s: float | None = None) -> Life:
    """Give a process of the only slot."""
    return Life(SLOT, pid, pid, seen_at_s, gone_at_s)


def record(pid: int, *, status: int = 2, cause: str = "rule") -> dict[str, Any]:
    """Give a record of the only slot."""
    return {
        "node": SLOT,
        "pid": pid,
        "cause": cause,
        "status": status,
        "reason": "because",
    }


def good() -> Evidence:
    """Give the evidence of one restart in which all is well."""
    return Evidence(
        lives={SLOT: [life(1, seen_at_s=0, gone_at_s=5), life(2, seen_at_s=6)]},
        overlaps=[],
        records=[record(1)],
        stopped={(SLOT, 1)},
        explained={(SLOT, 1): {2}},
        listener_log="listener_started",
    )


BAD: dict[str, dict[str, Any]] = {
    "two live processes": {
        "overlaps": [(life(1, seen_at_s=0), life(2, seen_at_s=0))],
    },
    "2 records of one process": {"records": [record(1), record(1)]},
    "a stop without a record": {"records": []},
    "a record without a stop": {"stopped": set()},
    "restarted without a cause": {"records": [record(1, status=-1)]},
    "of a process that was not restarted": {
        "records": [record(1), record(2)],
        "stopped": {(SLOT, 1), (SLOT, 2)},
        "explained": {(SLOT, 1): {2}, (SLOT, 2): {2}},
    },
    "although an operator had stopped it": {"operator_downs": [(SLOT, 5.5, None)]},
    "although an operator holds it": {"holds": [(SLOT, 4.5, None)]},
    "1 restarts in 0 rolls": {"records": [record(1, cause="roll")]},
    "2 listeners, but only 0": {
        "listener_log": "listener_started\nlistener_started",
    },
    "the listener said Traceback": {"listener_log": "Traceback"},
}


def test_good_evidence_has_nothing_to_complain_of() -> None:
    """An operator's own start and an excused stop are in order, too."""
    assert complaints(good()) == []
    by_operator = replace(
        good(),
        records=[],
        excused={(SLOT, 1)},
        operator_downs=[(SLOT, 5.5, 5.9)],
        holds=[(SLOT, 0.5, None), (SLOT, 5.5, None)],
        listener_ends=1,
        listener_log="listener_started listener_started",
    )
    assert complaints(by_operator) == []


@pytest.mark.parametrize("words", BAD)
def test_bad_evidence_does_not_pass(words: str) -> None:
    """Each invariant is named when it is broken, and no other."""
    (complaint,) = complaints(replace(good(), **BAD[words]))

    assert words in complaint
