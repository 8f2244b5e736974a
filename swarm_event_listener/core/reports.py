"""What a node tells of itself, and what that changes for it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.healing import deaths
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import ALIVE, Action, Reported
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.node import Failure, Node, stepped, suspect_of
from swarm_event_listener.core.restart import lifecycle
from swarm_worker.shared.report import JUDGED, ForeignReport, Report


def is_of_this_process(node: Node, pid: int) -> bool:
    """Whether what a process said counts: the node's own, not a former one.

    Between STARTING, which carries no pid, and RUNNING the first report tells it.
    """
    if node.state not in ALIVE:
        return False
    return node.pid in {None, pid}


def heard(
    before: Node, event: Reported, backoff: BackoffPolicy, *, now_s: float
) -> tuple[Node, tuple[Action, ...]]:
    """Return the node with its report, and what follows for its restart."""
    node = reported(before, event, now_s=now_s)
    said: tuple[Action, ...] = ()
    if isinstance(event.report, Report):
        is_first = before.report is None
        node = deaths.heard(node, event.report, backoff, is_first=is_first, now_s=now_s)
    if node.failures is not before.failures:
        node, said = _suspecting(node, before.failures[:-1], backoff)
    if not node.has_recovered:
        return node, said
    if node.restart is None:
        return replace(node, left_down=None) if node.left_down else node, said
    step = lifecycle.recovered(node.restart, pid=event.pid, now_s=now_s)
    node, actions = stepped(node, step)
    return replace(node, left_down=None), (*said, *actions)


def _suspecting(
    node: Node, until_then: tuple[Failure, ...], backoff: BackoffPolicy
) -> tuple[Node, tuple[Action, ...]]:
    """Name a message that is known to have killed only by what it left in flight."""
    message, restart = suspect_of(node.failures, backoff), node.restart
    if restart is not None and restart.record.suspect is None:
        record = replace(restart.record, suspect=message)
        node = replace(node, restart=replace(restart, record=record))
    if message in {None, suspect_of(until_then, backoff)}:
        return node, ()
    return node, (lines.suspected(node, message),)


def reported(node: Node, event: Reported, *, now_s: float) -> Node:
    """Return the node with its report; one of another version only proves life."""
    report = event.report
    alive = partial(
        replace,
        node,
        pid=event.pid,
        seen_at_s=now_s,
        silent_since_s=None,
        is_known=True,
    )
    if isinstance(report, ForeignReport):
        return alive(awaits_broker=False)
    return alive(
        report=report,
        reported_at_s=now_s,
        messages_per_s=_messages_per_s(node, report),
        booting_since_s=now_s if _boot_is_excused(report) else node.booting_since_s,
        failures=_explained(node, report),
        awaits_broker=node.awaits_broker and not _has_brokers(report),
    )


def _has_brokers(report: Report) -> bool:
    """Whether nothing is known to be out of reach, at work."""
    is_at_work = report.state in JUDGED and not report.not_joined
    return is_at_work and report.no_broker_ms is None and report.brokers_up != 0


def _explained(node: Node, report: Report) -> tuple[Failure, ...]:
    """Return the failures, the last with what its process left in flight.

    Only its successor's first word counts: later ones may come after a failure of that.
    """
    is_told = report.died_in_flight and node.report is None
    if not (is_told and node.failures and _follows_a_failure(node)):
        return node.failures
    *before, last = node.failures
    left = _farther(last.oldest_in_flight, report.died_in_flight[0])
    return (*before, replace(last, oldest_in_flight=left))


def _follows_a_failure(node: Node) -> bool:
    """Whether the process before this one failed, and was not just stopped.

    One that an operator or a roll stopped may have been KILLed with work in flight,
    which says nothing about a failure before that.
    """
    restart = node.restart
    is_healed = restart is not None and restart.record.cause is not Cause.ROLL
    return node.is_respawn or is_healed


def _farther(reported: str | None, left: str) -> str:
    """Return what was in flight at a death: the report knows the way into a batch."""
    place, _, offset = left.rpartition("@")
    told_place, _, told_offset = (reported or "").rpartition("@")
    if reported is None or told_place != place:
        return left
    digits = told_offset.isdecimal() and offset.isdecimal()
    return reported if digits and int(told_offset) > int(offset) else left


def _messages_per_s(node: Node, report: Report) -> float | None:
    """Take both moments from the reports: an event may be delivered late."""
    last = node.report
    if last is None or last.at_ms is None or report.at_ms is None:
        return None
    passed_ms = report.at_ms - last.at_ms
    if passed_ms <= 0 or report.messages < last.messages:
        return node.messages_per_s
    return (report.messages - last.messages) * 1000 / passed_ms


def _boot_is_excused(report: Report) -> bool:
    """A node cannot boot without a broker, or while Kafka still holds its id."""
    return report.brokers_up == 0 or report.awaits_id
