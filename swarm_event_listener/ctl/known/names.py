"""Names on a command line, as supervisorctl takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from swarm_event_listener.ctl.sources.supervisord import Process
from swarm_worker.shared.settings import nearest

EVERYTHING = "all"
LISTED_MAX = 8  # of the names there are, to whoever has named none of them


@dataclass(frozen=True, slots=True)
class Chosen:
    """What names stand for.

    Attributes:
        processes: The nodes, each once, in supervisord's order.
        complaints: A line for each name that stands for none, or for nodes of several
            groups.
    """

    processes: tuple[Process, ...]
    complaints: tuple[str, ...]


def choose(
    names: Sequence[str], processes: Iterable[Process], watched: Collection[str]
) -> Chosen:
    """Return the nodes that names stand for; all watched ones without names.

    Args:
        names: ``group:name``, ``group:*``, ``group``, ``name`` or ``all``.
        processes: All processes of supervisord.
        watched: The groups of swarms: nothing else is ever chosen.
    """
    everyone = tuple(processes)
    nodes = tuple(process for process in everyone if process.group in watched)
    if not names or EVERYTHING in names:
        return Chosen(nodes, ())
    refusals = {name: _refusal(name, everyone, nodes) for name in names}
    clear = [name for name, why in refusals.items() if why is None]
    chosen = tuple(
        node for node in nodes if any(_stands_for(name, node) for name in clear)
    )
    complaints = (f"{name}: ERROR ({why})" for name, why in refusals.items() if why)
    return Chosen(chosen, tuple(complaints))


def _stands_for(name: str, process: Process) -> bool:
    """Whether it does; a node may also be named as the table of status has it."""
    group, _, rest = name.partition(":")
    own_name = process.name.partition(":")[2]
    return (process.group == group and rest in {"", "*", own_name}) or name == own_name


def _refusal(
    name: str, everyone: tuple[Process, ...], nodes: tuple[Process, ...]
) -> str | None:
    """Return why a name stands for no nodes; None where it does."""
    meant = [node for node in nodes if _stands_for(name, node)]
    if len({node.group for node in meant}) > 1:
        return f"of several groups; name one, such as {meant[0].name}"
    if meant:
        return None
    if any(_stands_for(name, process) for process in everyone):
        return "not watched by the listener of the swarm"
    group = name.partition(":")[0]
    known = [node.name for node in nodes]
    own_names = [node.partition(":")[2] for node in known]
    if any(process.group == group for process in everyone):
        return f"no such process{nearest(name, known) or _listed(known)}"
    groups = [node.group for node in nodes]
    meant_perhaps = nearest(name, [*known, *groups, *own_names])
    return f"no such group or node{meant_perhaps or _listed(known)}"


def _listed(names: Sequence[str]) -> str:
    """Return "; there are x, y": nothing where there are none."""
    more = [f"{len(names) - LISTED_MAX} more"] if len(names) > LISTED_MAX else []
    listed = ", ".join([*names[:LISTED_MAX], *more])
    return f"; there are {listed}" if listed else ""
