"""Which reports count, and whether the others were heard: no verdict on what is past.

supervisord hands over late what nodes said while it stood still: they are well by now,
or were held up by it, since what they print waits in its pipes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.node import Node, made_at_s
from swarm_event_listener.core.policy import Policy

# A report that comes so much later than the one before did was held up.
LATE_S: Final = 2.0
# What waited for supervisord has this long to go on before it is judged.
SETTLE_S: Final = 1.0
# Nodes report at multiples of the interval: these are of one moment, whoever is first.
SAME_MOMENT_S: Final = 0.2
# So many intervals is a younger report waited for; then what is there has to do.
INTERVALS: Final = 2


class Evidence:
    """From when on reports count.

    Attributes:
        counts_from_s: Reports that were made before it are no evidence.
    """

    def __init__(self) -> None:
        """Take whatever is told."""
        self.counts_from_s: float | None = None

    def came(self, before: Node, after: Node, *, now_s: float) -> None:
        """Look at how late a report came; `before` is the node without it.

        A machine that is too busy has all reports come late, each by as much: it is
        the change that tells of a standstill.
        """
        if _lateness_s(after) - _lateness_s(before) <= LATE_S:
            return
        if self.counts_from_s is None or made_at_s(after) >= self.counts_from_s:
            self.counts_from_s = now_s + SETTLE_S

    def is_fresh(self, node: Node, *, interval_s: float) -> bool:
        """Whether the last report of a node tells of the time after a standstill."""
        if self.counts_from_s is None or node.reported_at_s is None:
            return True
        waited_s = node.reported_at_s - self.counts_from_s
        return (
            made_at_s(node) >= self.counts_from_s or waited_s >= INTERVALS * interval_s
        )


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
