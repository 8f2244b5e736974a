"""The swarm as one state machine: what happened and ``now_s`` in, what to do out.

It follows all nodes of the watched groups, lets their restarts take their steps
(`lifecycle`), begins new ones where they are due (`healing`) and where an operator
wants a group restarted (`rolls`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import Any, assert_never

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.evidence import SILENCE_CONFIRMED_S
from swarm_event_listener.core.group_alerts import GroupAlerts
from swarm_event_listener.core.healing import deaths
from swarm_event_listener.core.healing.due import Occasion
from swarm_event_listener.core.healing.guards import note_outages
from swarm_event_listener.core.healing.healing import heal
from swarm_event_listener.core.health import Health, health_of
from swarm_event_listener.core.model.events import (
    Action,
    Answered,
    Closed,
    Closing,
    Event,
    ExitRead,
    GroupAdded,
    GroupRemoved,
    Journaled,
    Level,
    Lost,
    Measured,
    Ordered,
    OrderKind,
    Reported,
    RollCancelled,
    RollOrdered,
    Say,
    ScaleRead,
    Stalled,
    StateChanged,
    SupervisorChanged,
    Survey,
    Surveyed,
    Thawed,
    Tick,
)
from swarm_event_listener.core.node import Node, measured
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.notes import Notes, RestoredState
from swarm_event_listener.core.orders.rolls import Rolling
from swarm_event_listener.core.orders.scaling import Scaling
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.process_tracker import Processes
from swarm_event_listener.core.reports import heard, is_of_this_process
from swarm_event_listener.core.restart import lifecycle, stopping
from swarm_event_listener.core.rolling_restart import Roll


class Swarm:
    """All watched nodes. Every method is a decision: nothing here waits or acts."""

    def __init__(
        self, policies: Mapping[str, Policy], restored: RestoredState | None = None
    ) -> None:
        """Start without nodes; the first `Surveyed` brings them.

        Args:
            policies: One for each watched group.
            restored: What is left of an earlier listener.
        """
        left = restored or RestoredState()
        self._table = Table(
            policies, reporting_groups=left.reporting_groups, held=left.held
        )
        self._rolling = Rolling(self._table, left.rolls)
        self._alerts = GroupAlerts(self._table)
        self._processes = Processes(self._table, left)
        self._scaling = Scaling(self._table, left.scaled)
        self._notes = Notes(self._table, self._rolling, self._scaling)
        self._ticked_at_s = 0.0

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name, to look at."""
        return self._table.nodes

    def health(self, node: Node, *, now_s: float) -> Health:
        """Return how a node is, in a word and the reason."""
        return health_of(node, self._table, now_s=now_s)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """How each watched group is judged."""
        return self._table.policies

    @property
    def reporting_groups(self) -> AbstractSet[str]:
        """The groups whose nodes have ever reported."""
        return self._table.reporting_groups

    @property
    def rolls(self) -> Mapping[str, Roll]:
        """The rolling restarts by group, under way or how the last one ended."""
        return self._rolling.rolls

    @property
    def scale(self) -> Mapping[str, Mapping[str, Any]]:
        """How many nodes of each program are to run and do, with the last change."""
        return self._scaling.told()

    @property
    def is_settled(self) -> bool:
        """Whether a closing listener leaves no node down behind it."""
        return not any(
            node.restart and lifecycle.is_unsettled(node.restart)
            for node in self._table
        )

    def wake_at_s(self) -> float | None:
        """Return when a `Tick` is due at the latest; None: whenever the next one is."""
        due = [at_s for n in self._table.active() for at_s in self._due_at_s(n)]
        return min(due, default=None)

    def _due_at_s(self, node: Node) -> Iterator[float]:
        if node.restart:
            timeouts = self._table.policy(node).stop_timeouts
            at_s = lifecycle.wake_at_s(node.restart, timeouts=timeouts)
            if at_s is not None:
                yield at_s
        else:
            confirmed_at_s = (node.silent_since_s or 0.0) + SILENCE_CONFIRMED_S
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
        note = self._notes.news(is_tick=isinstance(event, Tick | Closed))
        return actions if note is None else [note, *actions]

    def _decide(  # noqa: C901, PLR0912, PLR0915 - one verb for each event
        self, event: Event, *, now_s: float
    ) -> Iterator[Action]:
        match event:
            case StateChanged():
                yield from self._processes.changed(event, now_s=now_s)
            case Reported():
                yield from self._reported(event, now_s=now_s)
            case Measured():
                yield from self._measured(event, now_s=now_s)
            case Tick():
                yield from self._tick(now_s=now_s)
            case Surveyed():
                yield from self._processes.surveyed(event, now_s=now_s)
            case ExitRead():
                yield from self._processes.exit_read(event)
            case Answered(action=action):
                yield from self._table.step(
                    action.name, partial(lifecycle.answered, reply=event, now_s=now_s)
                )
            case Journaled(name=name, ok=ok):
                yield from self._table.step(
                    name, partial(stopping.journaled, ok=ok, now_s=now_s)
                )
            case ScaleRead():
                yield from self._scaling.read(event, now_s=now_s)
            case Ordered():
                yield from self._ordered(event)
            case RollOrdered():
                yield from self._rolling.order(event)
            case RollCancelled(group=group):
                yield from self._rolling.cancel(group)
            case Lost() | GroupAdded():
                yield Survey()
            case GroupRemoved(group=group):
                yield from self._processes.group_removed(group)
                yield from self._rolling.group_removed(group)
            case SupervisorChanged(state=state):
                self._table.supervisor_ends = state == "STOPPING"
            case Stalled():
                yield from self._stalled(now_s=now_s)
            case Thawed(for_s=for_s):
                self._table.evidence.stood_still(for_s=for_s, now_s=now_s)
            case Closing():
                yield from self._closing(now_s=now_s)
            case Closed():
                yield from self._closed()
            case _:
                assert_never(event)

    # --- what happened ----------------------------------------------------------------

    def _reported(self, event: Reported, *, now_s: float) -> Iterator[Action]:
        before = self._table.nodes.get(event.name)
        if before is None or not is_of_this_process(before, event.pid):
            return
        backoff = self._table.policy(before).backoff
        node, actions = heard(before, event, backoff, now_s=now_s)
        self._table.put(node)
        self._table.evidence.came(before, node, now_s=now_s)
        self._table.reporting_groups.add(node.group)
        yield from actions
        yield from heal(node, self._table, on=Occasion.REPORTED, now_s=now_s)
        if self._rolling.is_in_progress(
            event.name
        ):  # it may be idle until the next step
            yield from self._rolling.advance(now_s=now_s)

    def _measured(self, event: Measured, *, now_s: float) -> Iterator[Action]:
        node = self._table.nodes.get(event.name)
        if node is None or node.pid != event.pid:
            return
        node = measured(node, event.memory_bytes, self._table.policy(node).limits)
        self._table.put(node)
        if node.over_count:
            yield from heal(node, self._table, on=Occasion.MEASURED, now_s=now_s)

    def _tick(self, *, now_s: float) -> Iterator[Action]:
        self._ticked_at_s = now_s
        for node in self._table.active():
            timeouts = self._table.policy(node).stop_timeouts
            yield from self._table.step(
                node.name, partial(lifecycle.elapsed, timeouts=timeouts, now_s=now_s)
            )
        for node in list(self._table):
            backoff = self._table.policy(node).backoff
            later, actions = deaths.elapsed(node, backoff, now_s=now_s)
            if later is not node:
                self._table.put(later)
            yield from actions
        note_outages(self._table, now_s=now_s)
        yield from self._alerts.check(now_s=now_s)
        waiting_longest_first = sorted(
            self._table, key=lambda node: node.waiting_since_s or now_s
        )
        for node in waiting_longest_first:
            yield from heal(node, self._table, on=Occasion.TICK, now_s=now_s)
        yield from self._rolling.advance(now_s=now_s)
        yield from self._processes.surveys(now_s=now_s)

    def _stalled(self, *, now_s: float) -> list[Action]:
        stood_s = now_s - (self._ticked_at_s or now_s)
        self._table.evidence.stood_still(for_s=stood_s, now_s=now_s)
        for node in self._table:
            self._table.put(
                replace(
                    node,
                    seen_at_s=now_s,
                    booting_since_s=now_s,
                    silent_since_s=None,
                    over_count=0,
                    blamed_since_s=None,
                )
            )
        return [Say(level=Level.WARNING, event="listener_stalled")]

    def _ordered(self, event: Ordered) -> Iterator[Action]:
        is_held = event.kind is OrderKind.HOLD
        change = self._table.held.add if is_held else self._table.held.discard
        for node in self._table:
            if {node.name, f"{node.group}:*", node.group} & set(event.names):
                changed = replace(node, is_held=is_held)
                self._table.put(changed)
                change(node.name)
                yield lines.held(changed)
                yield from self._table.step(
                    node.name, partial(lifecycle.held, is_held=is_held)
                )

    def _closing(self, *, now_s: float) -> Iterator[Action]:
        self._table.listener_ends = True
        for name in list(self._table.nodes):
            abort = partial(lifecycle.abort_for_shutdown, now_s=now_s)
            yield from self._table.step(name, abort)

    def _closed(self) -> Iterator[Action]:
        for node in self._table:
            if node.restart:
                yield from self._table.take(node, lifecycle.abandon(node.restart))
