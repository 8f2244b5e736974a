"""All that the commands read but supervisord itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm_event_listener.ctl.sources.node_program import NodeProgram
from swarm_event_listener.ctl.sources.place import Place
from swarm_event_listener.ctl.sources.scale import ScaleFiles
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain
from swarm_event_listener.doctor.finding import Finding
from swarm_worker.shared.state_files.partition_figures import NodeFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is read, each by its reader.

    Attributes:
        place: Where the listener works; raises StateError where it is not found.
        status: What the listener last wrote to its directory.
        history: The records of restarts in that directory.
        catches: Whether a process has a handler for a signal; None where unknown.
        examine: What the doctor finds in a file, or in the one of supervisorctl.
        partitions: What a node, of that name and pid, has written of its partitions;
            raises NotKnownError.
        scale: How many nodes are to run, read and ordered.
        node_program: How a node of that name is started, or any node; raises
            StateError where that is not known.
        run: Runs Python as that, with our terminal; returns its exit code.
        clock: CLOCK_MONOTONIC, seconds.
    """

    place: Callable[[], Place]
    status: Callable[[Path], ListenerStatus]
    history: Callable[[Path], tuple[Plain, ...]]
    catches: Callable[[int, str], bool | None]
    examine: Callable[[str | None], tuple[Finding, ...]]
    partitions: Callable[[str, int], NodeFigures]
    scale: ScaleFiles
    node_program: Callable[[str | None], NodeProgram]
    run: Callable[[Sequence[str], NodeProgram], int]
    clock: Callable[[], float]
