"""What the listener knows of one node, and what is wrong with it by the rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from swarm_event_listener.core.model.events import (
    ALIVE,
    UP,
    ProcessState,
    Reported,
    group_of,
)
from swarm_event_listener.core.model.pacing import Pace, suspect
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.model.rules import (
    Limits,
    Violation,
    bloated,
    judge,
    lone,
    overdue,
    ranked,
    silent,
)
from swarm_event_listener.core.restart.restart import Restart
from swarm_worker.shared.report import JUDGED, ForeignReport, Report, State
from swarm_worker.shared.settings import EXIT_CONFIG


@dataclass(frozen=True, slots=True)
class Failure:
    """A node's death by itself, or a restart by our hand.

    Attributes:
        at_s: When.
        oldest_in_flight: ``topic/partition@offset``; None when idle or unknown.
    """

    at_s: float
    oldest_in_flight: str | None = None


@dataclass(frozen=True, slots=True)
class LeftDown:
    """supervisord leaves a node down: its exit code is for a person to read.

    Attributes:
        at_s: When it exited.
        exit_code: None while supervisord has not told.
    """

    at_s: float
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node as the listener knows it; all moments are monotonic seconds.

    Attributes:
        name: ``group:process``.
        state: supervisord's state of its process.
        pid: Its process; None when there is none, or not yet told.
        seen_at_s: From when its silence counts: its start, its last report, the
            listener's start, or the end of a stall of the listener.
        booting_since_s: From when its boot counts; moves while a boot is excused.
        report: Its last report; None before the first of this process.
        reported_at_s: When that came.
        messages_per_s: Between its last two reports; None before the second.
        is_known: Whether this process ever reported; others must not get TTIN, whose
            default action would stop them.
        memory_bytes: The last reading; None before the first of this process.
        over_count: Consecutive readings over the limit.
        has_fitted: A reading since it runs was within the limit, which is therefore
            not below what a node has before its first message.
        failures: Its recent deaths and restarts, oldest first.
        restart: The restart under way.
        silent_since_s: When its silence was found; None while it is not silent.
        awaits_broker: It was restarted since it alone had no broker, and has not had
            one since.
        blamed_since_s: Since when a rule is found broken for which Kafka may be to
            blame; None while none is.
        waiting_since_s: Since when it waits for the governor or the outage guard.
        is_held: An operator took it out of the rules.
        is_respawn: supervisord brought this process back after its predecessor died;
            nobody asked for it, so a back-off may put it off.
        recorded: Statuses of the present trouble that were recorded as dry run.
        left_down: How it came to be down for good; kept until a process of it works,
            however often it is tried again meanwhile.
    """

    name: str
    state: ProcessState
    pid: int | None
    seen_at_s: float
    booting_since_s: float
    report: Report | None = None
    reported_at_s: float | None = None
    messages_per_s: float | None = None
    is_known: bool = False
    memory_bytes: int | None = None
    over_count: int = 0
    has_fitted: bool = False
    failures: tuple[Failure, ...] = ()
    restart: Restart | None = None
    silent_since_s: float | None = None
    awaits_broker: bool = False
    blamed_since_s: float | None = None
    waiting_since_s: float | None = None
    is_held: bool = False
    is_respawn: bool = False
    recorded: frozenset[int] = frozenset()
    left_down: LeftDown | None = None

    @property
    def group(self) -> str:
        """The supervisord group."""
        return group_of(self.name)

    @property
    def failed_at_s(self) -> tuple[float, ...]:
        """The moments of its failures."""
        return tuple(failure.at_s for failure in self.failures)

    @property
    def oldest_in_flight(self) -> str | None:
        """The message that it has been working on for the longest, as last told."""
        in_flight = self.report.in_flight if self.report else ()
        return in_flight[0] if in_flight else None


# The first report is due at once, or within the interval of one that was there before
# the listener; without it nothing tells a leak from a limit below the boot size.
UNHEARD_S: Final = 10.0

_COUNTED: Final = UP | {ProcessState.BACKOFF}
_DEAD: Final = frozenset({ProcessState.EXITED, ProcessState.BACKOFF})


def appeared(name: str, state: ProcessState, pid: int | None, *, now_s: float) -> Node:
    """Give a node that is seen for the first time."""
    return Node(name=name, state=state, pid=pid, seen_at_s=now_s, booting_since_s=now_s)


def moved(node: Node, state: ProcessState, pid: int | None, *, now_s: float) -> Node:
    """Give the node in its new state; a new process is known for nothing yet."""
    is_new = state in UP and (
        node.state not in UP or (node.pid and pid and pid != node.pid)
    )
    if not is_new:
        return replace(node, state=state, pid=_pid(node, state, pid))
    return replace(
        appeared(node.name, state, pid, now_s=now_s),
        failures=node.failures,
        restart=node.restart,
        is_held=node.is_held,
        awaits_broker=node.awaits_broker,
        is_respawn=node.state in _DEAD,
        left_down=node.left_down,
    )


def _pid(node: Node, state: ProcessState, pid: int | None) -> int | None:
    """Keep the process id where supervisord does not tell it, as long as it is one."""
    if state in ALIVE:
        return pid or node.pid
    return None


def made_at_s(node: Node) -> float:
    """Return when its last report was made, by its own word; 0 without one."""
    came_at_s, report = node.reported_at_s, node.report
    if came_at_s is None:
        return 0.0
    if report is None or report.at_ms is None:
        return came_at_s
    return min(came_at_s, report.at_ms / 1000)


def is_counted(node: Node) -> bool:
    """Whether shares of its group count it: it runs, or is down for a restart.

    One that an operator has stopped or retired, that ended for good, or that was never
    started does no work, so nothing that goes on without it may be measured by it.
    """
    return node.restart is not None or node.state in _COUNTED


def exited(node: Node, at_s: float, exit_code: int | None = None) -> Node:
    """Give the node that supervisord leaves down."""
    return replace(node, left_down=LeftDown(at_s, exit_code))


def is_due_again(node: Node, pace: Pace, *, now_s: float) -> bool:
    """Tell whether a node that could not work is to be tried again.

    What it is given may be mended by now, or was being replaced. One that was fenced
    is not: another process is this node.
    """
    left = node.left_down
    if node.state is not ProcessState.EXITED or left is None:
        return False
    return left.exit_code == EXIT_CONFIG and now_s >= left.at_s + pace.backoff_max_s


def is_of_this_process(node: Node, pid: int) -> bool:
    """Tell whether what a process said counts: the node's own, not a former one.

    Between STARTING, which carries no pid, and RUNNING the first report tells it.
    """
    if node.state not in ALIVE:
        return False
    return node.pid in {None, pid}


def reported(node: Node, event: Reported, *, now_s: float) -> Node:
    """Give the node with its report; one of another version only proves life."""
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
    """Tell whether nothing is known to be out of reach, at work."""
    is_at_work = report.state in JUDGED and not report.not_joined
    return is_at_work and report.no_broker_ms is None and report.brokers_up != 0


def _explained(node: Node, report: Report) -> tuple[Failure, ...]:
    """Give the failures, the last with what its process left in flight.

    Only its successor's first word counts: later ones may come after a failure of that.
    """
    is_told = report.died_in_flight and node.report is None
    if not (is_told and node.failures and _follows_a_failure(node)):
        return node.failures
    *before, last = node.failures
    left = _farther(last.oldest_in_flight, report.died_in_flight[0])
    return (*before, replace(last, oldest_in_flight=left))


def _follows_a_failure(node: Node) -> bool:
    """Tell whether the process before this one failed, and was not just stopped.

    One that an operator or a roll stopped may have been KILLed with work in flight,
    which says nothing about a failure before that.
    """
    restart = node.restart
    is_healed = restart is not None and restart.record.cause is not Cause.ROLL
    return node.is_respawn or is_healed


def _farther(reported: str | None, left: str) -> str:
    """Give what was in flight at a death: the report knows the way into a batch."""
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


def measured(node: Node, memory_bytes: int, limits: Limits) -> Node:
    """Give the node with a reading of its memory."""
    limit_bytes = limits.memory_limit_bytes
    is_over = limit_bytes is not None and memory_bytes > limit_bytes
    return replace(
        node,
        memory_bytes=memory_bytes,
        over_count=node.over_count + 1 if is_over else 0,
        has_fitted=node.has_fitted or (not is_over and _runs(node)),
    )


def _runs(node: Node) -> bool:
    return node.report is not None and node.report.state in JUDGED


def is_news(node: Node, memory_bytes: int) -> bool:
    """Tell whether a reading changes what is known; each one over the limit counts."""
    is_first = _runs(node) and not node.has_fitted
    return memory_bytes != node.memory_bytes or node.over_count > 0 or is_first


def is_too_large_at_boot(node: Node) -> bool:
    """Tell whether a node that is over its limit was so before its first message.

    Its report alone does not tell: the first message may have come after that.
    """
    return node.report is not None and not (node.report.messages or node.has_fitted)


def violations(
    node: Node,
    limits: Limits,
    *,
    now_s: float,
    silence_counts: bool,
    alone_s: float | None = None,
) -> tuple[Violation, ...]:
    """Give all rules that a node breaks now, in rank order.

    Args:
        node: The node.
        limits: Those of its group.
        now_s: Now.
        silence_counts: False while no node of the group has ever reported: then it is
            the reporting that is broken, not the nodes.
        alone_s: For how long it has had no broker while others of its group had one.
    """
    if node.state not in UP:
        return ()
    report = node.report
    silence = silent(now_s - node.seen_at_s, limits) if silence_counts else None
    if report is not None and report.state is State.STOPPING:
        return (silence,) if silence else ()
    # A process has told of itself, or had the time to, before its memory is judged.
    has_told = node.is_known or now_s - node.booting_since_s >= UNHEARD_S
    found = [
        *(judge(report, limits) if report else ()),
        lone(report, alone_s, limits) if report else None,
        silence,
        bloated(node.memory_bytes, node.over_count, limits) if has_told else None,
    ]
    if report is not None and report.state is State.BOOTING:
        found.append(overdue(now_s - node.booting_since_s, limits))
    return ranked(found) if any(found) else ()  # this is called for all, each second


def is_failing(node: Node, pace: Pace, *, now_s: float) -> bool:
    """Tell whether supervisord brought a node back sooner than its back-off allows."""
    if not node.is_respawn or node.state not in UP or not node.failures:
        return False
    if not pace.excess(node.failed_at_s, now_s=now_s):
        return False
    pause_s = pace.pause_s(node.failed_at_s, now_s=now_s)
    return now_s - node.failures[-1].at_s < pause_s


def failed(node: Node, pace: Pace, *, now_s: float) -> Node:
    """Give the node with one more failure; those that no longer count are dropped."""
    recent = set(pace.recent(node.failed_at_s, now_s=now_s))
    kept = tuple(failure for failure in node.failures if failure.at_s in recent)
    return replace(node, failures=(*kept, Failure(now_s, node.oldest_in_flight)))


def suspect_of(node: Node, pace: Pace) -> str | None:
    """Name the message that was in flight at each of the node's last failures."""
    oldest = [failure.oldest_in_flight for failure in node.failures]
    return suspect(oldest, max_restarts=pace.max_restarts)


def has_recovered(node: Node) -> bool:
    """Tell whether the present process works: it polls, its groups have let it in."""
    report = node.report
    if report is None:
        return node.is_known and node.state is ProcessState.RUNNING
    has_polled = report.poll_age_ms is not None and report.state in JUDGED
    return has_polled and not report.not_joined
