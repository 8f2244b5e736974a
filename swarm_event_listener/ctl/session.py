"""What the commands share: what they read, where they send orders and print."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from swarm_event_listener.ctl.known.node_rows import Row, rows
from swarm_event_listener.ctl.known.scaling import Figures, figures, programs
from swarm_event_listener.ctl.known.snapshot import Snapshot
from swarm_event_listener.ctl.sources.sources import Sources
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain, StateError
from swarm_event_listener.ctl.sources.supervisord import Process, Supervisord
from swarm_event_listener.ctl.view.screen import Screen

LOOK_EVERY_S: Final = 0.25
SETTLED_WITHIN_S: Final = 3.0  # more than the listener's 2 s
CONFIRMED_WITHIN_S: Final = 10.0  # the listener writes its status every 2 s
LATER: Final = "it may be done later: look with swarm status; see the listener's log"


class Exit(IntEnum):
    """Exit statuses, as supervisorctl's own commands use them."""

    OK = 0
    FAILED = 1
    BAD_ARGUMENTS = 2
    REFUSED = 2
    NOT_HEALTHY = 3  # as LSB's "not running"
    UNKNOWN = 4


@dataclass(frozen=True, slots=True)
class Session:
    """One operator at supervisorctl."""

    supervisord: Supervisord
    screen: Screen
    sources: Sources

    def look(self) -> Snapshot:
        """Read what supervisord and the listener say now."""
        place, status, error = None, None, ""
        try:
            place = self.sources.place()
            status = self.sources.status(place.directory)
        except StateError as reason:
            error = str(reason)
        processes = self.supervisord.processes()
        return Snapshot(processes=processes, place=place, status=status, error=error)

    def status(self) -> ListenerStatus | None:
        """Read what the listener last wrote; None where that is not known."""
        try:
            return self.sources.status(self.sources.place().directory)
        except StateError:
            return None

    def history(self) -> tuple[Plain, ...]:
        """Read the records of restarts.

        Raises:
            StateError: They cannot be read.
        """
        return self.sources.history(self.sources.place().directory)

    def place_warnings(self) -> list[str]:
        """Return why the listener may work elsewhere than where it is looked for."""
        try:
            warning = self.sources.place().warning
        except StateError:
            return []  # said by whoever needs the place
        return [f"warning: {warning}"] if warning else []

    def rows(
        self, snapshot: Snapshot, processes: Sequence[Process]
    ) -> tuple[tuple[Row, ...], list[str]]:
        """Return the rows of processes, and what could not be read for them."""
        history, warnings = None, []
        if snapshot.status is not None:
            try:
                history = self.history()
            except StateError as error:
                warnings.append(f"restarts are not shown: {error}")
        return rows(processes, snapshot.status, history), warnings

    def scales(
        self, snapshot: Snapshot, groups: Collection[str]
    ) -> tuple[list[Figures], list[str]]:
        """Return how many nodes of groups are to run, and what is not known of that."""
        found, warnings = [], []
        for program in programs(snapshot):
            node = program.nodes[0].name
            if program.group in groups:
                try:
                    orders = self.sources.scale.read(node)
                except StateError as error:
                    warnings.append(
                        f"warning: how many nodes of {program.title} are to run is not "
                        f"known: {error}"
                    )
                else:
                    start_nodes = self.sources.scale.start_nodes(node)
                    found.append(figures(program, orders, start_nodes))
        return found, warnings

    def looks(self, within_s: float) -> Iterator[None]:
        """Come back to look again, for a time."""
        give_up_at_s = self.sources.clock() + within_s
        while self.sources.clock() < give_up_at_s:
            yield
            self.screen.wait(LOOK_EVERY_S)
