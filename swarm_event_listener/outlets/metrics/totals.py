"""Counters that outlive the processes which count: sums over a node's lives.

A node counts from 0 again with each of its processes. What is shown is the sum of what
its processes counted while this listener looked on, so that it never falls, whatever is
restarted. It begins at 0 with each listener: what a node had counted before is not
new, and would look like a jump.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Final

from swarm_event_listener.core.model.record import MEANINGS, Cause, Record
from swarm_event_listener.core.model.rules import Status
from swarm_worker.shared.report import Report

COUNTED: Final = ("messages", "batches", "errors", "retries", "dead_letters")

# Why a node was restarted, in a word and in a few.
RULES: Final = {
    status.name.lower(): f"{MEANINGS[status]} (status {status})" for status in Status
}
REASONS: Final = RULES | {
    cause.value: MEANINGS[cause]
    for cause in Cause
    if cause not in {Cause.RULE, Cause.DIED}  # which is no restart by the listener
}


@dataclass(slots=True)
class NodeTotals:
    """The sums of one node.

    Attributes:
        counts: By name of the report's field.
        last: The last report that was added; None before the first.
        pid: The process that sent it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    last: Report | None = None
    pid: int | None = None

    def add(self, pid: int, report: Report) -> None:
        """Add what a report has beyond the one before."""
        last = self.last
        same_process = last is not None and pid == self.pid and report.seq >= last.seq
        for name in COUNTED:
            counted = getattr(report, name)
            if same_process:
                counted -= getattr(last, name)
            elif last is None and report.seq > 0:
                counted = 0  # it ran before this listener did
            self.counts[name] += max(0, counted)
        self.last, self.pid = report, pid


def reason_of(record: Record) -> str:
    """Return why a node was restarted, one of `REASONS`."""
    if record.cause is Cause.RULE and record.status is not None:
        return Status(record.status).name.lower()
    return record.cause.value


class Totals:
    """The sums of all nodes, and how often and why they were restarted.

    Attributes:
        restarts: By node and reason.
        dry_runs: The same, of those that a dry run left out.
    """

    def __init__(self) -> None:
        self._nodes: defaultdict[str, NodeTotals] = defaultdict(NodeTotals)
        self.restarts: Counter[tuple[str, str]] = Counter()
        self.dry_runs: Counter[tuple[str, str]] = Counter()

    def of(self, name: str) -> Mapping[str, int]:
        """Return the sums of a node; without one that never reported they are 0."""
        node = self._nodes.get(name)
        return Counter() if node is None else node.counts

    def reported(self, name: str, pid: int, report: Report) -> None:
        """Add a report of the node's present process."""
        self._nodes[name].add(pid, report)

    def restarted(self, record: Record) -> None:
        """Count a restart, or one that a dry run left out; deaths the core counts."""
        if record.cause is Cause.DIED:
            return
        counted = self.dry_runs if record.dry_run else self.restarts
        counted[record.node, reason_of(record)] += 1

    def forget_all_but(self, names: Container[str]) -> None:
        """Forget the nodes that are no more."""
        for known in [name for name in self._nodes if name not in names]:
            del self._nodes[known]
        for counted in (self.restarts, self.dry_runs):
            for key in [key for key in counted if key[0] not in names]:
                del counted[key]
