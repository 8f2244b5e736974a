"""What is due for a node is said, and nothing is done: tables are only looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.evidence import Evidence
from swarm_event_listener.core.healing.due import (
    Abandon,
    Begin,
    Due,
    Nothing,
    Occasion,
    Rehearse,
    Wait,
    due,
)
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import ProcessState, Reported
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import Status
from swarm_event_listener.core.node import (
    Failure,
    LeftDown,
    Node,
    appeared,
    exited,
)
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.reports import reported
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_worker.shared.settings import EXIT_CONFIG
from tests.simulation import POLICY, report

NOW_S = 1000.0


def node(name: str = "swarm:node_0", **fields: Any) -> Node:
    """Return a node that has just reported, with these fields in its report."""
    born = appeared(name, ProcessState.RUNNING, 7, now_s=NOW_S)
    event = Reported(name=name, pid=7, report=report(**fields))
    return reported(born, event, now_s=NOW_S)


def down(state: ProcessState) -> Node:
    """Return a node without a process."""
    return replace(node(), state=state, pid=None)


def table(*nodes: Node, policy: Policy = POLICY, **known: Any) -> Table:
    """Return a table of nodes, with this known beside them."""
    made = Table({"swarm": policy}, reporting_groups={"swarm"})
    for each in nodes:
        made.put(each)
    for name, value in known.items():
        setattr(made, name, value)
    return made


def due_of(
    first: Node,
    *others: Node,
    on: Occasion = Occasion.TICK,
    at_s: float = NOW_S,
    **fields: Any,
) -> Due:
    """Return what is due for the first node of a table, which stays as it was."""
    looked_at = table(first, *others, **fields)
    before = dict(looked_at.nodes)
    what = due(first, looked_at, on=on, now_s=at_s)
    assert looked_at.nodes == before
    return what


SLOW = node(poll_age_ms=5_001)
BOTH_LIMITS = node(poll_age_ms=5_001, unsteady_ms=5_001)


def test_a_broken_rule_is_due_for_a_restart_with_its_figures_as_reason() -> None:
    """The reason is that of the rule, and the rule comes along."""
    what = due_of(SLOW, on=Occasion.REPORTED)

    assert isinstance(what, Begin)
    assert (what.cause, what.reason) == (Cause.RULE, "polling_ttl: 5.0 s > 5.0 s")
    assert [violation.status for violation in what.found] == [Status.POLLING]


@pytest.mark.parametrize("occasion", Occasion)
def test_nothing_is_due_for_a_healthy_node_whatever_happens(
    occasion: Occasion,
) -> None:
    """Neither is anything noted."""
    healthy = node()

    assert due_of(healthy, on=occasion) == Nothing(healthy)


@pytest.mark.parametrize("who_ends", ["listener_ends", "supervisor_ends"])
def test_nothing_is_due_while_the_listener_or_supervisord_ends(who_ends: str) -> None:
    """Whatever is broken."""
    ends: dict[str, Any] = {who_ends: True}
    assert due_of(SLOW, **ends) == Nothing(SLOW)


def test_nothing_is_due_for_a_node_that_an_operator_holds() -> None:
    """Neither for a rule nor for one that supervisord gave up."""
    held = replace(SLOW, is_held=True)
    given_up = replace(down(ProcessState.FATAL), is_held=True)

    assert due_of(held) == Nothing(held)
    assert due_of(given_up) == Nothing(given_up)


def test_a_restart_that_has_no_place_waits_and_that_is_said_once() -> None:
    """The node notes since when, so that the next tick has nothing to say."""
    begun = Record(
        node="swarm:node_1",
        pid=8,
        cause=Cause.RULE,
        status=1,
        reason="",
        detected_at_s=0,
    )
    other = replace(
        node("swarm:node_1"),
        restart=Restart(record=begun, phase=Phase.READY, since_s=0),
    )

    what = due_of(SLOW, other)

    assert isinstance(what, Wait)
    assert what.node.waiting_since_s == NOW_S
    again = due_of(what.node, other, at_s=NOW_S + 1)
    assert again == Nothing(what.node)


def test_only_a_tick_gives_a_node_that_waits_its_turn() -> None:
    """It goes by who has waited for the longest; what else happens does not."""
    waits = replace(SLOW, waiting_since_s=NOW_S - 1, blamed_since_s=NOW_S - 1)

    assert due_of(waits, on=Occasion.REPORTED) == Nothing(waits)
    assert isinstance(due_of(waits, on=Occasion.TICK), Begin)


def test_what_supervisord_says_of_a_process_breaks_no_rule() -> None:
    """Only what the node says, its memory and time do."""
    assert due_of(SLOW, on=Occasion.SEEN) == Nothing(SLOW)


def test_in_a_dry_run_each_status_of_a_trouble_is_rehearsed_once() -> None:
    """Another status of the same trouble is news."""
    dry = replace(POLICY, dry_run=frozenset(Status))

    what = due_of(SLOW, policy=dry)

    assert isinstance(what, Rehearse)
    assert due_of(what.node, policy=dry) == Nothing(what.node)
    more = replace(what.node, report=BOTH_LIMITS.report)
    assert isinstance(due_of(more, policy=dry), Rehearse)


def test_silence_is_due_for_nothing_until_supervisord_has_answered_since() -> None:
    """The node notes when its silence was found."""
    late_s = NOW_S + 5.0

    found = due_of(node(), at_s=late_s)

    assert found == Nothing(replace(node(), silent_since_s=late_s))
    assert due_of(found.node, at_s=late_s + 1) == Nothing(found.node)
    awake = Evidence(answered_at_s=late_s + 0.1)
    confirmed = due_of(found.node, at_s=late_s + 1, evidence=awake)
    assert isinstance(confirmed, Begin)
    assert confirmed.found[0].status is Status.SILENT


def test_a_newborn_that_is_silent_is_waited_for_no_longer() -> None:
    """Whatever else it breaks is not looked at, while its restart is seen through."""
    record = Record(
        node="swarm:node_0",
        pid=6,
        cause=Cause.RULE,
        status=1,
        reason="",
        detected_at_s=0,
    )
    recovering = Restart(record=record, phase=Phase.RECOVERING, since_s=NOW_S)
    newborn = replace(SLOW, restart=recovering)
    silent = replace(newborn, seen_at_s=NOW_S - 9, silent_since_s=NOW_S - 1)

    assert due_of(newborn) == Nothing(newborn)
    awake = Evidence(answered_at_s=NOW_S)
    assert due_of(silent, evidence=awake) == Abandon(silent, recovering)


def test_a_node_that_supervisord_gave_up_is_started_by_us() -> None:
    """Not in a listener that only watches."""
    given_up = down(ProcessState.FATAL)
    watching = replace(POLICY, dry_run=frozenset(Status))

    assert due_of(given_up, on=Occasion.SEEN) == Begin(
        given_up, Cause.FATAL, "supervisord gave it up (FATAL), 0 failures in 600 s"
    )
    assert due_of(given_up, on=Occasion.SEEN, policy=watching) == Nothing(given_up)


def test_a_node_that_dies_too_often_is_taken_over_as_soon_as_it_is_seen() -> None:
    """A tick or a reading of memory says nothing new of that."""
    failures = tuple(Failure(NOW_S - 6 + each) for each in range(6))
    dying = replace(node(), is_respawn=True, failures=failures)

    for told in (Occasion.SEEN, Occasion.REPORTED):
        assert due_of(dying, on=told) == Begin(
            dying, Cause.EXITED, "died again: 6 failures in 600 s"
        )
    for other in (Occasion.MEASURED, Occasion.TICK):
        assert due_of(dying, on=other) == Nothing(dying)


def test_a_node_that_lived_longer_than_its_pause_is_not_put_off() -> None:
    """Back-off is for who comes back too soon."""
    backoff = BackoffPolicy(
        gap_s=1.0, max_restarts=1, period_s=600.0, backoff_max_s=60.0
    )
    policy = replace(POLICY, backoff=backoff)
    failures = (Failure(NOW_S - 100), Failure(NOW_S))
    back = replace(node(), is_respawn=True, failures=failures)

    soon = due_of(back, on=Occasion.SEEN, at_s=NOW_S + 1.9, policy=policy)
    assert isinstance(soon, Begin)
    late = due_of(back, on=Occasion.SEEN, at_s=NOW_S + 2.0, policy=policy)
    assert late == Nothing(back)


def test_a_node_that_could_not_work_is_tried_again_after_the_longest_pause() -> None:
    """Not before, and not one whose exit code says something else."""
    left = exited(down(ProcessState.EXITED), NOW_S, EXIT_CONFIG)
    fenced = replace(left, left_down=LeftDown(NOW_S, 5))

    assert due_of(left, at_s=NOW_S + 59.9) == Nothing(left)
    assert due_of(left, at_s=NOW_S + 60) == Begin(
        left, Cause.EXITED, "exit 78: tried again every 60 s", is_try=True
    )
    assert due_of(fenced, at_s=NOW_S + 60) == Nothing(fenced)


def test_what_a_standstill_excuses_ends_no_excuse_of_an_outage() -> None:
    """A listener that begins after a standstill has both at once."""
    told = node(consume_age_ms=21_000, unsteady_ms=30_000, at_ms=1_001_000)
    told = replace(told, seen_at_s=NOW_S + 2, reported_at_s=NOW_S + 2)
    looked_at = table(told)
    looked_at.evidence.stood_still(for_s=20.0, now_s=NOW_S)
    looked_at.group("swarm").outage_at_s = NOW_S

    what = due(told, looked_at, on=Occasion.TICK, now_s=NOW_S + 2)
    assert isinstance(what, Wait)
    assert [violation.status for violation in what.found] == [Status.UNSTEADY]
