"""Chaos in short: a hundred faults, and what must hold all the same.

Another seed by ``CHAOS_SEED=7 pytest tests/chaos``; the long form is
``python -m tests.chaos --seed S --faults N``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from swarm_event_listener.core.model.rules import LONE
from tests.apps.processed import Life as Worker
from tests.faults.aside import Aside
from tests.faults.book import Book, Process
from tests.faults.bound import Charge
from tests.faults.node_faults import STEPS
from tests.faults.run import Length, run
from tests.faults.scenarios import CHAOS, CHAOS_ON_KAFKA, SOAKS
from tests.faults.schedule import Fault
from tests.faults.stage import Scenario
from tests.faults.verdict import Evidence, complaints
from tests.ledger import Committed, Produced, judge
from tests.process.lives import Life

FAULTS = 100
SEED = 53  # all kinds of faults are in it
SLOT = "w:w_00"
ONE = Process(SLOT, 1)


@pytest.mark.chaos
@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_hundred_faults_leave_each_node_running_once_and_each_restart_explained() -> (
    None
):
    """Nodes, listener, supervisord and operator, in the order of a seed."""
    seed = int(os.environ.get("CHAOS_SEED", SEED))
    outcome = run(CHAOS, seed=seed, length=Length(faults=FAULTS))

    assert outcome.evidence.book.done.total() > FAULTS // 2
    assert outcome.evidence.records


def drawn(scenario: Scenario, seed: int) -> list[Fault]:
    """Return a thousand faults of a seed."""
    return list(islice(scenario.faults(seed), 1_000))


@pytest.mark.parametrize("scenario", [CHAOS, CHAOS_ON_KAFKA, SOAKS["classic"]])
def test_a_seed_is_a_schedule(scenario: Scenario) -> None:
    """The same for the same seed, another for another; all kinds come up."""
    faults = drawn(scenario, 5)

    assert faults == drawn(scenario, 5)
    assert faults != drawn(scenario, 6)
    assert {fault.kind for fault in faults} == scenario.weights.keys()
    assert {fault.node for fault in faults} == set(range(scenario.nodes))
    assert {fault.pick(STEPS) for fault in faults} == set(STEPS)


# --- the verdict: what it must not let pass -------------------------------------------


def life(pid: int, *, seen_at_s: float, gone_at_s: float | None = None) -> Life:
    """Return a process of the only slot."""
    return Life(SLOT, pid, pid, seen_at_s, gone_at_s)


def record(
    pid: int | None, *, status: int | None = 2, cause: str = "rule", **changed: Any
) -> dict[str, Any]:
    """Return a record of the only slot."""
    return {
        "node": SLOT,
        "pid": pid,
        "cause": cause,
        "status": status,
        "reason": "because",
        **changed,
    }


def lone(pid: int, *, at_s: int) -> dict[str, Any]:
    """Return the record of a node that alone had no broker, of a restart of 3 s."""
    return record(
        pid,
        status=4,
        reason=f"stability_ttl: {LONE} 9 s",
        detected_at=f"2026-01-01T00:00:{at_s:02d}+00:00",
        seconds={"total": 3.0},
    )


def healed(*at_s: int) -> dict[str, Any]:
    """Return what is evidence of nodes that were healed at these moments."""
    pids = range(1, len(at_s) + 1)
    return {
        "book": book(explained={Process(SLOT, pid): {4} for pid in pids}),
        "lives": {SLOT: [life(pid, seen_at_s=0, gone_at_s=5) for pid in pids]},
        "records": [lone(pid, at_s=s) for pid, s in zip(pids, at_s, strict=True)],
        "stopped": {Process(SLOT, pid) for pid in pids},
    }


def book(**changed: Any) -> Book:
    """Return the book of one process that fell ill, but for what is given."""
    return Book(**{"explained": {ONE: {2}}, **changed})


def good() -> Evidence:
    """Return the evidence of one restart in which all is well."""
    return Evidence(
        book=book(),
        lives={SLOT: [life(1, seen_at_s=0, gone_at_s=5), life(2, seen_at_s=6)]},
        overlaps=[],
        records=[record(1)],
        stopped={ONE},
        listener_log="listener_started",
    )


PRODUCED = Produced(topic="t", partition=0, offset=0, id=0)
CHARGE = Charge(life=Worker(0, 1, 0.0), partition=("t", 0), repeated=3, age_s=0.5)
WENT_BACK = judge(
    [],
    [],
    [
        Committed(topic="t", partition=0, offset=offset, seen_at_s=at_s)
        for offset, at_s in ((7, 3.0), (5, 4.0))
    ],
)

BAD: dict[str, dict[str, Any]] = {
    "two live processes": {
        "overlaps": [(life(1, seen_at_s=0), life(2, seen_at_s=0))],
    },
    "2 records of one process": {"records": [record(1), record(1)]},
    "it ended by itself": {"book": book(explained={}), "records": [], "stopped": set()},
    "a stop without a record": {"records": []},
    "a record without a stop": {"stopped": set()},
    "restarted without a cause": {"records": [record(1, status=-1)]},
    "of a process that was not restarted": {
        "records": [record(1), record(2)],
        "stopped": {ONE, Process(SLOT, 2)},
        "book": book(explained={ONE: {2}, Process(SLOT, 2): {2}}),
    },
    "although an operator had stopped it": {"book": book(stopped_at_s={SLOT: 5.5})},
    "although an operator holds it": {"book": book(held_at_s={SLOT: 4.5})},
    "1 restarts in 0 rolls": {"records": [record(1, cause="roll")]},
    "2 listeners, but only 0": {
        "listener_log": "listener_started\nlistener_started",
    },
    "the listener said Traceback": {"listener_log": "Traceback"},
    "lost: 1": {"ledger": judge([PRODUCED], [])},
    "committed went back: 1": {
        "ledger": WENT_BACK,
        "book": book(outages=[(4.1, 9.0), (0, 1)]),
    },
    "put aside, and no poison: 1": {"aside": Aside(letters={3, 99}, poison={99})},
    "poison that was not put aside: 1": {
        "aside": Aside(letters={99}, poison={99, 5_098})
    },
    "beyond the bound": {"charges": [replace(CHARGE, excess="because")]},
    "it ended for good": {"left_down": {ONE}},
    "pid 2 status None": {
        "records": [record(1), record(2, status=None, cause="exited")]
    },
    "pid None status None": {
        "records": [record(1), record(None, status=None, cause="exited")],
    },
    "two healed at once": healed(10, 12),
    "it outlived": {"offspring": ["it outlived its node"]},
}


def test_good_evidence_has_nothing_to_complain_of() -> None:
    """An operator's own start and an excused stop are in order, too."""
    assert complaints(good()) == []
    told = book(excused={ONE}, stopped_at_s={SLOT: 5.5}, held_at_s={SLOT: 0.5})
    told.is_up(SLOT, from_s=5.9)
    by_operator = replace(
        good(),
        book=told,
        records=[],
        listener_ends=1,
        listener_log="listener_started listener_started",
    )
    assert complaints(by_operator) == []


def test_what_passes_has_nothing_to_complain_of() -> None:
    """Processes that could not work, back-off and tries, and a topic made anew."""
    away = book(turned_away={("", 0.0): 3.0, (SLOT, 4.0): 5.0}, anews=[(7.0, 8.0)])
    lives = [life(pid, seen_at_s=pid, gone_at_s=pid + 0.9) for pid in range(1, 8)]
    told = replace(
        good(),
        book=away,
        lives={SLOT: [*lives, life(8, seen_at_s=9, gone_at_s=9.9)]},
        records=[
            record(1),
            record(7, status=None, cause="exited"),
            record(None, status=None, cause="exited"),
            record(8, reason="consuming_ttl: stalled: 9 s > 5 s"),
        ],
        stopped={ONE, *(Process(SLOT, pid) for pid in (7, 8))},
        left_down={Process(SLOT, 5), Process(SLOT, 99)},
    )
    assert complaints(told) == []
    assert complaints(replace(good(), **healed(10, 13))) == []
    lost = {**healed(10), "book": book(explained={}, outages=[(1.0, 3.0)])}
    assert complaints(replace(good(), **lost)) == []
    too_early = replace(good(), **{**lost, "book": book(explained={})})
    (complaint,) = complaints(too_early)
    assert "pid 1 status 4" in complaint
    too_late = replace(told, book=replace(away, anews=[(-90.0, -80.0)]))
    (complaint,) = complaints(too_late)
    assert "pid 8 status 2" in complaint


def test_spares_have_nothing_to_complain_of() -> None:
    """One leaves by an order, one is too young to be seen, and one is started again.

    Nobody may leave before an order, or when the slot is to run again.
    """

    def of(*scaled: tuple[float, int]) -> list[str]:
        ended = [life(1, seen_at_s=2, gone_at_s=5), life(2, seen_at_s=12)]
        return complaints(
            replace(
                good(),
                book=book(explained={}, scaled=[*scaled]),
                lives={SLOT: ended},
                records=[record(None, status=None, cause="exited")],
                stopped=set(),
                left_down={ONE, Process(SLOT, 99)},
            )
        )

    assert of((4.5, 0), (9.0, 1)) == []
    for scaled in ([(5.5, 0)], [(0.0, 0), (0.5, 1), (6.0, 0)]):
        assert of(*scaled) == [
            f"it ended by itself: {ONE}",
            f"it ended for good: {ONE}",
        ]


def test_good_ledgers_have_nothing_to_complain_of() -> None:
    """Offsets may go back for a moment after an outage, and repeats have a bound."""
    away = book(outages=[(1.0, 2.5)])
    told = replace(good(), book=away, ledger=WENT_BACK, charges=[CHARGE])
    assert complaints(told) == []


@pytest.mark.parametrize("words", BAD)
def test_bad_evidence_does_not_pass(words: str) -> None:
    """Each invariant is named when it is broken, and no other."""
    (complaint,) = complaints(replace(good(), **BAD[words]))

    assert words in complaint


def test_a_run_ends_at_the_first_of_its_limits() -> None:
    """Faults that were drawn, processes that were ended, minutes; and names them."""
    done = book(timeline=["a", "b"], ended={ONE})

    assert Length(faults=2).is_reached(done, took_s=0)
    assert Length(kills=1, faults=9).is_reached(done, took_s=0)
    assert Length(minutes=2).is_reached(done, took_s=120)
    assert not Length(faults=3, kills=2, minutes=2).is_reached(done, took_s=119)
    assert str(Length(kills=40, minutes=0.5)) == "--kills 40 --minutes 0.5"
