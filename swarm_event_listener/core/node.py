"""What the listener knows of one node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.death import DeathCause
from swarm_event_listener.core.model.events import (
    ALIVE,
    UP,
    Action,
    ProcessState,
    Remember,
    group_of,
)
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.model.rules import Limits
from swarm_event_listener.core.restart.restart import Restart, Step
from swarm_worker.shared.report import JUDGED, Report
from swarm_worker.shared.scale import node_id_of, program_of
from swarm_worker.shared.settings import EXIT_SPARE


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
        exit_code: How its process ended, as supervisord has it; None while it is not
            known to have.
        is_unstarted: supervisord has not started it since it runs itself.
        died: The record of its last death, until it is known how it came back; None
            where that is on record. A restart that it has led to tells of it instead.
        deaths: How often it died while this listener looked on, by cause.
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
    exit_code: int | None = None
    is_unstarted: bool = False
    died: Record | None = None
    deaths: Mapping[DeathCause, int] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The supervisord group."""
        return group_of(self.name)

    @property
    def failed_at_s(self) -> tuple[float, ...]:
        """The moments of its failures."""
        return tuple(failure.at_s for failure in self.failures)

    @property
    def made_at_s(self) -> float:
        """When its last report was made, as it says; 0 without one."""
        if self.reported_at_s is None:
            return 0.0
        if self.report is None or self.report.at_ms is None:
            return self.reported_at_s
        return min(self.reported_at_s, self.report.at_ms / 1000)

    @property
    def is_counted(self) -> bool:
        """Whether shares of its group count it: it runs, or is down for a restart.

        One that an operator has stopped or retired, that ended for good, or that was
        never started does no work, so nothing that goes on without it may be measured
        by it.
        """
        return self.restart is not None or self.state in _COUNTED

    @property
    def has_recovered(self) -> bool:
        """Whether its process works: it polls, its groups have let it in."""
        report = self.report
        if report is None:
            return self.is_known and self.state is ProcessState.RUNNING
        has_polled = report.poll_age_ms is not None and report.state in JUDGED
        return has_polled and not report.not_joined

    @property
    def program(self) -> str:
        """Its program within its group, as its name tells it."""
        return program_of(self.name.partition(":")[2])

    @property
    def node_id(self) -> int | None:
        """Its id: as it last told, or else as its name does; None for neither."""
        return self.report.node if self.report else node_id_of(self.name)

    @property
    def ended_as_spare(self) -> bool:
        """Whether its process exited as one that is not needed, as far as is known."""
        if self.exit_code is not None:
            return self.exit_code == EXIT_SPARE
        return self.says_spare

    @property
    def says_spare(self) -> bool:
        """Whether its process has said that it is not needed."""
        return self.report is not None and self.report.spare

    @property
    def memory_mb(self) -> int | None:
        """The last reading of its memory in MB (2^20 bytes)."""
        return None if self.memory_bytes is None else round(self.memory_bytes / 2**20)

    @property
    def oldest_in_flight(self) -> str | None:
        """The message that it has been working on for the longest, as last told."""
        in_flight = self.report.in_flight if self.report else ()
        return in_flight[0] if in_flight else None


_COUNTED: Final = UP | {ProcessState.BACKOFF}
_DEAD: Final = frozenset({ProcessState.EXITED, ProcessState.BACKOFF})


def appeared(name: str, state: ProcessState, pid: int | None, *, now_s: float) -> Node:
    """Return a node that is seen for the first time."""
    return Node(name=name, state=state, pid=pid, seen_at_s=now_s, booting_since_s=now_s)


def moved(node: Node, state: ProcessState, pid: int | None, *, now_s: float) -> Node:
    """Return the node in its new state; a new process is known for nothing yet."""
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
        died=node.died,
        deaths=node.deaths,
    )


def stepped(node: Node, step: Step) -> tuple[Node, tuple[Action, ...]]:
    """Return the node with what its restart came to, and what is to be done.

    The record of a restart that a death has led to tells of that death.
    """
    died = node.died
    is_kept = any(isinstance(action, Remember) for action in step.actions)
    if died is None or died.death is None or not is_kept:
        return replace(node, restart=step.restart), step.actions
    death = replace(died.death, is_told=True)
    actions = (
        replace(action, record=replace(action.record, death=death))
        if isinstance(action, Remember)
        else action
        for action in step.actions
    )
    return replace(node, restart=step.restart, died=None), tuple(actions)


def _pid(node: Node, state: ProcessState, pid: int | None) -> int | None:
    """Keep the process id where supervisord does not tell it, as long as it is one."""
    if state in ALIVE:
        return pid or node.pid
    return None


def exited(node: Node, at_s: float, exit_code: int | None = None) -> Node:
    """Return the node that supervisord leaves down."""
    return replace(node, left_down=LeftDown(at_s, exit_code))


def measured(node: Node, memory_bytes: int, limits: Limits) -> Node:
    """Return the node with a reading of its memory."""
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
    """Whether a reading changes what is known; each one over the limit counts."""
    is_first = _runs(node) and not node.has_fitted
    return memory_bytes != node.memory_bytes or node.over_count > 0 or is_first


def failed(node: Node, backoff: BackoffPolicy, *, now_s: float) -> Node:
    """Return the node with one more failure; those that no longer count are dropped."""
    recent = set(backoff.recent(node.failed_at_s, now_s=now_s))
    kept = tuple(failure for failure in node.failures if failure.at_s in recent)
    return replace(node, failures=(*kept, Failure(now_s, node.oldest_in_flight)))


def suspect_of(failures: Sequence[Failure], backoff: BackoffPolicy) -> str | None:
    """Return the message that was the oldest in flight at each of the last failures.

    So many as are restarted after the least pause make it a suspect; None: no message.
    """
    last = [failure.oldest_in_flight for failure in failures[-backoff.max_restarts :]]
    if len(last) < backoff.max_restarts or len(set(last)) != 1:
        return None
    return last[0]
