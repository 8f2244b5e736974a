"""What is to be done about a node: the beginning of each restart, and what prevents it.

An operator's hold, the outage guard, the governor and a dry run speak against a
restart that a rule asks for; nothing but a hold against taking over a node that dies
too often or that supervisord gave up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.evidence import Evidence, all_heard
from swarm_event_listener.core.healing.guards import (
    free_places,
    has_turn,
    in_aftermath,
    in_outage,
    may_be_outage,
)
from swarm_event_listener.core.log_events import Found
from swarm_event_listener.core.model.events import (
    Action,
    ProcessState,
    Remember,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import KAFKA_BLAMED, Status, judge
from swarm_event_listener.core.node import (
    Node,
    failed,
    is_due_again,
    is_failing,
    is_too_large_at_boot,
    suspect_of,
    violations,
)
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.restart import lifecycle
from swarm_event_listener.core.restart.restart import Phase, Restart, ended, published
from swarm_worker.shared.settings import EXIT_CONFIG

# Silence is acted on when supervisord has answered since, and the node has had this
# long to be heard: a supervisord that stood still has reports of healthy nodes to tell.
SILENCE_CONFIRMED_S: Final = 0.5


class Healing:
    """Begins restarts.

    Attributes:
        reporting: Groups whose nodes have ever reported.
        evidence: Which reports count.
        answered_at_s: When supervisord last answered a survey.
        ends: The listener ends: nothing is begun.
        supervisor_ends: supervisord ends: nothing is begun.
    """

    def __init__(self, table: Table, reporting: set[str]) -> None:
        """Work on the nodes of a table."""
        self._table = table
        self.reporting = reporting
        self.evidence = Evidence()
        self.answered_at_s: float | None = None
        self.ends = False
        self.supervisor_ends = False

    @property
    def is_closing(self) -> bool:
        """Whether nothing may be begun."""
        return self.ends or self.supervisor_ends

    def consider(self, node: Node, *, now_s: float, is_tick: bool) -> Iterator[Action]:
        """Begin a restart where a rule is broken and nothing speaks against it."""
        if not _is_judged(node) or node.is_held or self.is_closing:
            return
        policy = self._table.policy(node)
        found = violations(
            node,
            policy.limits,
            now_s=now_s,
            silence_counts=node.group in self.reporting,
            alone_s=self._table.alone_s(node),
        )
        node, found = self._confirmed(node, found, now_s=now_s)
        if node.restart:
            yield from self._given_up(node, node.restart, found)
        elif not found:
            self._is_well(node)
        else:
            yield from self._judge(node, found, now_s=now_s, is_tick=is_tick)

    def _is_well(self, node: Node) -> None:
        moments = (node.waiting_since_s, node.blamed_since_s)
        if node.recorded or moments != (None, None):
            well = replace(
                node, waiting_since_s=None, blamed_since_s=None, recorded=frozenset()
            )
            self._table.put(well)

    def _judge(
        self, node: Node, found: Found, *, now_s: float, is_tick: bool
    ) -> Iterator[Action]:
        """Act on rules that are broken, as far as the evidence is of now."""
        found = self._evident(node, found)
        node = self._blamed(node, found, now_s=now_s)
        if not found:
            return
        policy = self._table.policy(node)
        acted_on = tuple(v for v in found if v.status not in policy.dry_run)
        if not acted_on:
            yield from self._record_only(node, found, now_s=now_s)
        elif self._is_early(node, acted_on, now_s=now_s, is_tick=is_tick):
            return
        elif self._must_wait(node, acted_on, now_s=now_s):
            yield from self._wait(node, acted_on, now_s=now_s)
        else:
            yield from self._restart(node, acted_on, now_s=now_s)

    def _given_up(self, node: Node, restart: Restart, found: Found) -> Iterator[Action]:
        """Wait no longer for a newborn that is silent: the next tick begins anew."""
        if any(violation.status is Status.SILENT for violation in found):
            yield from self._table.take(node, ended(restart.record))

    def take_over(self, node: Node, *, now_s: float) -> Iterator[Action]:
        """Own the starts of a node that dies too often, or that supervisord gave up."""
        policy = self._table.policy(node)
        if node.restart or node.is_held or self.is_closing or policy.only_watches:
            return
        failures = f"{len(node.failures)} failures in {policy.pace.period_s:.0f} s"
        if node.state is ProcessState.FATAL:
            reason = f"supervisord gave it up (FATAL), {failures}"
            node = failed(node, policy.pace, now_s=now_s)
            yield from self.begin(node, Cause.FATAL, None, reason, now_s=now_s)
        elif node.pid and is_failing(node, policy.pace, now_s=now_s):
            reason = f"died again: {failures}"
            yield from self.begin(node, Cause.EXITED, None, reason, now_s=now_s)

    def try_again(self, node: Node, *, now_s: float) -> Iterator[Action]:
        """Start a node again that could not work, until what it is given is mended."""
        policy = self._table.policy(node)
        if node.restart or node.is_held or self.is_closing or policy.only_watches:
            return
        if is_due_again(node, policy.pace, now_s=now_s):
            every_s = policy.pace.backoff_max_s
            reason = f"exit {EXIT_CONFIG}: tried again every {every_s:.0f} s"
            record = _record(node, Cause.EXITED, None, reason, now_s=now_s)
            yield lines.begun(record, "node_restarting")
            step = lifecycle.begin(
                record, takes_evidence=False, is_try=True, now_s=now_s
            )
            yield from self._table.take(replace(node, waiting_since_s=None), step)

    def begin(
        self,
        node: Node,
        cause: Cause,
        status: Status | None,
        reason: str,
        *,
        now_s: float,
    ) -> Iterator[Action]:
        """Begin a restart, whatever speaks against it.

        Only what failed is kept down the longer the more often it did: whoever rolls
        has mended something, and waits.
        """
        pace = self._table.policy(node).pace
        is_failure = cause is not Cause.ROLL
        failed_at_s = node.failed_at_s if is_failure else ()
        pause_s = pace.pause_s(failed_at_s, now_s=now_s)
        record = replace(
            _record(node, cause, status, reason, now_s=now_s),
            pause_s=pause_s,
            suspect=suspect_of(node, pace) if is_failure else None,
        )
        yield lines.begun(record, "node_restarting")
        if pause_s > pace.gap_s:
            yield published(record, "backing_off")
        takes_evidence = cause is Cause.RULE and status is not Status.MEMORY
        step = lifecycle.begin(
            record, takes_evidence=takes_evidence and node.is_known, now_s=now_s
        )
        yield from self._table.take(replace(node, waiting_since_s=None), step)

    def _confirmed(
        self, node: Node, found: Found, *, now_s: float
    ) -> tuple[Node, Found]:
        """Leave silence out until supervisord itself is known to be awake."""
        if not any(violation.status is Status.SILENT for violation in found):
            return node, found
        if node.silent_since_s is None:
            node = replace(node, silent_since_s=now_s)
            self._table.put(node)
        elif self._is_confirmed(node.silent_since_s, now_s=now_s):
            return node, found
        return node, tuple(v for v in found if v.status is not Status.SILENT)

    def _blamed(self, node: Node, found: Found, *, now_s: float) -> Node:
        """Note since when a rule is broken for which Kafka may be to blame."""
        is_blamed = any(violation.status in KAFKA_BLAMED for violation in found)
        since_s = (node.blamed_since_s or now_s) if is_blamed else None
        if since_s != node.blamed_since_s:
            node = replace(node, blamed_since_s=since_s)
            self._table.put(node)
        return node

    def _evident(self, node: Node, found: Found) -> Found:
        """Leave out what only a standstill, or a report of before its end, tells."""
        if node.report is None or self.evidence.counts_from_s is None:
            return found
        policy = self._table.policy(node)
        report = self.evidence.of(node, interval_s=policy.interval_s)
        broken = judge(report, policy.limits) if report else ()
        statuses = {violation.status for violation in broken}
        return tuple(
            violation
            for violation in found
            if violation.status not in KAFKA_BLAMED
            or violation.status in statuses
            or (violation.is_lone and report is not None)
        )

    def _is_confirmed(self, silent_since_s: float, *, now_s: float) -> bool:
        return (
            now_s >= silent_since_s + SILENCE_CONFIRMED_S
            and self.answered_at_s is not None
            and self.answered_at_s >= silent_since_s
        )

    def _is_early(
        self, node: Node, found: Found, *, now_s: float, is_tick: bool
    ) -> bool:
        """Tell whether others come first.

        Those that have waited for longer, since a tick goes by that. Where a group may
        be frozen as a whole, what the others report of the same moment.
        """
        is_unsteady = found[0].status is Status.UNSTEADY
        if not is_tick and (is_unsteady or node.waiting_since_s is not None):
            return True
        return is_unsteady and not all_heard(
            node,
            self._table.of(self._table.group(node.group).running),
            policy=self._table.policy(node),
            now_s=now_s,
        )

    def _must_wait(self, node: Node, found: Found, *, now_s: float) -> bool:
        """Tell whether the outage guard or the governor speaks against a restart."""
        is_blamed = all(violation.status in KAFKA_BLAMED for violation in found)
        if is_blamed and self._is_kafkas_turn(node, found):
            return True
        return not self._has_place(node, now_s)

    def _is_kafkas_turn(self, node: Node, found: Found) -> bool:
        """Tell whether Kafka is to be waited for; it is not while it answers others."""
        if any(violation.is_lone for violation in found):
            return not has_turn(self._table, node)
        is_unsteady = all(v.status is Status.UNSTEADY for v in found)
        return (
            in_outage(self._table, node.group)
            or in_aftermath(self._table, node)
            or (is_unsteady and may_be_outage(self._table, node.group))
        )

    def _has_place(self, node: Node, now_s: float) -> bool:
        limit = self._table.policy(node).max_unavailable
        return free_places(self._table, node.group, limit, now_s=now_s) > 0

    def _wait(self, node: Node, found: Found, *, now_s: float) -> Iterator[Action]:
        if node.waiting_since_s is None:
            self._table.put(replace(node, waiting_since_s=now_s))
            yield lines.waits(node, found)

    def _record_only(
        self, node: Node, found: Found, *, now_s: float
    ) -> Iterator[Action]:
        """Keep what would have been done: once for each status of one trouble."""
        fresh = {violation.status.value for violation in found} - node.recorded
        if not fresh:
            return
        self._table.put(replace(node, recorded=node.recorded | fresh))
        status, reason = found[0].status, lines.reasons(found)
        record = _record(node, Cause.RULE, status, reason, now_s=now_s)
        yield Remember(name=node.name, record=replace(record, dry_run=True))
        yield lines.begun(record, "would_restart")

    def _restart(self, node: Node, found: Found, *, now_s: float) -> Iterator[Action]:
        status = found[0].status
        if status is Status.MEMORY and is_too_large_at_boot(node):
            yield lines.below_boot_size(node, found)
        node = failed(node, self._table.policy(node).pace, now_s=now_s)
        is_lone = any(violation.is_lone for violation in found)
        node = replace(node, awaits_broker=node.awaits_broker or is_lone)
        reason = lines.reasons(found)
        yield from self.begin(node, Cause.RULE, status, reason, now_s=now_s)


def _is_judged(node: Node) -> bool:
    """A restart is seen through; only whether its newborn is silent is looked at."""
    return node.restart is None or node.restart.phase is Phase.RECOVERING


def _record(
    node: Node, cause: Cause, status: Status | None, reason: str, *, now_s: float
) -> Record:
    memory_bytes = node.memory_bytes
    return Record(
        node=node.name,
        pid=node.pid,
        cause=cause,
        status=None if status is None else status.value,
        reason=reason,
        in_flight=node.report.in_flight if node.report else (),
        rss_mb=None if memory_bytes is None else round(memory_bytes / 2**20),
        detected_at_s=now_s,
    )
