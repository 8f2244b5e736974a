"""How a node is, in one word: what an operator reads, and a monitoring check asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from swarm_event_listener.core.healing.findings import violations
from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.core.model.rules import reasons
from swarm_event_listener.core.node import LeftDown, Node
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_worker.shared.report import Report, State
from swarm_worker.shared.settings import EXIT_CONFIG


class Word(StrEnum):
    """The words for a node's health. Well are those in `WELL`."""

    HEALTHY = "healthy"
    BOOTING = "booting"  # its process is there, and not in its group (yet)
    UNHEALTHY = "unhealthy"  # it breaks a rule, or is down for good
    WAITING = "waiting"  # a restart is due: for its turn, an outage's end, or the gap
    STOPPING = "stopping"
    BACKING_OFF = "backing off"  # down for longer, because it fails too often
    QUIET = "quiet"  # takes no new work, by an operator's command
    HELD = "held"  # out of the rules, by an operator's command
    STOPPED = "stopped by operator"
    UNKNOWN = "unknown"  # nothing was reported lately
    FAILING = "failing"  # at work, but for a message that its handler cannot take
    SPARE = "spare"  # its group is to run fewer nodes: as good as well


# Nothing is wrong with such a node.
WELL: Final = frozenset({Word.HEALTHY, Word.SPARE})


@dataclass(frozen=True, slots=True)
class Health:
    """A word, and what a person would ask next; empty where the word says all."""

    word: Word
    why: str = ""


# Attempts. One that is over with the next try, a second later, is no trouble; and of a
# batch only a message that was tried alone is known to be the one that fails.
FAILING_FROM: Final = 2

_BY_STATE: Final = {
    ProcessState.STOPPED: Health(Word.STOPPED),
    ProcessState.STOPPING: Health(Word.STOPPING),
    ProcessState.BACKOFF: Health(
        Word.BACKING_OFF, "its start failed; supervisord tries again"
    ),
    ProcessState.EXITED: Health(
        Word.UNHEALTHY, "it exited, and supervisord leaves it down; see its log"
    ),
    ProcessState.FATAL: Health(Word.UNHEALTHY, "supervisord gave it up; see its log"),
    ProcessState.UNKNOWN: Health(Word.UNHEALTHY, "supervisord lost track of it"),
}


_UNSTARTED: Final = (
    "nobody has stopped it: it was never started (autostart=false); supervisorctl "
    "start does"
)
_BY_SIGNAL: Final = -1  # supervisord's exit code of what a signal has ended
_GIVEN_UP: Final = frozenset({ProcessState.FATAL, ProcessState.UNKNOWN})


def down_for_good(node: Node, policy: Policy) -> str:
    """Return why nobody but a person brings a node back; empty where somebody will.

    Also while one that could not work is tried again: until it works.
    """
    if node.left_down is not None:
        return _left_down(node, node.left_down, policy).why
    if node.restart is None and node.state in _GIVEN_UP:
        return _BY_STATE[node.state].why
    return ""


def _left_down(node: Node, left: LeftDown, policy: Policy) -> Health:
    if left.exit_code != EXIT_CONFIG or node.is_held or policy.only_watches:
        return _exited(node.exit_code if left.exit_code is None else left.exit_code)
    every = f"{policy.backoff.backoff_max_s:.0f} s"
    return Health(
        Word.UNHEALTHY,
        f"it exited with {EXIT_CONFIG}, since what it was given cannot work; tried "
        f"again every {every}; see its log",
    )


def _exited(exit_code: int | None) -> Health:
    if exit_code is None:
        return _BY_STATE[ProcessState.EXITED]
    how = (
        "a signal ended it"
        if exit_code == _BY_SIGNAL
        else f"it exited with {exit_code}"
    )
    return Health(Word.UNHEALTHY, f"{how}, and supervisord leaves it down; see its log")


def health_of(node: Node, table: Table, *, now_s: float) -> Health:
    """Return how a node is, in a word and the reason."""
    policy = table.policy(node)
    if node.restart is not None:
        return _in_restart(node, node.restart, gap_s=policy.backoff.gap_s)
    if node.state in _BY_STATE:
        return _in_state(node, table)
    broken = violations(node, table, now_s=now_s)
    if node.is_held:
        return Health(Word.HELD, reasons(broken))
    if broken and node.waiting_since_s is not None:
        return Health(Word.WAITING, reasons(broken))
    if broken:
        return Health(Word.UNHEALTHY, reasons(broken))
    return _unbroken(node, table)


def _in_state(node: Node, table: Table) -> Health:
    if table.is_spare(node):
        return Health(Word.SPARE, f"{table.wanted_nodes(node)} nodes are to run")
    if node.state is ProcessState.EXITED and node.left_down is not None:
        return _left_down(node, node.left_down, table.policy(node))
    if node.state is ProcessState.EXITED:
        return _exited(node.exit_code)
    if node.state is ProcessState.STOPPED and node.is_unstarted:
        return Health(Word.STOPPED, _UNSTARTED)
    return _BY_STATE[node.state]


def health_by_state(state: ProcessState) -> Health:
    """Return how a node is of which nothing is known but its process's state."""
    return _BY_STATE.get(state, Health(Word.BOOTING, "no report yet"))


def _in_restart(node: Node, restart: Restart, *, gap_s: float) -> Health:
    death = node.died.death if node.died else None
    why = replace(restart.record, death=death).said
    match restart.phase:
        case Phase.INTENDED | Phase.EVIDENCE | Phase.READY | Phase.STOPPING:
            return Health(Word.STOPPING, why)
        case Phase.DOWN if restart.record.pause_s > gap_s:
            return Health(Word.BACKING_OFF, why)
        case Phase.DOWN:
            return Health(Word.WAITING, why)
        case Phase.STARTING | Phase.RECOVERING:
            return Health(Word.BOOTING, why)


def _unbroken(node: Node, table: Table) -> Health:
    report = node.report
    if report is None:
        return _unheard(node)
    if report.state is State.STOPPING:
        return Health(Word.STOPPING)
    why = _keeps_from_work(node, report, table)
    if report.state is State.QUIET:
        return Health(Word.QUIET, why)
    if why or not node.has_recovered:
        return Health(Word.BOOTING, why)
    if any(each.attempts >= FAILING_FROM for each in report.failing):
        return Health(Word.FAILING, str(report.failing[0]))
    return Health(Word.HEALTHY)


def _unheard(node: Node) -> Health:
    """Return how a node is that has not reported, or not in our version."""
    if node.has_recovered:
        return Health(Word.HEALTHY)
    return Health(Word.BOOTING, "" if node.is_known else "no report yet")


def _keeps_from_work(node: Node, report: Report, table: Table) -> str:
    is_told = report.brokers_up is not None  # by then a new client may have one
    if is_told and (report.brokers_up == 0 or report.no_broker_ms is not None):
        return f"no broker answers{_without_broker(node, report, table)}"
    if report.awaits_id:
        return "Kafka holds its id for its predecessor"
    return report.not_joined


def _without_broker(node: Node, report: Report, table: Table) -> str:
    """Return for how long and why, and whether a restart may follow."""
    if report.no_broker_ms is None:
        return ""
    since = f" for {report.no_broker_ms / 1000:.0f} s"
    why = f" ({report.no_broker})" if report.no_broker else ""
    if table.group(node.group).running == {node.name}:
        return f"{since}{why}; excused, as the only node of its group that runs"
    if table.alone_s(node) is None:
        return f"{since}{why}; excused, since none of its group has one"
    return f"{since}{why}, while others of its group have one"
