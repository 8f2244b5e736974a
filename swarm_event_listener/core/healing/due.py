"""What is due for a node, and why: nothing is done here; `healing` does it.

An operator's hold, the outage guard, the governor and a dry run speak against a
restart that a rule asks for; nothing but a hold against taking over a node that dies
too often or that supervisord gave up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from swarm_event_listener.core.evidence import all_heard, confirmed, evident
from swarm_event_listener.core.healing.guards import must_wait
from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.model.pacing import Pace
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.model.rules import Found, Status, reasons
from swarm_event_listener.core.node import (
    Node,
    is_due_again,
    is_failing,
    violations,
)
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_worker.shared.settings import EXIT_CONFIG


class Occasion(Enum):
    """What has just happened: it says what is asked about a node."""

    SEEN = auto()  # supervisord told of its process: who owns its starts?
    REPORTED = auto()  # the same, and does it break a rule?
    MEASURED = auto()  # does it break a rule?
    TICK = auto()  # is it its turn, if it waits, or is to be tried again?


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing is to be done; the node may have noted something of its trouble."""

    node: Node


@dataclass(frozen=True, slots=True)
class Wait:
    """The restart that the rules ask for has to wait, which was not said yet."""

    node: Node
    found: Found


@dataclass(frozen=True, slots=True)
class Rehearse:
    """Dry run: what would be done goes on record."""

    node: Node
    found: Found


@dataclass(frozen=True, slots=True)
class Abandon:
    """A restart is seen through no longer: a tick begins anew."""

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
        table: All nodes and what else is known, to look at.
        on: What has just happened.
        now_s: Now.
    """
    if node.is_held or table.is_closing:
        return Nothing(node)
    policy = table.policy(node)
    if node.restart is None and not policy.only_watches:
        start = _start(node, policy.pace, on=on, now_s=now_s)
        if start is not None:
            return start
    # A restart is seen through; only whether its newborn is silent is looked at.
    is_judged = node.restart is None or node.restart.phase is Phase.RECOVERING
    if on is Occasion.SEEN or not is_judged:
        return Nothing(node)
    return _by_rules(node, table, policy, on=on, now_s=now_s)


# --- who owns its starts --------------------------------------------------------------


def _start(node: Node, pace: Pace, *, on: Occasion, now_s: float) -> Begin | None:
    """Own the starts of a node that supervisord gave up, leaves down, or fails with."""
    if node.state is ProcessState.FATAL:
        reason = f"supervisord gave it up (FATAL), {_failures(node, pace)}"
        return Begin(node, Cause.FATAL, reason)
    if on is Occasion.TICK and is_due_again(node, pace, now_s=now_s):
        reason = f"exit {EXIT_CONFIG}: tried again every {pace.backoff_max_s:.0f} s"
        return Begin(node, Cause.EXITED, reason, is_try=True)
    is_told = on is Occasion.SEEN or on is Occasion.REPORTED
    if is_told and node.pid and is_failing(node, pace, now_s=now_s):
        return Begin(node, Cause.EXITED, f"died again: {_failures(node, pace)}")
    return None


def _failures(node: Node, pace: Pace) -> str:
    return f"{len(node.failures)} failures in {pace.period_s:.0f} s"


# --- whether it breaks a rule, and whether that counts --------------------------------


def _by_rules(
    node: Node, table: Table, policy: Policy, *, on: Occasion, now_s: float
) -> Due:
    found = violations(
        node,
        policy.limits,
        now_s=now_s,
        silence_counts=node.group in table.reporting_groups,
        alone_s=table.alone_s(node),
    )
    evidence = table.evidence
    if found:
        node, found = confirmed(node, found, evidence, now_s=now_s)
    if node.restart:
        is_silent = any(violation.status is Status.SILENT for violation in found)
        return Abandon(node, node.restart) if is_silent else Nothing(node)
    if not found:
        return Nothing(_well(node))
    node, found = evident(node, found, evidence, policy, now_s=now_s)
    return _in_turn(node, found, table, policy, on=on, now_s=now_s)


def _in_turn(
    node: Node,
    found: Found,
    table: Table,
    policy: Policy,
    *,
    on: Occasion,
    now_s: float,
) -> Due:
    """Give what is due for rules that are broken, if nothing speaks against it."""
    acted_on = tuple(v for v in found if v.status not in policy.dry_run)
    if not acted_on:
        return _rehearsal(node, found)
    is_unsteady = acted_on[0].status is Status.UNSTEADY
    is_waiting = is_unsteady or node.waiting_since_s is not None
    if is_waiting and on is not Occasion.TICK:  # which goes by who has waited longest
        return Nothing(node)
    if is_unsteady and not all_heard(
        node,
        table.of(table.group(node.group).running),  # which may be frozen as a whole
        policy=policy,
        now_s=now_s,
    ):
        return Nothing(node)
    if not must_wait(table, node, acted_on, now_s=now_s):
        return Begin(node, Cause.RULE, reasons(acted_on), acted_on)
    if node.waiting_since_s is not None:
        return Nothing(node)
    return Wait(replace(node, waiting_since_s=now_s), acted_on)


def _rehearsal(node: Node, found: Found) -> Due:
    """Give what goes on record: once for each status of one trouble."""
    fresh = {violation.status.value for violation in found} - node.recorded
    if not fresh:
        return Nothing(node)
    return Rehearse(replace(node, recorded=node.recorded | fresh), found)


def _well(node: Node) -> Node:
    """Give the node without what was noted of a trouble that has ended."""
    moments = (node.waiting_since_s, node.blamed_since_s)
    if not node.recorded and moments == (None, None):
        return node
    return replace(
        node, waiting_since_s=None, blamed_since_s=None, recorded=frozenset()
    )
