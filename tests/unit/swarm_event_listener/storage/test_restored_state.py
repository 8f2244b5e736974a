"""What a journal may hold, and what the next listener makes of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from swarm_event_listener.core.model.death import Death, OutOfMemory
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.node import Failure
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_event_listener.core.rolling_restart import NodeInProgress, Roll
from swarm_event_listener.storage.restored_state import restored

NODE = "w:w_00"
RECORD = Record(
    node=NODE,
    pid=7,
    cause=Cause.RULE,
    status=2,
    reason="broken",
    detected_at_s=990.0,
    in_flight=("t/0@1",),
)
RESTART = Restart(record=RECORD, phase=Phase.DOWN, since_s=995.0)
ROLL = Roll(
    group="w",
    max_unavailable=1,
    timeout_s=30.0,
    waiting=("w:w_01",),
    turned=(NodeInProgress(name=NODE, pid=7, since_s=990.0, had_partitions=True),),
)


def plain(**fields: object) -> dict[str, Any]:
    """Return an intent as the journal gives it back, but for what is given."""
    intent = json.loads(json.dumps(RESTART.as_intent()))
    intent["record"].update(fields)
    return {**intent, **{k: fields[k] for k in ("phase", "since_s") if k in fields}}


@pytest.mark.parametrize(
    ("noted", "since_s"),
    [(980.0, 980.0), (1001.0, None), ("980", None), (float("nan"), None), (None, None)],
)
def test_a_standstill_is_of_this_run_of_the_machine(
    noted: object, since_s: float | None
) -> None:
    """A moment that lies ahead is of another one."""
    left = restored({}, {"unheard_since_s": noted}, now_s=1000.0)

    assert left.unheard_since_s == since_s


def test_an_intent_is_read_back_as_it_was() -> None:
    """Through JSON."""
    intent = json.loads(json.dumps(RESTART.as_intent()))

    assert restored({NODE: intent}, {}, now_s=1000.0).intents == (RESTART,)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"record": None},
        {"record": {}},
        {"phase": "asleep"},
        {"phase": []},
        {"since_s": None},
        {"since_s": float("nan")},
        {"since_s": 10**400},
    ],
)
def test_a_spoilt_intent_is_dropped(spoilt: dict[str, object]) -> None:
    """It cannot end the listener, now or later."""
    intent = {**RESTART.as_intent(), **spoilt}

    assert restored({NODE: intent}, {}, now_s=1000.0).intents == ()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"node": "w:w_01"},
        {"pid": "7"},
        {"cause": "bad luck"},
        {"status": "2"},
        {"reason": 1},
        {"in_flight": "t/0@1"},
        {"in_flight": [1]},
        {"detected_at_s": None, "pause_s": "1"},
        {"stopped_at_s": "now"},
        {"killed": 1},
        {"pause_s": float("nan")},
        {"stopped_at_s": float("-inf")},
        {"detected_at_s": 10**400},
    ],
)
def test_a_spoilt_record_is_dropped(spoilt: dict[str, object]) -> None:
    """Each field is of its kind, and about the node it is filed under."""
    intent = RESTART.as_intent()
    intent["record"] = {**intent["record"], **spoilt}

    assert restored({NODE: intent}, {}, now_s=1000.0).intents == ()


@pytest.mark.parametrize("unknown", [1, [float("nan")], {"deep": None}])
def test_what_a_newer_version_adds_is_left_out(unknown: object) -> None:
    """A restart and a roll that are under way go on through a downgrade."""
    intent = {**RESTART.as_intent(), "new": unknown}
    intent["record"] = {**intent["record"], "new": unknown}
    turned = [{**each, "new": unknown} for each in ROLL.as_json()["turned"]]
    roll = {**ROLL.as_json(), "turned": turned, "new": unknown}

    left = restored({NODE: intent}, {"rolls": [roll]}, now_s=1000.0)

    assert left.intents == (RESTART,)
    assert left.rolls == (ROLL,)


def test_what_an_older_version_does_not_know_has_its_default() -> None:
    """6cee99e tells of no node that is held, and of no order."""
    plain_roll = json.loads(json.dumps(ROLL.as_json()))
    del plain_roll["held"], plain_roll["ordered_at_s"]

    assert restored({}, {"rolls": [plain_roll]}, now_s=1000.0).rolls == (ROLL,)


def test_one_spoilt_entry_of_a_list_loses_only_itself() -> None:
    """Whatever stands beside it is read, half of a character too."""
    half = "w:\ud800"
    rolls = [7, {"group": "x"}, ROLL.as_json(), {**ROLL.as_json(), "timeout_s": 1e999}]
    broken = plain(reason=half, in_flight=[half])

    left = restored(
        {"w:w_01": {}, NODE: broken},
        {"held": [half, 7, NODE], "reporting_groups": [None, "w"], "rolls": rolls},
        now_s=1000.0,
    )

    assert left.intents[0].record.in_flight == (half,)
    assert left.held == {half, NODE}
    assert left.reporting_groups == {"w"}
    assert left.rolls == (ROLL,)


def test_failures_are_read_back_and_no_others() -> None:
    """One that lies ahead is of another run of the machine."""
    notes = {
        "failures": {
            NODE: [[990.0, "t/0@1"], [995, None], [1001.0, None], ["x", None], 7],
            "w:w_01": "none",
        }
    }

    assert restored({}, notes, now_s=1000.0).failures == {
        NODE: (Failure(990.0, "t/0@1"), Failure(995.0, None))
    }


def test_deaths_and_processes_are_read_back_and_no_others() -> None:
    """One that lies ahead is of another run of the machine, one entry loses itself."""
    death = Death(pid=7, signal="SIGKILL", out_of_memory=OutOfMemory.YES, is_told=True)
    died = replace(RECORD, cause=Cause.DIED, death=death)
    entry = json.loads(json.dumps(asdict(died)))
    notes = {
        "deaths": {
            NODE: entry,
            "w:w_01": entry,
            "w:w_02": {**entry, "node": "w:w_02", "detected_at_s": 1001.0},
            "w:w_03": {**entry, "node": "w:w_03", "death": "none"},
        },
        "pids": {NODE: 7, "w:w_01": "8", "w:w_02": None},
    }

    left = restored({}, notes, now_s=1000.0)

    assert left.deaths == {NODE: died}
    assert left.pids == {NODE: 7}


@pytest.mark.parametrize("spoilt", [None, 7, "w", [7], {"w": 7.5}])
def test_spoilt_notes_are_empty_notes(spoilt: object) -> None:
    """Whatever stands there."""
    names = ("failures", "held", "reporting_groups", "rolls", "deaths", "pids")
    notes = dict.fromkeys(names, spoilt)

    left = restored({}, notes, now_s=1000.0)

    assert not left.held
    assert not left.reporting_groups
    assert not left.rolls
    assert not left.failures
    assert not left.deaths
    assert not left.pids
