"""What has to survive the listener beside its restarts, and what the next one gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm_event_listener.core.model.events import Note
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.model.scale_change import ScaleChange
from swarm_event_listener.core.node import Failure
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.orders.rolls import Rolling
from swarm_event_listener.core.orders.scaling import Scaling
from swarm_event_listener.core.restart.restart import Restart
from swarm_event_listener.core.rolling_restart import Roll


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredState:
    """What an earlier listener of the same supervisord left behind.

    Attributes:
        intents: Restarts that it had begun.
        failures: Per node, its recent failures, oldest first.
        held: Nodes that an operator took out of the rules.
        reporting_groups: Groups whose nodes have ever reported.
        rolls: Rolling restarts under way.
        unheard_since_s: When it last heard of supervisord, which then stood still for
            so long that it ended; None where it ended otherwise.
        deaths: Per node, the record of a death that has not come to an end.
        pids: Per node, the process that it last knew.
        scaled: The last changes of how many nodes are to run, oldest first.
    """

    intents: tuple[Restart, ...] = ()
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    reporting_groups: frozenset[str] = frozenset()
    rolls: tuple[Roll, ...] = ()
    unheard_since_s: float | None = None
    deaths: Mapping[str, Record] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    scaled: tuple[ScaleChange, ...] = ()


class Notes:
    """Knows when there is something new to keep in the journal."""

    def __init__(self, table: Table, rolling: Rolling, scaling: Scaling) -> None:
        """Take what is there by now for noted."""
        self._table = table
        self._rolling = rolling
        self._scaling = scaling
        self._noted = self._note()
        self._urgent_noted = self._urgent()
        self._noted_count = table.noted_count

    def news(self, *, is_tick: bool) -> Note | None:
        """Return what is to be noted, if it is not yet; processes wait for the tick.

        A hundred nodes that die at once are then one write, not a hundred.
        """
        urgent = self._urgent()
        noted_count = self._table.noted_count if is_tick else self._noted_count
        if (urgent, noted_count) == (self._urgent_noted, self._noted_count):
            return None
        self._urgent_noted, self._noted_count = urgent, noted_count
        note = self._note()
        if note == self._noted:
            return None
        self._noted = note
        return note

    def _urgent(self) -> tuple[object, ...]:
        return (
            frozenset(self._table.held),
            len(self._table.reporting_groups),
            self._rolling.under_way,
            self._scaling.changes,
        )

    def _note(self) -> Note:
        return Note(
            held=tuple(sorted(self._table.held)),
            reporting_groups=tuple(sorted(self._table.reporting_groups)),
            rolls=tuple(roll.as_json() for roll in self._rolling.under_way),
            failures={
                node.name: tuple((f.at_s, f.oldest_in_flight) for f in node.failures)
                for node in self._table
                if node.failures
            },
            deaths={
                node.name: dataclasses.asdict(node.died)
                for node in self._table
                if node.died
            },
            pids={node.name: node.pid for node in self._table if node.pid},
            scaled=self._scaling.as_json(),
        )
