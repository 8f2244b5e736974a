"""What is due for a node, and why: nothing is done here; `healing` does it.

An operator's hold, the outage guard, the governor and a dry run speak against a
restart that a rule asks for; nothing but a hold against managing the starts of a node
that dies too often or that supervisord gave up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from swarm_event_listener.core.healing.findings import findings
from swarm_event_listener.core.healing.guards import all_heard, must_wait
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.events import UP, ProcessState
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.model.rules import Found, Status, reasons
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_worker.shared.settings import EXIT_CONFIG, EXIT_SPARE

FINISH_AFTER_S: Final = 3.0  # whoever gives an order carries it out until then
NEWS_S: Final = 60.0  # a node that was born before an order may not have seen it


class Occasion(Enum):
    """What has just happened: it says what is asked about a node."""

    SEEN = auto()  # supervisord told of its process: who manages its starts?
    REPORTED = auto()  # the same, and does it break a rule?
    MEASURED = auto()  # does it break a rule?
    TICK = auto()  # may it restart, if it waits? is it to be tried again?


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done, but to keep what the node has noted of its trouble."""

    node: Node


@dataclass(frozen=True, slots=True)
class Wait:
    """The restart that the rules ask for has to wait, which is not in the log yet."""

    node: Node
    found: Found


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Dry run: what would be done goes on record."""

    node: Node
    found: Found


@dataclass(frozen=True, slots=True)
class Abandon:
    """A restart is abandoned: a tick may begin another one."""

    node: Node
    restart: Restart


@dataclass(frozen=True, slots=True)
class Begin:
    """A restart is to begin.

    Attributes:
        node: The node.
        cause: Why, as a kind.
        reason: Why, with figures.
        found: The rules that it breaks, where they are the reason.
        is_try: It may well exit as before.
    """

    node: Node
    cause: Cause
    reason: str
    found: Found = ()
    is_try: bool = False


Due = Nothing | Wait | Rehearse | Abandon | Begin


def due(node: Node, table: Table, *, on: Occasion, now_s: float) -> Due:
    """Return what is due for a node.

    Args:
        node: The node, as the table has it.
        table: All nodes, and what counts beside them; nothing in it changes.
        on: What has just happened.
        now_s: Now.
    """
    if node.is_held or table.is_closing:
        return Nothing(node)
    policy = table.policy(node)
    if node.restart is None and not policy.only_watches:
        start = _start(node, policy.backoff, on=on, now_s=now_s)
        if start is None and on is Occasion.TICK:
            start = _start_missing(node, table, now_s=now_s)
        if start is not None:
            return start
    # A restart under way goes on; its new process is only judged for silence.
    is_judged = node.restart is None or node.restart.phase is Phase.RECOVERING
    if on is Occasion.SEEN or not is_judged:
        return Nothing(node)
    node, found = findings(node, table, now_s=now_s)
    if node.restart is not None:
        is_silent = any(violation.status is Status.SILENT for violation in found)
        return Abandon(node, node.restart) if is_silent else Nothing(node)
    acted_on = tuple(v for v in found if v.status not in policy.dry_run)
    if not acted_on:
        return _rehearsal(node, found)
    return _restart_or_wait(node, acted_on, table, on=on, now_s=now_s)


# --- who manages its starts -----------------------------------------------------------


def _start(
    node: Node, backoff: BackoffPolicy, *, on: Occasion, now_s: float
) -> Begin | None:
    """Return a start that is ours, since supervisord does not, or too often."""
    if node.state is ProcessState.FATAL:
        reason = f"supervisord gave it up (FATAL), {_failures(node, backoff)}"
        return Begin(node, Cause.FATAL, reason)
    if on is Occasion.TICK and _is_due_again(node, backoff, now_s=now_s):
        reason = f"exit {EXIT_CONFIG}: tried again every {backoff.backoff_max_s:.0f} s"
        return Begin(node, Cause.EXITED, reason, is_try=True)
    is_told = on is Occasion.SEEN or on is Occasion.REPORTED
    if is_told and node.pid and _is_failing(node, backoff, now_s=now_s):
        return Begin(node, Cause.EXITED, f"died again: {_failures(node, backoff)}")
    return None


def _start_missing(node: Node, table: Table, *, now_s: float) -> Begin | None:
    """Return the start of a node that took itself for a spare, and is to run.

    Whoever raised the number starts it at once, unless that was killed. One that ends
    so again has another number than ours, which may be mended by now.
    """
    is_missing = node.state is ProcessState.EXITED and node.ended_as_spare
    if not is_missing or not table.is_wanted(node):
        return None
    since_s, left = table.scaled_at_s, node.left_down
    if now_s < since_s + FINISH_AFTER_S:
        return None
    if left is not None:
        backoff = table.policy(node).backoff
        is_news = left.at_s < since_s + NEWS_S
        if now_s < left.at_s + (backoff.gap_s if is_news else backoff.backoff_max_s):
            return None
    reason = f"exit {EXIT_SPARE}: it was a spare, and is to run"
    return Begin(node, Cause.EXITED, reason, is_try=True)


def _failures(node: Node, backoff: BackoffPolicy) -> str:
    return f"{len(node.failures)} failures in {backoff.period_s:.0f} s"


def _is_due_again(node: Node, backoff: BackoffPolicy, *, now_s: float) -> bool:
    """Whether a node that could not work is to be tried again.

    What it is given may be mended by now, or was being replaced. One that was fenced
    is not: another process is this node.
    """
    left = node.left_down
    if node.state is not ProcessState.EXITED or left is None:
        return False
    return left.exit_code == EXIT_CONFIG and now_s >= left.at_s + backoff.backoff_max_s


def _is_failing(node: Node, backoff: BackoffPolicy, *, now_s: float) -> bool:
    """Whether supervisord brought a node back sooner than its back-off allows."""
    if not node.is_respawn or node.state not in UP or not node.failures:
        return False
    if not backoff.excess(node.failed_at_s, now_s=now_s):
        return False
    pause_s = backoff.pause_s(node.failed_at_s, now_s=now_s)
    return now_s - node.failures[-1].at_s < pause_s


# --- what is due for broken rules -----------------------------------------------------


def _rehearsal(node: Node, found: Found) -> Due:
    """Return what goes on record: once for each status of one trouble."""
    fresh = {violation.status.value for violation in found} - node.recorded
    if not fresh:
        return Nothing(node)
    return Rehearse(replace(node, recorded=node.recorded | fresh), found)


def _restart_or_wait(
    node: Node, found: Found, table: Table, *, on: Occasion, now_s: float
) -> Due:
    """Return what is due for rules that are broken, if nothing speaks against it."""
    is_unsteady = found[0].status is Status.UNSTEADY
    is_waiting = is_unsteady or node.waiting_since_s is not None
    if is_waiting and on is not Occasion.TICK:  # which goes by who has waited longest
        return Nothing(node)
    if is_unsteady and not all_heard(table, node, now_s=now_s):
        return Nothing(node)  # the group may be frozen as a whole
    if not must_wait(table, node, found, now_s=now_s):
        return Begin(node, Cause.RULE, reasons(found), found)
    if node.waiting_since_s is not None:
        return Nothing(node)
    return Wait(replace(node, waiting_since_s=now_s), found)
