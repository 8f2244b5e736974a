"""What is healthy and what is not, at each rule's very edge."""

from __future__ import annotations

from typing import Any

import pytest

from swarm_event_listener.core.model.rules import (
    Limits,
    Status,
    Violation,
    bloated,
    booting,
    is_outage,
    judge,
    ranked,
    silent,
    troubled,
)
from swarm_worker.shared.report import State
from tests.simulation import report

LIMITS = Limits(
    polling_ttl_s=5.0,
    consuming_ttl_s=6.0,
    stability_ttl_s=7.0,
    memory_limit_bytes=100 << 20,
)


@pytest.mark.parametrize(
    ("field", "limit_ms", "status"),
    [
        ("poll_age_ms", 5_000, Status.POLLING),
        ("consume_age_ms", 6_000, Status.CONSUMING),
        ("stalled_ms", 6_000, Status.CONSUMING),
        ("unsteady_ms", 7_000, Status.UNSTEADY),
    ],
)
def test_a_limit_is_healthy_and_beyond_it_is_not(
    field: str, limit_ms: int, status: Status
) -> None:
    """An age equal to its limit is healthy; a millisecond more breaks the rule."""
    assert judge(report(**{field: limit_ms}), LIMITS) == ()
    assert [v.status for v in judge(report(**{field: limit_ms + 1}), LIMITS)] == [
        status
    ]


@pytest.mark.parametrize(
    ("field", "limit_ms"),
    [
        ("poll_age_ms", 9_000),
        ("consume_age_ms", 9_000),
        ("stalled_ms", 9_000),
        ("unsteady_ms", 18_000),
    ],
)
def test_an_absent_limit_is_the_nodes_own(field: str, limit_ms: int) -> None:
    """By default the node's max.poll.interval.ms counts, for status 4 twice that."""

    def judged(age_ms: int) -> tuple[Violation, ...]:
        told: dict[str, Any] = {field: age_ms, "max_poll_interval_ms": 9_000}
        return judge(report(**told), Limits())

    assert not judged(limit_ms)
    assert judged(limit_ms + 1)


def test_a_rule_can_be_off() -> None:
    """None turns a rule off, whatever the report says."""
    off = Limits(
        report_timeout_s=None,
        boot_ttl_s=None,
        polling_ttl_s=None,
        consuming_ttl_s=None,
        stability_ttl_s=None,
    )
    sick = report(
        poll_age_ms=10**9, consume_age_ms=10**9, unsteady_ms=10**9, stalled_ms=10**9
    )

    assert judge(sick, off) == ()
    assert silent(10**9, off) is None
    assert booting(10**9, off) is None
    assert bloated(10**15, 1, off) is None


@pytest.mark.parametrize("state", [State.BOOTING, State.STOPPING])
def test_booting_and_stopping_nodes_are_not_judged(state: State) -> None:
    """Ages mean nothing before the first poll and after the last."""
    assert judge(report(state=state, poll_age_ms=10**9), LIMITS) == ()


def test_a_quiet_node_is_judged() -> None:
    """It polls on, and its batches still have to end."""
    assert judge(report(state=State.QUIET, poll_age_ms=10**9), LIMITS)


def test_the_status_is_the_cause() -> None:
    """A record names all; the rank is -1, 2, 1, 4, 3."""
    mixed = [Violation(status, "") for status in Status]

    assert [v.status.value for v in ranked(mixed)] == [-1, 2, 1, 4, 3]


def test_a_violation_names_figures_and_place() -> None:
    """The reason alone tells what was too old, by how much, and where."""
    sick = report(consume_age_ms=312_400, in_flight=("orders/3@7", "orders/1@9"))

    (violation,) = judge(sick, Limits(consuming_ttl_s=300.0))

    assert violation.reason == (
        "consuming_ttl: 312.4 s > 300.0 s at orders/3@7, orders/1@9"
    )


def test_a_frozen_group_is_named_with_what_keeps_the_node_out() -> None:
    """Kafka's reason, where there is one."""
    out = report(unsteady_ms=7_001, not_joined="group g: JoinGroup failed")

    (violation,) = judge(out, LIMITS)
    assert violation.reason == "stability_ttl: 7.0 s > 7.0 s: group g: JoinGroup failed"


def test_silence_and_boot_have_their_edges() -> None:
    """At the limit: healthy; beyond: status -1."""
    assert silent(60.0, Limits()) is None
    assert booting(600.0, Limits()) is None

    over = (silent(60.1, Limits()), booting(600.1, Limits()))

    assert [v.status for v in over if v] == [Status.SILENT, Status.SILENT]


def test_memory_has_its_edge_and_its_samples() -> None:
    """Exactly the limit is healthy, and so are fewer samples than asked for."""
    twice = Limits(memory_limit_bytes=100, memory_samples=2)

    assert bloated(100, 2, twice) is None
    assert bloated(101, 1, twice) is None
    assert bloated(None, 2, twice) is None

    violation = bloated(101, 2, twice)

    assert violation is not None
    assert violation.status is Status.MEMORY


def test_trouble_is_no_broker_or_a_frozen_group() -> None:
    """Both speak of Kafka rather than of the node."""
    assert troubled(report(brokers_up=0), LIMITS)
    assert troubled(report(unsteady_ms=7_001), LIMITS)
    assert not troubled(report(brokers_up=1, unsteady_ms=7_000), LIMITS)
    assert not troubled(report(state=State.BOOTING, unsteady_ms=7_001), LIMITS)


@pytest.mark.parametrize(
    ("troubled_count", "node_count", "outage"),
    [(1, 1, False), (1, 2, False), (2, 2, True), (2, 4, True), (2, 5, False)],
)
def test_half_of_a_group_is_an_outage(
    troubled_count: int, node_count: int, *, outage: bool
) -> None:
    """At least half, and at least two."""
    assert is_outage(troubled_count, node_count) is outage


def test_memory_is_told_in_whole_megabytes() -> None:
    """Of 2 to the 20th bytes, as the limit is given."""
    limits = Limits(memory_limit_bytes=100 << 20)

    found = bloated(200 << 20, 1, limits)

    assert found is not None
    assert found.reason == "memory_limit: 200 MB > 100 MB"
