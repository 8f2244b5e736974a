"""Counters over the lives of a node: they never fall, and nothing counts twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.outlets.metrics.totals import (
    COUNTED,
    REASONS,
    Totals,
    reason_of,
)
from swarm_worker.shared.report import Report, State

NAME = "w:w_00"


def report(*, seq: int, messages: int) -> Report:
    """Return a report in which only the messages count."""
    return Report(node=0, pid=1, state=State.RUNNING, seq=seq, messages=messages)


@given(st.lists(st.lists(st.integers(0, 1_000), min_size=1, max_size=5), max_size=6))
def test_the_sum_is_that_of_all_lives(lives: list[list[int]]) -> None:
    """Each life counts from 0; what is shown only rises, to the sum of them all."""
    totals, shown = Totals(), [0]
    for life, steps in enumerate(lives):
        counted = 0
        for seq, step in enumerate([0, *steps]):
            counted += step
            totals.reported(NAME, 100 + life, report(seq=seq, messages=counted))
            shown.append(totals.of(NAME)["messages"])

    assert shown == sorted(shown)
    assert shown[-1] == sum(map(sum, lives))


def test_the_same_pid_may_be_another_process() -> None:
    """Process ids come again: a lower report number tells."""
    totals = Totals()
    totals.reported(NAME, 7, report(seq=0, messages=0))
    totals.reported(NAME, 7, report(seq=9, messages=50))
    totals.reported(NAME, 7, report(seq=1, messages=60))

    assert totals.of(NAME)["messages"] == 110


def test_what_was_counted_before_the_listener_is_not_new() -> None:
    """Else each new listener would look like a million messages in a second."""
    totals = Totals()
    totals.reported(NAME, 7, report(seq=500, messages=1_000_000))
    assert totals.of(NAME)["messages"] == 0

    totals.reported(NAME, 7, report(seq=501, messages=1_000_007))
    assert totals.of(NAME)["messages"] == 7


def test_a_counter_that_falls_takes_nothing_away() -> None:
    """Whatever a node says."""
    totals = Totals()
    totals.reported(NAME, 7, report(seq=0, messages=10))
    totals.reported(NAME, 7, report(seq=1, messages=3))

    assert totals.of(NAME)["messages"] == 10


def test_each_counter_of_a_report_is_summed() -> None:
    """The names are those of the report's fields."""
    totals = Totals()
    values: dict[str, int] = {name: i + 1 for i, name in enumerate(COUNTED)}
    totals.reported(
        NAME,
        7,
        Report(node=0, pid=7, state=State.RUNNING, **values),  # type: ignore[arg-type]
    )

    assert totals.of(NAME) == values
    assert totals.of("w:none")["messages"] == 0


def record(
    status: int | None, cause: Cause = Cause.RULE, *, dry_run: bool = False
) -> Record:
    """Return a record."""
    return Record(
        node=NAME,
        pid=1,
        cause=cause,
        status=status,
        reason="",
        detected_at_s=1,
        dry_run=dry_run,
    )


def test_restarts_are_counted_by_reason_apart_from_dry_runs() -> None:
    """The rule that was broken, what else it was otherwise."""
    totals = Totals()
    for restarted in (record(2), record(2), record(-1), record(None, Cause.EXITED)):
        totals.restarted(restarted)
    totals.restarted(record(3, dry_run=True))
    totals.restarted(record(None, Cause.DIED))

    assert totals.restarts == {
        (NAME, "consuming"): 2,
        (NAME, "silent"): 1,
        (NAME, "exited"): 1,
    }
    assert totals.dry_runs == {(NAME, "memory"): 1}


def test_there_is_no_reason_beyond_the_list() -> None:
    """Each has a sample from the beginning, so that its first rise can be seen."""
    told = {reason_of(record(status)) for status in (-1, 1, 2, 3, 4)}
    others = set(Cause) - {Cause.RULE, Cause.DIED}  # a death is no restart by us
    told |= {reason_of(record(None, c)) for c in others}

    assert told == set(REASONS)


def test_nodes_that_are_no_more_are_forgotten() -> None:
    """A group that is removed leaves no series behind."""
    totals = Totals()
    totals.reported(NAME, 7, report(seq=0, messages=10))
    totals.restarted(record(2))
    totals.restarted(record(3, dry_run=True))
    totals.forget_all_but({"w:w_01"})

    assert totals.of(NAME)["messages"] == 0
    assert not totals.restarts
    assert not totals.dry_runs
