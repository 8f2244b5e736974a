"""Does what is due for a node: notes its trouble, begins its restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.healing import deaths
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
from swarm_event_listener.core.model.events import Action, Remember
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.model.rules import Found, Status, reasons
from swarm_event_listener.core.node import Node, failed, stepped, suspect_of
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.restart import lifecycle
from swarm_event_listener.core.restart.restart import ended, published

# A node that died by itself was counted then; a roll is no failure.
_FAILS_NOW: Final = frozenset({Cause.RULE, Cause.FATAL})
_FOR_A_DEATH: Final = frozenset({Cause.EXITED, Cause.FATAL})

Done = tuple[Node, tuple[Action, ...]]


def heal(node: Node, table: Table, *, on: Occasion, now_s: float) -> tuple[Action, ...]:
    """Do what is due for a node that stands in a table."""
    what = due(node, table, on=on, now_s=now_s)
    if what.node is node and isinstance(what, Nothing):
        return ()
    return carry_out(what, table, now_s=now_s)


def carry_out(what: Due, table: Table, *, now_s: float) -> tuple[Action, ...]:
    """Do what is due; the table keeps what the node has come to."""
    backoff = table.policy(what.node).backoff
    node, actions = _done(what, backoff, now_s=now_s)
    table.put(node)
    return actions


def _done(what: Due, backoff: BackoffPolicy, *, now_s: float) -> Done:
    node = what.node
    match what:
        case Nothing():
            return node, ()
        case Wait(found=found):
            return node, (lines.waits(node, found),)
        case Rehearse(found=found):
            return node, _rehearsed(node, found, now_s=now_s)
        case Abandon(restart=restart):
            return stepped(node, ended(restart.record))
        case Begin():
            return _begun(what, backoff, now_s=now_s)
        case _:
            assert_never(what)


def _rehearsed(node: Node, found: Found, *, now_s: float) -> tuple[Action, ...]:
    record = _record(node, Cause.RULE, found, reasons(found), now_s=now_s)
    kept = Remember(name=node.name, record=replace(record, dry_run=True))
    return kept, lines.begun(record, "would_restart")


def _begun(what: Begin, backoff: BackoffPolicy, *, now_s: float) -> Done:
    """Begin a restart."""
    node, cause, found = what.node, what.cause, what.found
    record = _record(node, cause, found, what.reason, now_s=now_s)
    said: list[Action] = []
    if cause in _FOR_A_DEATH and not what.is_try:
        record = _with_death(node, record)
    else:
        node, kept = deaths.closed(node, backoff)
        said.extend(kept)
    is_bloated = record.status == Status.MEMORY
    if cause in _FAILS_NOW:
        node = failed(node, backoff, now_s=now_s)
    if not what.is_try:
        record = _by_its_past(record, node, backoff, now_s=now_s)
    step = lifecycle.begin(
        record,
        takes_evidence=cause is Cause.RULE and node.is_known,
        is_try=what.is_try,
        now_s=now_s,
    )
    if is_bloated and _is_too_large_at_boot(node):
        said.append(lines.below_boot_size(node, found))
    said.append(lines.begun(record, "node_restarting"))
    if record.pause_s > backoff.gap_s:
        said.append(published(record, "backing_off"))
    is_lone = any(violation.is_lone for violation in found)
    begun = replace(
        node,
        restart=step.restart,
        waiting_since_s=None,
        awaits_broker=node.awaits_broker or is_lone,
    )
    return begun, (*said, *step.actions)


def _with_death(node: Node, record: Record) -> Record:
    """Return the record of a restart with what the process had that has died."""
    if node.died is None:
        return record
    return replace(record, in_flight=node.died.in_flight, rss_mb=node.died.rss_mb)


def _by_its_past(
    record: Record, node: Node, backoff: BackoffPolicy, *, now_s: float
) -> Record:
    """Return the record with what the node's failures say of its pause.

    Only what failed is kept down the longer the more often it did: whoever rolls has
    mended something, and waits.
    """
    if record.cause is Cause.ROLL:
        return replace(record, pause_s=backoff.gap_s)
    return replace(
        record,
        suspect=suspect_of(node.failures, backoff),
        pause_s=backoff.pause_s(node.failed_at_s, now_s=now_s),
    )


def _record(
    node: Node, cause: Cause, found: Found, reason: str, *, now_s: float
) -> Record:
    return Record(
        node=node.name,
        pid=node.pid,
        cause=cause,
        status=found[0].status.value if found else None,
        reason=reason,
        in_flight=node.report.in_flight if node.report else (),
        rss_mb=node.memory_mb,
        detected_at_s=now_s,
    )


def _is_too_large_at_boot(node: Node) -> bool:
    """Whether a node that is over its limit was so before its first message.

    Its report alone does not tell: the first message may have come after that.
    """
    return node.report is not None and not (node.report.messages or node.has_fitted)
