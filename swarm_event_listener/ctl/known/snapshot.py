"""What supervisord and the listener say of a swarm at one moment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from swarm_event_listener.ctl.known.names import Chosen, choose
from swarm_event_listener.ctl.known.node_rows import has_changed, is_spare
from swarm_event_listener.ctl.known.stale_status import StaleStatus, stale_status
from swarm_event_listener.ctl.sources.place import Place
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain, StateError
from swarm_event_listener.ctl.sources.supervisord import Process
from swarm_event_listener.story.text import own_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Both of them, read one after the other.

    Attributes:
        processes: All processes of supervisord.
        place: Where the listener works; None where that is not known.
        status: What the listener last wrote; None where that is not known.
        error: Why that is not known; empty where it is.
    """

    processes: tuple[Process, ...]
    place: Place | None
    status: ListenerStatus | None
    error: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The watched groups: as the listener says, or else its configuration."""
        if self.status is not None and self.status.groups:
            return self.status.groups
        return self.place.groups if self.place else ()

    @property
    def stale(self) -> StaleStatus | None:
        """Why the status may no longer hold; None where it does, or is not known."""
        if self.status is None:
            return None
        pool = self.place.pool if self.place else ""
        return stale_status(self.status, self.processes, pool=pool)

    @property
    def is_settled(self) -> bool:
        """Whether both tell of the same processes, or no newer status will come.

        What is being restarted would look as if an operator had stopped it, until the
        listener writes its next status.
        """
        if self.status is None or self.status.is_stale:
            return True
        nodes = self.status.nodes
        return not any(
            has_changed(process, nodes[process.name])
            for process in self.processes
            if process.name in nodes
        )

    @property
    def warnings(self) -> list[str]:
        """Why the status is not known, or may be that of another listener."""
        text = self.error or (self.place.warning if self.place else "")
        return [f"warning: {text}"] if text else []

    def choose(self, names: Sequence[str]) -> Chosen:
        """Return the nodes that names stand for, and which names stand for none."""
        return choose(names, self.processes, self.groups)

    def choose_to_order(self, names: Sequence[str]) -> Chosen:
        """Return the same, without spares that are not named each for itself.

        There is nothing to order of them; one that is held can be released.
        """
        chosen = self.choose(names)
        meant = tuple(it for it in chosen.processes if not self._is_left_out(it, names))
        return replace(chosen, processes=meant)

    def _is_left_out(self, process: Process, names: Sequence[str]) -> bool:
        told = self.status.nodes.get(process.name, {}) if self.status else {}
        is_named = {process.name, own_name(process.name)} & set(names)
        return not (is_named or told.get("held")) and is_spare(process, self.status)

    def one(self, name: str) -> Process:
        """Return the one node that a name stands for.

        Raises:
            StateError: It stands for none, or for more.
        """
        chosen = self.choose([name])
        if chosen.complaints:
            raise StateError(chosen.complaints[0])
        if len(chosen.processes) != 1:
            example = chosen.processes[0].name
            raise StateError(
                f"{name}: ERROR ({len(chosen.processes)} nodes; name one, such as "
                f"{example})"
            )
        return chosen.processes[0]

    def rolls(self, groups: Collection[str]) -> list[Plain]:
        """Return the rolls of groups that are under way."""
        if self.status is None or self.status.is_stale:
            return []
        return [
            roll
            for group, roll in self.status.rolls.items()
            if group in groups and not roll["is_over"]
        ]

    def taking_orders(self) -> tuple[ListenerStatus, StaleStatus | None]:
        """Return the status, and why the listener can confirm no order.

        Raises:
            StateError: There is no listener that takes orders.
        """
        if self.status is None:
            raise StateError(self.error)
        stale = self.stale
        if stale is not None and not stale.takes_orders:
            raise StateError(f"ERROR ({stale.text})")
        return self.status, stale
