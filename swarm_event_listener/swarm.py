"""The swarm as one state machine: what happened and ``now_s`` in, what to do out.

It knows all nodes of the watched groups, begins restarts where rules are broken and
lets them take their steps (`lifecycle`). What keeps a restart from beginning is here
too: an operator's hold, the outage guard, the governor, a dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, assert_never

from swarm_event_listener import lifecycle, roll
from swarm_event_listener.events import (
    Action,
    Answered,
    Closed,
    Closing,
    Event,
    GroupAdded,
    GroupRemoved,
    Journaled,
    Level,
    Lost,
    Measured,
    Note,
    Ordered,
    ProcessInfo,
    ProcessState,
    Publish,
    Remember,
    Reported,
    RollCancelled,
    RollOrdered,
    Say,
    Stalled,
    StateChanged,
    SupervisorChanged,
    Survey,
    Surveyed,
    Tick,
    Word,
    group_of,
)
from swarm_event_listener.guards import free_places, in_outage, is_mute
from swarm_event_listener.lifecycle import Patience, Phase, Restart, Step
from swarm_event_listener.node import (
    Failure,
    Node,
    appeared,
    failed,
    has_recovered,
    is_failing,
    is_of_this_process,
    measured,
    moved,
    reported,
    suspect_of,
    violations,
)
from swarm_event_listener.record import Cause, Record
from swarm_event_listener.restarts import Pace
from swarm_event_listener.roll import Roll
from swarm_event_listener.rules import (
    KAFKA_BLAMED,
    Limits,
    Status,
    Violation,
)

# Silence is acted on when supervisord has answered since, and the node has had this
# long to be heard: a supervisord that stood still has reports of healthy nodes to tell.
SILENCE_CONFIRMED_S: Final = 0.5
SURVEY_S: Final = 60.0  # what supervisord did not tell us is seen by then at the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one group is judged and treated.

    Attributes:
        limits: The rules.
        pace: Gap and back-off of one node.
        patience: How long a stop may take.
        max_unavailable: Nodes down at once by our hand; None: a quarter, at least 1.
        dry_run: Statuses to record but not to act on.
    """

    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(default_factory=Pace)
    patience: Patience = field(default_factory=Patience)
    max_unavailable: int | None = None
    dry_run: frozenset[int] = frozenset()

    @property
    def only_watches(self) -> bool:
        """Whether nothing at all is to be done (``--dry-run``)."""
        return self.dry_run.issuperset(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What an earlier listener of the same supervisord left behind.

    Attributes:
        intents: Restarts that it had begun.
        failed_at_s: Per node, the moments of its recent failures.
        held: Nodes that an operator took out of the rules.
        reporting_groups: Groups whose nodes have ever reported.
        rolls: Rolling restarts under way.
    """

    intents: tuple[Restart, ...] = ()
    failed_at_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    reporting_groups: frozenset[str] = frozenset()
    rolls: tuple[Roll, ...] = ()


Found = tuple[Violation, ...]


class Swarm:
    """All watched nodes. Every method is a decision: nothing here waits or acts."""

    def __init__(
        self, policies: Mapping[str, Policy], remembered: Remembered | None = None
    ) -> None:
        """Start without nodes; the first `Surveyed` brings them.

        Args:
            policies: One for each watched group.
            remembered: What is left of an earlier listener.
        """
        self._policies = policies
        self._remembered = remembered or Remembered()
        self._intents = {intent.name: intent for intent in self._remembered.intents}
        self._nodes: dict[str, Node] = {}
        self._reporting = set(self._remembered.reporting_groups)
        self._rolls = {rolled.group: rolled for rolled in self._remembered.rolls}
        self._said: set[tuple[str, str]] = set()
        self._asked_at_s: float | None = None  # the last survey, and its answer
        self._answered_at_s: float | None = None
        self._is_closing = False

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name, to look at."""
        return self._nodes

    @property
    def policies(self) -> Mapping[str, Policy]:
        """How each watched group is judged."""
        return self._policies

    @property
    def reporting_groups(self) -> frozenset[str]:
        """The groups whose nodes have ever reported."""
        return frozenset(self._reporting)

    @property
    def rolls(self) -> Mapping[str, Roll]:
        """The rolling restarts by group, under way or how the last one ended."""
        return self._rolls

    @property
    def is_settled(self) -> bool:
        """Whether a closing listener leaves no node down behind it."""
        unsettled = {Phase.STOPPING, Phase.DOWN, Phase.STARTING}
        return not any(
            node.restart and node.restart.durable and node.restart.phase in unsettled
            for node in self._nodes.values()
        )

    def wake_at_s(self) -> float | None:
        """Give when a `Tick` is due at the latest; None: whenever the next one is."""
        due = [
            lifecycle.wake_at_s(node.restart, patience=self._policy(node).patience)
            for node in self._nodes.values()
            if node.restart
        ]
        return min((at_s for at_s in due if at_s is not None), default=None)

    def handle(self, event: Event, *, now_s: float) -> list[Action]:
        """Decide what follows from an event.

        Args:
            event: What happened.
            now_s: CLOCK_MONOTONIC; never less than in the call before.
        """
        return list(self._decide(event, now_s=now_s))

    def _decide(  # noqa: C901, PLR0912, PLR0915 - one verb for each event
        self, event: Event, *, now_s: float
    ) -> Iterator[Action]:
        match event:
            case StateChanged():
                yield from self._state_changed(event, now_s=now_s)
            case Reported():
                yield from self._reported(event, now_s=now_s)
            case Measured():
                yield from self._measured(event, now_s=now_s)
            case Tick():
                yield from self._tick(now_s=now_s)
            case Surveyed():
                yield from self._surveyed(event, now_s=now_s)
            case Answered(action=action):
                yield from self._step(
                    action.name, partial(lifecycle.answered, said=event, now_s=now_s)
                )
            case Journaled(name=name, ok=ok):
                yield from self._step(
                    name, partial(lifecycle.journaled, ok=ok, now_s=now_s)
                )
            case Ordered():
                yield from self._ordered(event)
            case RollOrdered():
                yield from self._roll_ordered(event)
            case RollCancelled(group=group):
                yield from self._roll_cancelled(group)
            case Lost() | GroupAdded():
                yield Survey()
            case GroupRemoved(group=group):
                yield from self._group_removed(group)
            case SupervisorChanged(state=state):
                self._is_closing = state == "STOPPING"
            case Stalled():
                yield from self._stalled(now_s=now_s)
            case Closing():
                yield from self._closing(now_s=now_s)
            case Closed():
                yield from self._closed()
            case _:
                assert_never(event)

    # --- what happened ----------------------------------------------------------------

    def _state_changed(self, event: StateChanged, *, now_s: float) -> Iterator[Action]:
        if group_of(event.name) not in self._policies:
            return
        node = self._nodes.get(event.name)
        if node is None:
            node = appeared(event.name, event.state, event.pid, now_s=now_s)
            self._nodes[node.name] = replace(
                node, is_held=node.name in self._remembered.held
            )
            return
        if _is_late(node, event):
            return
        yield from self._moved(node, event.state, event.pid, now_s=now_s)
        if event.state is ProcessState.EXITED and event.expected:
            yield _left_down(event)

    def _moved(
        self, node: Node, state: ProcessState, pid: int | None, *, now_s: float
    ) -> Iterator[Action]:
        """Follow a node into its state, and take over where supervisord would fail."""
        policy = self._policy(node)
        if _is_own_death(node, state):
            node = failed(node, policy.pace, now_s=now_s)
        self._nodes[node.name] = moved(node, state, pid, now_s=now_s)
        yield from self._saw(node.name, state, pid, now_s=now_s)
        yield from self._take_over(self._nodes[node.name], now_s=now_s)

    def _reported(self, event: Reported, *, now_s: float) -> Iterator[Action]:
        node = self._nodes.get(event.name)
        if node is None or not is_of_this_process(node, event.pid):
            return
        node = reported(node, event, self._policy(node).limits, now_s=now_s)
        self._nodes[node.name] = node
        if node.group not in self._reporting:
            self._reporting.add(node.group)
            yield self._note()
        if has_recovered(node):
            yield from self._step(
                node.name, partial(lifecycle.recovered, pid=event.pid, now_s=now_s)
            )
        yield from self._take_over(self._nodes[node.name], now_s=now_s)
        yield from self._consider(self._nodes[node.name], now_s=now_s, is_tick=False)

    def _measured(self, event: Measured, *, now_s: float) -> Iterator[Action]:
        node = self._nodes.get(event.name)
        if node is None or node.pid != event.pid:
            return
        node = measured(node, event.memory_bytes, self._policy(node).limits)
        self._nodes[node.name] = node
        yield from self._consider(node, now_s=now_s, is_tick=False)

    def _tick(self, *, now_s: float) -> Iterator[Action]:
        for node in list(self._nodes.values()):
            patience = self._policy(node).patience
            yield from self._step(
                node.name, partial(lifecycle.elapsed, patience=patience, now_s=now_s)
            )
        for group in self._policies:
            yield from self._look_at_group(group, now_s=now_s)
        waiting_longest_first = sorted(
            self._nodes.values(), key=lambda node: node.waiting_since_s or now_s
        )
        for node in waiting_longest_first:
            yield from self._consider(node, now_s=now_s, is_tick=True)
        for group in list(self._rolls):
            yield from self._roll_on(group, now_s=now_s)
        if self._must_survey(now_s=now_s):
            self._asked_at_s = now_s
            yield Survey()

    def _must_survey(self, *, now_s: float) -> bool:
        if self._asked_at_s is None or now_s - self._asked_at_s >= SURVEY_S:
            return True
        return any(
            node.silent_since_s is not None
            and (self._answered_at_s or 0.0) < node.silent_since_s
            for node in self._nodes.values()
        )

    def _surveyed(self, event: Surveyed, *, now_s: float) -> Iterator[Action]:
        self._asked_at_s = self._answered_at_s = now_s
        watched = {
            info.name: info
            for info in event.processes
            if group_of(info.name) in self._policies
        }
        for name in self._nodes.keys() - watched.keys():
            yield from self._dropped(name)
        for name, info in watched.items():
            known = self._nodes.get(name)
            if known is None:
                yield from self._found(info, now_s=now_s)
            elif (known.state, known.pid) != (info.state, info.pid):
                yield from self._moved(known, info.state, info.pid, now_s=now_s)
            else:
                yield from self._saw(name, info.state, info.pid, now_s=now_s)
        for name in list(self._intents):  # of nodes that are no more
            yield from lifecycle.removed(self._intents.pop(name)).actions

    def _found(self, info: ProcessInfo, *, now_s: float) -> Iterator[Action]:
        """Take in a node, and what an earlier listener had begun with it."""
        name = info.name
        failed_at_s = self._remembered.failed_at_s.get(name, ())
        node = replace(
            appeared(name, info.state, info.pid, now_s=now_s),
            is_held=name in self._remembered.held,
            failures=tuple(Failure(at_s) for at_s in failed_at_s),
        )
        self._nodes[name] = node
        intent = self._intents.pop(name, None)
        if intent is not None:
            patience = self._policy(node).patience
            step = lifecycle.resume(intent, info, patience=patience, now_s=now_s)
            yield from self._take(node, step)
        yield from self._take_over(self._nodes[name], now_s=now_s)

    def _group_removed(self, group: str) -> list[Action]:
        names = [name for name in self._nodes if group_of(name) == group]
        return [action for name in names for action in self._dropped(name)]

    def _dropped(self, name: str) -> Iterator[Action]:
        node = self._nodes.pop(name)
        if node.restart:
            yield from lifecycle.removed(node.restart).actions

    def _stalled(self, *, now_s: float) -> list[Action]:
        for name, node in self._nodes.items():
            self._nodes[name] = replace(
                node, seen_at_s=now_s, booting_since_s=now_s, silent_since_s=None
            )
        return [Say(level=Level.WARNING, event="listener_stalled")]

    def _ordered(self, event: Ordered) -> Iterator[Action]:
        is_held = event.word is Word.HOLD
        for node in list(self._nodes.values()):
            if {node.name, f"{node.group}:*", node.group} & set(event.names):
                self._nodes[node.name] = replace(node, is_held=is_held)
                yield Say(
                    level=Level.INFO,
                    event="node_held" if is_held else "node_released",
                    fields={"node": node.name, "pid": node.pid},
                )
        yield self._note()

    def _roll_ordered(self, event: RollOrdered) -> Iterator[Action]:
        under_way = self._rolls.get(event.group)
        if event.group not in self._policies or (under_way and not under_way.is_over):
            why = "a roll is under way" if under_way else "no watched group"
            yield Say(
                level=Level.WARNING,
                event="roll_refused",
                fields={"group": event.group, "why": why},
            )
            return
        self._rolls[event.group] = Roll(
            group=event.group,
            max_unavailable=event.max_unavailable,
            timeout_s=event.timeout_s,
            waiting=tuple(sorted(node.name for node in self._of(event.group))),
        )
        yield _rolling(self._rolls[event.group], "roll_begins")
        yield self._note()

    def _roll_cancelled(self, group: str) -> Iterator[Action]:
        rolled = self._rolls.get(group)
        if rolled and not rolled.is_over:
            self._rolls[group] = replace(rolled, is_cancelled=True)
            yield _rolling(self._rolls[group], "roll_cancelled")
            yield self._note()

    def _closing(self, *, now_s: float) -> Iterator[Action]:
        self._is_closing = True
        for name in list(self._nodes):
            yield from self._step(name, partial(lifecycle.hurry, now_s=now_s))

    def _closed(self) -> Iterator[Action]:
        for node in list(self._nodes.values()):
            if node.restart:
                yield from self._take(node, lifecycle.give_up(node.restart))

    # --- what is to be done -----------------------------------------------------------

    def _consider(self, node: Node, *, now_s: float, is_tick: bool) -> Iterator[Action]:
        """Begin a restart where a rule is broken and nothing speaks against it."""
        if node.restart or node.is_held or self._is_closing:
            return
        policy = self._policy(node)
        found = violations(
            node,
            policy.limits,
            now_s=now_s,
            silence_counts=node.group in self._reporting,
        )
        node, found = self._confirmed(node, found, now_s=now_s)
        if not found:
            self._nodes[node.name] = replace(node, waiting_since_s=None)
            return
        acted_on = tuple(v for v in found if v.status not in policy.dry_run)
        if not acted_on:
            yield from self._record_only(node, found, now_s=now_s)
        elif acted_on[0].status is Status.UNSTEADY and not is_tick:
            return  # the other nodes' reports come first: the group may be in an outage
        elif self._must_wait(node, acted_on, now_s=now_s):
            yield from self._wait(node, acted_on, now_s=now_s)
        else:
            yield from self._restart(node, acted_on, now_s=now_s)

    def _confirmed(
        self, node: Node, found: tuple[Violation, ...], *, now_s: float
    ) -> tuple[Node, tuple[Violation, ...]]:
        """Leave silence out until supervisord itself is known to be awake."""
        if not any(violation.status is Status.SILENT for violation in found):
            return node, found
        since_s = node.silent_since_s
        if since_s is None:
            node = replace(node, silent_since_s=now_s)
            self._nodes[node.name] = node
        elif (
            since_s + SILENCE_CONFIRMED_S <= now_s
            and self._answered_at_s is not None
            and self._answered_at_s >= since_s
        ):
            return node, found
        return node, tuple(v for v in found if v.status is not Status.SILENT)

    def _must_wait(self, node: Node, found: Found, *, now_s: float) -> bool:
        """Tell whether the outage guard or the governor speaks against a restart."""
        policy = self._policy(node)
        nodes = self._of(node.group)
        if all(violation.status in KAFKA_BLAMED for violation in found) and in_outage(
            nodes, policy.limits
        ):
            return True
        return free_places(nodes, policy.max_unavailable, now_s=now_s) < 1

    def _wait(self, node: Node, found: Found, *, now_s: float) -> Iterator[Action]:
        if node.waiting_since_s is not None:
            return
        self._nodes[node.name] = replace(node, waiting_since_s=now_s)
        yield Say(
            level=Level.WARNING,
            event="restart_waits",
            fields={
                "node": node.name,
                "pid": node.pid,
                "status": found[0].status.value,
                "reason": _reasons(found),
            },
        )

    def _record_only(
        self, node: Node, found: Found, *, now_s: float
    ) -> Iterator[Action]:
        fresh = [v for v in found if v.status not in node.recorded]
        if not fresh:
            return
        recorded = node.recorded | {violation.status.value for violation in fresh}
        self._nodes[node.name] = replace(node, recorded=recorded)
        record = _record(
            node, Cause.RULE, found[0].status, _reasons(found), pause_s=0, now_s=now_s
        )
        yield Remember(name=node.name, record=replace(record, dry_run=True))
        yield _begun(record, "would_restart")

    def _restart(self, node: Node, found: Found, *, now_s: float) -> Iterator[Action]:
        status = found[0].status
        if status is Status.MEMORY and not (node.report and node.report.messages):
            yield Say(
                level=Level.ERROR,
                event="memory_limit_below_boot_size",
                fields={"node": node.name, "pid": node.pid, "reason": _reasons(found)},
            )
        pace = self._policy(node).pace
        node = failed(node, pace, now_s=now_s)
        yield from self._begin(node, Cause.RULE, status, _reasons(found), now_s=now_s)

    def _roll_on(self, group: str, *, now_s: float) -> Iterator[Action]:
        before = self._rolls[group]
        if before.is_over or self._is_closing or group not in self._policies:
            return
        policy = self._policies[group]
        places = free_places(
            self._of(group),
            max(before.max_unavailable, policy.max_unavailable or 1),
            now_s=now_s,
        )
        step = roll.advance(before, self._nodes, free_places=places, now_s=now_s)
        self._rolls[group] = step.roll
        if step.roll != before:
            yield self._note()
            yield _rolling(
                step.roll, "roll_ends" if step.roll.is_over else "roll_goes_on"
            )
        yield from step.actions
        for name in step.to_restart:
            node = self._nodes[name]
            yield from self._begin(
                node, Cause.ROLL, None, "rolling restart", now_s=now_s
            )

    def _take_over(self, node: Node, *, now_s: float) -> Iterator[Action]:
        """Own the starts of a node that dies too often, or that supervisord gave up."""
        policy = self._policy(node)
        if node.restart or node.is_held or self._is_closing or policy.only_watches:
            return
        failures = f"{len(node.failures)} failures in {policy.pace.period_s:.0f} s"
        if node.state is ProcessState.FATAL:
            reason = f"supervisord gave it up (FATAL), {failures}"
            node = failed(node, policy.pace, now_s=now_s)
            yield from self._begin(node, Cause.FATAL, None, reason, now_s=now_s)
        elif node.pid and is_failing(node, policy.pace, now_s=now_s):
            reason = f"died again: {failures}"
            yield from self._begin(node, Cause.EXITED, None, reason, now_s=now_s)

    def _begin(
        self,
        node: Node,
        cause: Cause,
        status: Status | None,
        reason: str,
        *,
        now_s: float,
    ) -> Iterator[Action]:
        pace = self._policy(node).pace
        pause_s = pace.pause_s(node.failed_at_s, now_s=now_s)
        record = replace(
            _record(node, cause, status, reason, pause_s=pause_s, now_s=now_s),
            suspect=suspect_of(node, pace),
        )
        yield _begun(record, "node_restarting")
        if pause_s > pace.gap_s:
            payload = {"node": node.name, "reason": reason, "pause_s": pause_s}
            yield Publish(type="swarm.node.backing_off", payload=payload)
        takes_evidence = cause is Cause.RULE and status is not Status.MEMORY
        step = lifecycle.begin(
            record, takes_evidence=takes_evidence and node.is_known, now_s=now_s
        )
        yield from self._take(replace(node, waiting_since_s=None), step)

    # --- small ------------------------------------------------------------------------

    def _saw(
        self, name: str, state: ProcessState, pid: int | None, *, now_s: float
    ) -> list[Action]:
        """Tell a restart under way what its process is doing."""
        patience = self._policy(self._nodes[name]).patience
        return self._step(
            name,
            partial(
                lifecycle.seen, state=state, pid=pid, patience=patience, now_s=now_s
            ),
        )

    def _step(self, name: str, advance: Callable[[Restart], Step]) -> list[Action]:
        """Let the restart of a node, if there is one, take a step."""
        node = self._nodes.get(name)
        if node is None or node.restart is None:
            return []
        return self._take(node, advance(node.restart))

    def _take(self, node: Node, step: Step) -> list[Action]:
        self._nodes[node.name] = replace(node, restart=step.restart)
        return list(step.actions)

    def _policy(self, node: Node) -> Policy:
        return self._policies[node.group]

    def _of(self, group: str) -> list[Node]:
        return [node for node in self._nodes.values() if node.group == group]

    def _note(self) -> Note:
        held = sorted(node.name for node in self._nodes.values() if node.is_held)
        rolls = [r.as_json() for r in self._rolls.values() if not r.is_over]
        return Note(
            held=tuple(held),
            reporting_groups=tuple(sorted(self._reporting)),
            rolls=tuple(rolls),
        )

    def _look_at_group(self, group: str, *, now_s: float) -> Iterator[Action]:
        """Say, once, what concerns a group as a whole."""
        limits = self._policies[group].limits
        yield from self._say_once(
            group,
            Say(
                level=Level.ERROR,
                event="outage_guard_holds_fire",
                fields={"group": group, "held_statuses": "1,2,4"},
            ),
            while_true=in_outage(self._of(group), limits),
            ended="outage_over",
        )
        is_silent = group not in self._reporting and is_mute(
            self._of(group), limits, now_s=now_s
        )
        yield from self._say_once(
            group,
            Say(
                level=Level.ERROR,
                event="group_never_reported",
                fields={
                    "group": group,
                    "do": "check stdout_capture_maxbytes and that its nodes report;"
                    " silence is not acted on before the first report",
                },
            ),
            while_true=is_silent,
            ended="group_reports",
        )

    def _say_once(
        self, group: str, say: Say, *, while_true: bool, ended: str
    ) -> Iterator[Action]:
        key = (group, say.event)
        if while_true and key not in self._said:
            self._said.add(key)
            yield say
        elif not while_true and key in self._said:
            self._said.remove(key)
            yield Say(level=Level.INFO, event=ended, fields={"group": group})


def _is_late(node: Node, event: StateChanged) -> bool:
    """An event about a former process, delivered after a survey told of the present."""
    is_end = event.state not in {ProcessState.STARTING, ProcessState.RUNNING}
    return is_end and bool(event.pid and node.pid and event.pid != node.pid)


def _is_own_death(node: Node, state: ProcessState) -> bool:
    """Tell whether a node died by itself, and not in a stop of ours."""
    if state not in {ProcessState.EXITED, ProcessState.BACKOFF} or node.state is state:
        return False
    ours = {Phase.STOPPING, Phase.DOWN}
    return node.restart is None or node.restart.phase not in ours


def _left_down(event: StateChanged) -> Say:
    return Say(
        level=Level.ERROR,
        event="node_exited_for_good",
        fields={
            "node": event.name,
            "pid": event.pid,
            "do": "its exit code is one of the program's exitcodes, so supervisord"
            " leaves it down; see its log, then supervisorctl start",
        },
    )


def _rolling(rolled: Roll, event: str) -> Say:
    return Say(
        level=Level.ERROR if rolled.failure else Level.INFO,
        event=event,
        fields={
            "group": rolled.group,
            "waiting": len(rolled.waiting),
            "turned": ",".join(turned.name for turned in rolled.turned),
            "done": len(rolled.done),
            "skipped": len(rolled.skipped),
            "failure": rolled.failure,
        },
    )


def _reasons(found: Found) -> str:
    return "; ".join(violation.reason for violation in found)


def _record(
    node: Node,
    cause: Cause,
    status: Status | None,
    reason: str,
    *,
    pause_s: float,
    now_s: float,
) -> Record:
    memory_bytes = node.memory_bytes
    return Record(
        node=node.name,
        pid=node.pid,
        cause=cause,
        status=None if status is None else status.value,
        reason=reason,
        in_flight=node.report.in_flight if node.report else (),
        rss_mb=None if memory_bytes is None else memory_bytes >> 20,
        pause_s=pause_s,
        detected_at_s=now_s,
    )


def _begun(record: Record, event: str) -> Say:
    return Say(
        level=Level.WARNING,
        event=event,
        fields={
            "node": record.node,
            "pid": record.pid,
            "cause": record.cause.value,
            "status": record.status,
            "reason": record.reason,
            "in_flight": ",".join(record.in_flight),
            "suspect": record.suspect,
            "rss_mb": record.rss_mb,
            "pause_s": record.pause_s,
        },
    )
