"""What the demo came to."""

from dataclasses import replace

import pytest

from swarm_worker.demo.faults import FAULTS
from swarm_worker.demo.story import Act, Finding
from swarm_worker.demo.summary import Summary, others


def act(index: int, *, status: int | None = None, recovers: bool = True) -> Act:
    """A fault that was found after 3 s and got over after 9."""
    fault = FAULTS[index]
    return Act(
        fault=fault,
        began_at_s=100.0,
        pid=7 + index,
        finding=Finding(
            node=fault.node,
            pid=7 + index,
            status=fault.status if status is None else status,
            reason="why",
            detected_at_s=103.0,
        ),
        found_at_s=103.0,
        recovered_at_s=109.0 if recovers else None,
    )


SUCCESS = Summary(
    produced=1000,
    processed=1000,
    lost=0,
    duplicates=3,
    faults=FAULTS,
    acts=[act(i) for i in range(4)],
    took_s=50.0,
)


def test_all_four_found_and_got_over_and_nothing_lost_is_a_success() -> None:
    """Duplicates are within the guarantee: they do not spoil it."""
    assert SUCCESS.is_success
    assert SUCCESS.complaints() == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lost": 2}, "2 messages are not processed"),
        ({"processed": 0}, "no message was processed"),
        ({"acts": SUCCESS.acts[:3]}, "node 0 (silent): its turn did not come"),
        (
            {"acts": [act(0, status=1), *SUCCESS.acts[1:]]},
            "node 2 (hangs): status 1, expected 2",
        ),
        (
            {"acts": [act(0, recovers=False), *SUCCESS.acts[1:]]},
            "node 2 (hangs): did not consume again",
        ),
        (
            {"acts": [replace(act(0), finding=None), *SUCCESS.acts[1:]]},
            "node 2 (hangs): was not found",
        ),
    ],
)
def test_whatever_is_missing_is_said_and_is_no_success(
    change: dict[str, object], complaint: str
) -> None:
    """Each condition of the exit code, one at a time."""
    summary = replace(SUCCESS, **change)  # type: ignore[arg-type]  # one of its fields

    assert not summary.is_success
    assert summary.complaints() == [complaint]
    assert f"FAILED: {complaint}" in summary.lines()


def test_the_table_fits_80_columns_and_tells_seconds_from_the_fault_on() -> None:
    """Found after 3 s, consumed again after 9."""
    lines = SUCCESS.lines()

    assert max(map(len, lines)) <= 80
    assert "   2  hangs        2        3.0 s                 9.0 s" in lines


def test_the_json_tells_the_same() -> None:
    """For programs: names and seconds."""
    told = SUCCESS.as_json()

    assert told["ok"] is True
    assert told["faults"][3] == {
        "node": 0,
        "fault": "silent",
        "status": -1,
        "reason": "why",
        "found_after_s": 3.0,
        "consumed_again_after_s": 9.0,
    }


def test_a_restart_that_nobody_asked_for_is_shown() -> None:
    """Neither a fault's own process nor its node alone makes it one of ours."""
    stranger = Finding(node=2, pid=99, status=1, reason="why", detected_at_s=None)
    mine = [act.finding for act in SUCCESS.acts if act.finding]

    assert others([*mine, stranger], SUCCESS.acts) == [stranger]
    shown = replace(SUCCESS, others=[stranger]).lines()
    assert "also restarted: node 2, status 1: why" in shown
