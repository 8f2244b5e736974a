"""Which reports count, and whether the others were heard: no verdict on what is past.

supervisord hands over late what nodes said while it stood still: they are well by now,
or were held up by it, since what they print waits in its pipes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.model.rules import KAFKA_BLAMED, Found, Status, judge
from swarm_event_listener.core.node import Node, made_at_s
from swarm_event_listener.core.policy import Policy
from swarm_worker.shared.report import Report

# A report that comes so much later than the one before did was held up.
LATE_S: Final = 2.0
# Nodes report at multiples of the interval: these are of one moment, whoever is first.
SAME_MOMENT_S: Final = 0.2
# So many intervals is a younger report waited for; then what is there has to do.
INTERVALS: Final = 2
# Silence is acted on when supervisord has answered since, and the node has had this
# long to be heard: a supervisord that stood still has reports of healthy nodes to tell.
SILENCE_CONFIRMED_S: Final = 0.5


@dataclass(slots=True)
class Evidence:
    """From when on reports count, and which time does not.

    Attributes:
        counts_from_s: Reports that were made before it are no evidence.
        stood_from_s: From when until then supervisord or the listener stood still.
        answered_at_s: When supervisord last answered a survey.
    """

    counts_from_s: float | None = None
    stood_from_s: float = 0.0
    answered_at_s: float | None = None

    def stood_still(self, *, for_s: float, now_s: float) -> None:
        """Record that supervisord or the listener stood still until now."""
        self.counts_from_s, self.stood_from_s = now_s, now_s - for_s

    def came(self, before: Node, after: Node, *, now_s: float) -> None:
        """Record a standstill that a late report tells; `before` is without it.

        A machine that is too busy has all reports come late, each by as much: it is
        the change that tells of a standstill.
        """
        late_s = _lateness_s(after)
        if late_s - _lateness_s(before) <= LATE_S:
            return
        made_s = made_at_s(after)
        if self.counts_from_s is None or made_s >= self.counts_from_s:
            self.stood_still(for_s=late_s, now_s=now_s)
        else:
            self.stood_from_s = min(self.stood_from_s, made_s)

    def of(self, node: Node, *, interval_s: float) -> Report | None:
        """Return what a node's report tells of the time without the standstill.

        None where it was made before the end of that. What a node prints waits for
        supervisord, so its work may have stood still, too.
        """
        report, from_s = node.report, self.counts_from_s
        if report is None or node.reported_at_s is None or from_s is None:
            return report
        made_s = made_at_s(node)
        if made_s < from_s and node.reported_at_s < from_s + INTERVALS * interval_s:
            return None

        def without_ms(age_ms: int | None) -> int | None:
            if age_ms is None:
                return None
            began_s = max(self.stood_from_s, made_s - age_ms / 1000)
            return age_ms - round(1000 * max(0.0, from_s - began_s))

        return replace(
            report,
            poll_age_ms=without_ms(report.poll_age_ms),
            consume_age_ms=without_ms(report.consume_age_ms),
            stalled_ms=without_ms(report.stalled_ms),
            unsteady_ms=without_ms(report.unsteady_ms),
        )


def confirmed(
    node: Node, found: Found, evidence: Evidence, *, now_s: float
) -> tuple[Node, Found]:
    """Leave silence out until supervisord itself is known to be awake."""
    if not any(violation.status is Status.SILENT for violation in found):
        return node, found
    since_s, answered_at_s = node.silent_since_s, evidence.answered_at_s
    if since_s is None:
        node = replace(node, silent_since_s=now_s)
    elif (
        now_s >= since_s + SILENCE_CONFIRMED_S
        and answered_at_s is not None
        and answered_at_s >= since_s
    ):
        return node, found
    return node, tuple(v for v in found if v.status is not Status.SILENT)


def evident(
    node: Node, found: Found, evidence: Evidence, policy: Policy, *, now_s: float
) -> tuple[Node, Found]:
    """Leave out what only a standstill, or a report of before its end, tells.

    The node notes since when a rule is broken for which Kafka may be to blame.
    """
    report = evidence.of(node, interval_s=policy.interval_s)
    if report is not node.report:
        broken = judge(report, policy.limits) if report else ()
        statuses = {violation.status for violation in broken}
        found = tuple(
            violation
            for violation in found
            if violation.status not in KAFKA_BLAMED
            or violation.status in statuses
            or (violation.is_lone and report is not None)
        )
    is_blamed = any(violation.status in KAFKA_BLAMED for violation in found)
    since_s = (node.blamed_since_s or now_s) if is_blamed else None
    if since_s != node.blamed_since_s:
        node = replace(node, blamed_since_s=since_s)
    return node, found


def all_heard(
    node: Node,
    others: Iterable[Node],
    *,
    policy: Policy,
    now_s: float,
) -> bool:
    """Whether each other node has told how it was when a rule was found broken.

    One that has not reported within its timeout, or never, is not waited for, and
    nobody for longer than two intervals.
    """
    since_s = now_s if node.blamed_since_s is None else node.blamed_since_s
    if now_s - since_s >= INTERVALS * policy.interval_s:
        return True
    return all(
        made_at_s(other) >= since_s - SAME_MOMENT_S
        for other in others
        if other.name != node.name
        and _is_awaited(other, policy.limits.report_timeout_s, now_s=now_s)
    )


def _is_awaited(node: Node, timeout_s: float | None, *, now_s: float) -> bool:
    return (
        node.state is ProcessState.RUNNING
        and node.reported_at_s is not None
        and (timeout_s is None or now_s - node.reported_at_s <= timeout_s)
    )


def _lateness_s(node: Node) -> float:
    return 0.0 if node.reported_at_s is None else node.reported_at_s - made_at_s(node)
