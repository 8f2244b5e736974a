"""The rolling restarts that operators asked for, by group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core import rolling_restart as roll
from swarm_event_listener.core.healing.due import Begin
from swarm_event_listener.core.healing.guards import free_places
from swarm_event_listener.core.healing.healing import carry_out
from swarm_event_listener.core.model.events import Action, RollOrdered
from swarm_event_listener.core.model.record import Cause
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.rolling_restart import Roll

_REMOVED: Final = (
    "supervisord removed the group, as supervisorctl update does when it has changed; "
    "whatever is started after that runs the new code"
)


class Rolling:
    """Begins rolls, moves them on, and knows how the last one of a group ended."""

    def __init__(self, table: Table, under_way: Iterable[Roll]) -> None:
        """Go on with the rolls that an earlier listener left under way.

        Not with those of a group that is watched no more, or only watched.
        """
        self._table = table
        rolled = {
            group for group, policy in table.policies.items() if not policy.only_watches
        }
        self._rolls = {r.group: r for r in under_way if r.group in rolled}

    @property
    def rolls(self) -> Mapping[str, Roll]:
        """The rolls by group, under way or how the last one ended."""
        return self._rolls

    @property
    def under_way(self) -> tuple[Roll, ...]:
        """The rolls that must survive the listener."""
        return tuple(r for r in self._rolls.values() if not r.is_over)

    def order(self, event: RollOrdered) -> Iterator[Action]:
        """Begin a roll, or say why not."""
        under_way = self._rolls.get(event.group)
        if under_way and not under_way.is_over:
            yield lines.roll_refused(event.group, "a roll is under way")
        elif event.group not in self._table.policies:
            yield lines.roll_refused(event.group, "no watched group")
        elif self._table.policies[event.group].only_watches:
            yield lines.roll_refused(event.group, "the listener only watches (dry run)")
        else:
            names = self._table.group(event.group).names
            nodes = [n for n in self._table.of(names) if not self._table.is_spare(n)]
            begun = self._rolls[event.group] = roll.begun(event, nodes)
            yield lines.rolling(begun, "roll_ends" if begun.is_over else "roll_begins")

    def cancel(self, group: str) -> Iterator[Action]:
        """Begin with no further node of a group."""
        rolled = self._rolls.get(group)
        if rolled and not rolled.is_over:
            self._rolls[group] = replace(rolled, is_cancelled=True)
            yield lines.rolling(self._rolls[group], "roll_cancelled")

    def group_removed(self, group: str) -> Iterator[Action]:
        """End the roll of a group that is no more; what may follow it is new."""
        rolled = self._rolls.get(group)
        if rolled and not rolled.is_over:
            ended = replace(
                rolled, waiting=(), turned=(), failure=rolled.failure or _REMOVED
            )
            self._rolls[group] = ended
            yield lines.rolling(ended, "roll_ends")

    def is_in_progress(self, name: str) -> bool:
        """Whether a roll is at work on a node, so that a report may move it on."""
        return any(
            current.name == name
            for rolled in self._rolls.values()
            for current in rolled.turned
        )

    def advance(self, *, now_s: float) -> Iterator[Action]:
        """Move all rolls on. What changed has to be noted before the actions."""
        if self._table.is_closing:
            return
        for group, before in list(self._rolls.items()):
            if before.is_over:
                continue
            step = roll.advance(
                before,
                self._table.nodes,
                free_places=self._free_places(before, now_s=now_s),
                now_s=now_s,
            )
            self._rolls[group] = step.roll
            if step.roll != before:
                is_over = step.roll.is_over
                yield lines.rolling(
                    step.roll, "roll_ends" if is_over else "roll_goes_on"
                )
            yield from step.actions
            for name in step.to_restart:
                node = self._table.nodes[name]
                begin = Begin(node, Cause.ROLL, "rolling restart")
                yield from carry_out(begin, self._table, now_s=now_s)

    def _free_places(self, rolled: Roll, *, now_s: float) -> int:
        policy = self._table.policies[rolled.group]
        limit = max(rolled.max_unavailable, policy.max_unavailable or 1)
        return free_places(self._table, rolled.group, limit, now_s=now_s)
