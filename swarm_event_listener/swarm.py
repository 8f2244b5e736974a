"""The swarm as one state machine: what happened and ``now_s`` in, what to do out.

It follows all nodes of the watched groups, lets their restarts take their steps
(`lifecycle`), begins new ones where rules are broken (`healing`) and where an operator
wants a group restarted (`rolling`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, assert_never

from swarm_event_listener import lifecycle, lines
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
from swarm_event_listener.guards import in_outage, is_mute
from swarm_event_listener.healing import SILENCE_CONFIRMED_S, Healing
from swarm_event_listener.lifecycle import Phase, Restart
from swarm_event_listener.node import (
    Failure,
    Node,
    appeared,
    failed,
    has_recovered,
    is_of_this_process,
    measured,
    moved,
    reported,
)
from swarm_event_listener.policy import Policy
from swarm_event_listener.roll import Roll
from swarm_event_listener.rolling import Rolling
from swarm_event_listener.table import Table

SURVEY_S: Final = 60.0  # what supervisord did not tell us is seen by then at the latest


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
        self._remembered = remembered or Remembered()
        self._intents = {intent.name: intent for intent in self._remembered.intents}
        self._table = Table(policies)
        self._healing = Healing(self._table, set(self._remembered.reporting_groups))
        self._rolling = Rolling(self._table, self._healing, self._remembered.rolls)
        self._noted = self._note()
        self._said: set[tuple[str, str]] = set()
        self._asked_at_s: float | None = None  # the last survey
        self._ticked_at_s = 0.0

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name, to look at."""
        return self._table.nodes

    @property
    def policies(self) -> Mapping[str, Policy]:
        """How each watched group is judged."""
        return self._table.policies

    @property
    def reporting_groups(self) -> frozenset[str]:
        """The groups whose nodes have ever reported."""
        return frozenset(self._healing.reporting)

    @property
    def rolls(self) -> Mapping[str, Roll]:
        """The rolling restarts by group, under way or how the last one ended."""
        return self._rolling.rolls

    @property
    def is_settled(self) -> bool:
        """Whether a closing listener leaves no node down behind it."""
        unsettled = {Phase.STOPPING, Phase.DOWN, Phase.STARTING}
        return not any(
            node.restart and node.restart.durable and node.restart.phase in unsettled
            for node in self._table
        )

    def wake_at_s(self) -> float | None:
        """Give when a `Tick` is due at the latest; None: whenever the next one is."""
        due = [at_s for node in self._table for at_s in self._due_at_s(node)]
        return min(due, default=None)

    def _due_at_s(self, node: Node) -> Iterator[float]:
        if node.restart:
            patience = self._table.policy(node).patience
            at_s = lifecycle.wake_at_s(node.restart, patience=patience)
            if at_s is not None:
                yield at_s
        elif node.silent_since_s is not None:
            confirmed_at_s = node.silent_since_s + SILENCE_CONFIRMED_S
            if confirmed_at_s > self._ticked_at_s:
                yield confirmed_at_s

    def handle(self, event: Event, *, now_s: float) -> list[Action]:
        """Decide what follows from an event.

        What must survive the listener is noted before anything that follows from it.

        Args:
            event: What happened.
            now_s: CLOCK_MONOTONIC; never less than in the call before.
        """
        actions = list(self._decide(event, now_s=now_s))
        note = self._note()
        if note != self._noted:
            self._noted = note
            actions.insert(0, note)
        return actions

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
                yield from self._table.step(
                    action.name, partial(lifecycle.answered, said=event, now_s=now_s)
                )
            case Journaled(name=name, ok=ok):
                yield from self._table.step(
                    name, partial(lifecycle.journaled, ok=ok, now_s=now_s)
                )
            case Ordered():
                yield from self._ordered(event)
            case RollOrdered():
                yield from self._rolling.order(event)
            case RollCancelled(group=group):
                yield from self._rolling.cancel(group)
            case Lost() | GroupAdded():
                yield Survey()
            case GroupRemoved(group=group):
                yield from self._group_removed(group)
            case SupervisorChanged(state=state):
                self._healing.is_closing = state == "STOPPING"
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
        if group_of(event.name) not in self._table.policies:
            return
        node = self._table.nodes.get(event.name)
        if node is None:
            node = appeared(event.name, event.state, event.pid, now_s=now_s)
            is_held = node.name in self._remembered.held
            self._table.put(replace(node, is_held=is_held))
            return
        if _is_late(node, event):
            return
        yield from self._moved(node, event.state, event.pid, now_s=now_s)
        if event.state is ProcessState.EXITED and event.expected:
            yield lines.left_down(event)

    def _moved(
        self, node: Node, state: ProcessState, pid: int | None, *, now_s: float
    ) -> Iterator[Action]:
        """Follow a node into its state, and take over where supervisord would fail."""
        policy = self._table.policy(node)
        if _is_own_death(node, state):
            node = failed(node, policy.pace, now_s=now_s)
        self._table.put(moved(node, state, pid, now_s=now_s))
        yield from self._saw(node.name, state, pid, now_s=now_s)
        yield from self._healing.take_over(self._table.nodes[node.name], now_s=now_s)

    def _reported(self, event: Reported, *, now_s: float) -> Iterator[Action]:
        node = self._table.nodes.get(event.name)
        if node is None or not is_of_this_process(node, event.pid):
            return
        node = reported(node, event, self._table.policy(node).limits, now_s=now_s)
        self._table.put(node)
        self._healing.reporting.add(node.group)
        if has_recovered(node):
            yield from self._table.step(
                node.name, partial(lifecycle.recovered, pid=event.pid, now_s=now_s)
            )
        yield from self._healing.take_over(self._table.nodes[node.name], now_s=now_s)
        yield from self._healing.consider(
            self._table.nodes[node.name], now_s=now_s, is_tick=False
        )

    def _measured(self, event: Measured, *, now_s: float) -> Iterator[Action]:
        node = self._table.nodes.get(event.name)
        if node is None or node.pid != event.pid:
            return
        node = measured(node, event.memory_bytes, self._table.policy(node).limits)
        self._table.put(node)
        yield from self._healing.consider(node, now_s=now_s, is_tick=False)

    def _tick(self, *, now_s: float) -> Iterator[Action]:
        self._ticked_at_s = now_s
        for node in self._table:
            patience = self._table.policy(node).patience
            yield from self._table.step(
                node.name, partial(lifecycle.elapsed, patience=patience, now_s=now_s)
            )
        for group in self._table.policies:
            yield from self._look_at_group(group, now_s=now_s)
        waiting_longest_first = sorted(
            self._table, key=lambda node: node.waiting_since_s or now_s
        )
        for node in waiting_longest_first:
            yield from self._healing.consider(node, now_s=now_s, is_tick=True)
        if not self._healing.is_closing:
            yield from self._rolling.advance(now_s=now_s)
        if self._must_survey(now_s=now_s):
            self._asked_at_s = now_s
            yield Survey()

    def _must_survey(self, *, now_s: float) -> bool:
        if self._asked_at_s is None or now_s - self._asked_at_s >= SURVEY_S:
            return True
        return any(
            node.silent_since_s is not None
            and (self._healing.answered_at_s or 0.0) < node.silent_since_s
            for node in self._table
        )

    def _surveyed(self, event: Surveyed, *, now_s: float) -> Iterator[Action]:
        self._asked_at_s = self._healing.answered_at_s = now_s
        watched = {
            info.name: info
            for info in event.processes
            if group_of(info.name) in self._table.policies
        }
        for name in self._table.nodes.keys() - watched.keys():
            yield from self._dropped(name)
        for name, info in watched.items():
            known = self._table.nodes.get(name)
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
        self._table.put(node)
        intent = self._intents.pop(name, None)
        if intent is not None:
            patience = self._table.policy(node).patience
            step = lifecycle.resume(intent, info, patience=patience, now_s=now_s)
            yield from self._table.take(node, step)
            if node.is_held:
                yield from self._table.step(name, partial(lifecycle.held, is_held=True))
        yield from self._healing.take_over(self._table.nodes[name], now_s=now_s)

    def _group_removed(self, group: str) -> list[Action]:
        names = [name for name in self._table.nodes if group_of(name) == group]
        return [action for name in names for action in self._dropped(name)]

    def _dropped(self, name: str) -> Iterator[Action]:
        node = self._table.nodes.pop(name)
        if node.restart:
            yield from lifecycle.removed(node.restart).actions

    def _stalled(self, *, now_s: float) -> list[Action]:
        for node in self._table:
            self._table.put(
                replace(
                    node, seen_at_s=now_s, booting_since_s=now_s, silent_since_s=None
                )
            )
        return [Say(level=Level.WARNING, event="listener_stalled")]

    def _ordered(self, event: Ordered) -> Iterator[Action]:
        is_held = event.word is Word.HOLD
        for node in self._table:
            if {node.name, f"{node.group}:*", node.group} & set(event.names):
                told = replace(node, is_held=is_held)
                self._table.put(told)
                yield lines.held(told)
                yield from self._table.step(
                    node.name, partial(lifecycle.held, is_held=is_held)
                )

    def _closing(self, *, now_s: float) -> Iterator[Action]:
        self._healing.is_closing = True
        for name in list(self._table.nodes):
            yield from self._table.step(name, partial(lifecycle.hurry, now_s=now_s))

    def _closed(self) -> Iterator[Action]:
        for node in self._table:
            if node.restart:
                yield from self._table.take(node, lifecycle.give_up(node.restart))

    # --- small ------------------------------------------------------------------------

    def _saw(
        self, name: str, state: ProcessState, pid: int | None, *, now_s: float
    ) -> Iterable[Action]:
        """Tell a restart under way what its process is doing."""
        patience = self._table.policy(self._table.nodes[name]).patience
        return self._table.step(
            name,
            partial(
                lifecycle.seen, state=state, pid=pid, patience=patience, now_s=now_s
            ),
        )

    def _note(self) -> Note:
        held = sorted(node.name for node in self._table if node.is_held)
        return Note(
            held=tuple(held),
            reporting_groups=tuple(sorted(self._healing.reporting)),
            rolls=self._rolling.as_notes(),
        )

    def _look_at_group(self, group: str, *, now_s: float) -> Iterator[Action]:
        """Say, once, what concerns a group as a whole."""
        limits = self._table.policies[group].limits
        nodes = self._table.of(group)
        is_silent = group not in self._healing.reporting and is_mute(
            nodes, limits, now_s=now_s
        )
        yield from self._say_once(
            group,
            lines.outage(group),
            while_true=in_outage(nodes, limits),
            ended="outage_over",
        )
        yield from self._say_once(
            group,
            lines.never_reported(group),
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
