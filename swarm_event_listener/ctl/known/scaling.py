"""How many nodes of a program run, and what speaks against another number."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarm_event_listener.ctl.known.node_rows import partitions_of
from swarm_event_listener.ctl.known.snapshot import Snapshot
from swarm_event_listener.ctl.sources.node_configs import ExitPolicy
from swarm_event_listener.ctl.sources.state import Plain, StateError
from swarm_event_listener.ctl.sources.supervisord import Process
from swarm_event_listener.story.text import own_name
from swarm_worker.shared.scale import (
    Scale,
    node_id_of,
    program_of,
    scale_of,
    wanted_nodes,
)
from swarm_worker.shared.settings import EXIT_SPARE, nearest

REASON_MAX: Final = 200  # characters
_CHANGE: Final = re.compile(r"([+-]?)(\d{1,6})")


# --- what is ordered ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """Another number of nodes: ``6``, or a step from the present one, ``+2``."""

    count: int
    is_step: bool = False

    def of(self, nodes: int) -> int:
        """Return the number that comes of a present one."""
        return nodes + self.count if self.is_step else self.count


AUTO: Final = "auto"


def change(text: str) -> Change | str:
    """Return what is ordered; `AUTO` for a number that follows the load.

    Raises:
        ValueError: It is no such text.
    """
    if text == AUTO:
        return AUTO
    match = _CHANGE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected how many nodes are to run, such as 6, +2 or -1, or auto; got "
            f"{text!r}"
        )
    sign, count = match.groups()
    return Change(int(f"{sign}{count}"), is_step=bool(sign))


# --- what there is --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A process of a program.

    Attributes:
        process: As supervisord tells of it.
        told: What the listener last said of the node; empty where it has not.
    """

    process: Process
    told: Plain

    @property
    def name(self) -> str:
        """``group:process``."""
        return self.process.name

    @property
    def node_id(self) -> int:
        """Its id: as reported, else as its name ends."""
        reported: int | None = (self.told.get("report") or {}).get("node")
        if reported is not None:
            return reported
        return node_id_of(self.name) or 0

    @property
    def report(self) -> Plain:
        """The last report of its present process; empty before the first."""
        pid = self.process.pid
        is_its_own = pid is not None and self.told.get("pid") == pid
        return self.told.get("report") or {} if is_its_own else {}

    @property
    def is_held(self) -> bool:
        """Whether an operator took it out of the rules."""
        return bool(self.told.get("held"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The processes of one program of a group: they scale together.

    Attributes:
        group: Its group.
        name: Its name within that.
        is_alone: Whether the group has no other.
        nodes: The lowest id first; one at least.
        is_heard: Whether the listener tells how they are now.
    """

    group: str
    name: str
    is_alone: bool
    nodes: Sequence[Node]
    is_heard: bool

    @property
    def title(self) -> str:
        """What an operator calls it."""
        return self.group if self.is_alone else f"{self.group}:{self.name}"

    @property
    def most(self) -> int:
        """How many nodes it can have."""
        return len(self.nodes)

    @property
    def least(self) -> int:
        """How many it needs, since its app names the last of them."""
        reports = [node.told.get("report") or {} for node in self.nodes]
        return max(1, *(int(report.get("least_nodes", 0)) for report in reports))

    @property
    def running(self) -> int:
        """How many have a process."""
        return sum(node.process.pid is not None for node in self.nodes)

    @property
    def partitions(self) -> int | None:
        """How many they hold; None where that is not known."""
        held = [partitions_of(node.report) for node in self.nodes]
        known = [count for count in held if count is not None]
        return sum(known) if known and self.is_heard else None

    def order(self, orders: Mapping[str, Scale]) -> Scale | None:
        """Return the order for it; None without one."""
        return scale_of(orders, group=self.group, program=self.name)

    def wanted(self, orders: Mapping[str, Scale], start_nodes: int | None) -> int:
        """Return how many of its nodes are to run."""
        return wanted_nodes(self.order(orders), start_nodes=start_nodes, most=self.most)


def programs(snapshot: Snapshot) -> tuple[Program, ...]:
    """Return the programs of all watched groups."""
    found: dict[tuple[str, str], list[Process]] = {}
    for process in snapshot.choose(()).processes:
        key = process.group, program_of(own_name(process.name))
        found.setdefault(key, []).append(process)
    groups = [group for group, _ in found]
    told = {} if snapshot.status is None else snapshot.status.nodes
    return tuple(
        Program(
            group=group,
            name=name,
            is_alone=groups.count(group) == 1,
            nodes=_by_id(Node(process=it, told=told.get(it.name, {})) for it in its),
            is_heard=snapshot.status is not None and not snapshot.status.is_stale,
        )
        for (group, name), its in found.items()
    )


def _by_id(nodes: Iterable[Node]) -> tuple[Node, ...]:
    return tuple(sorted(nodes, key=lambda node: (node.node_id, node.name)))


def program_named(name: str, snapshot: Snapshot) -> Program:
    """Return the program that an operator means by ``GROUP`` or ``GROUP:PROGRAM``.

    Raises:
        StateError: There is no such one, or the group has several.
    """
    group, _, program = name.removesuffix(":*").removesuffix(":").partition(":")
    everyone = programs(snapshot)
    mine = [it for it in everyone if it.group == group]
    if not mine:
        groups = dict.fromkeys(it.group for it in everyone)
        hint = nearest(group, groups) or f"; there are {', '.join(groups)}"
        raise StateError(f"no group that the listener watches{hint}")
    meant = [it for it in mine if program in ("", it.name)]
    if len(meant) == 1:
        return meant[0]
    titles = ", ".join(f"{group}:{it.name}" for it in mine)
    why = f"of {len(meant)} programs; name one" if meant else "no such program"
    raise StateError(f"{why}: {titles}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How many nodes of a program run, are to run, and could.

    Attributes:
        name: ``GROUP``, or ``GROUP:PROGRAM`` where a group has several.
        nodes: How many are to run.
        running: How many have a process.
        least: How many its app needs.
        most: How many supervisord knows, ``numprocs``.
        partitions: How many they hold; None where that is not known.
        by, why, at: Who ordered the number, in whose words, when; empty without order.
    """

    name: str
    nodes: int
    running: int
    least: int
    most: int
    partitions: int | None
    by: str = ""
    why: str = ""
    at: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return them as plain data."""
        return dataclasses.asdict(self)


def figures(
    program: Program, orders: Mapping[str, Scale], start_nodes: int | None
) -> Figures:
    """Return the figures of a program, as it is now."""
    order = program.order(orders) or Scale(nodes=program.most)
    return Figures(
        name=program.title,
        nodes=program.wanted(orders, start_nodes),
        running=program.running,
        least=program.least,
        most=program.most,
        partitions=program.partitions,
        by=order.by,
        why=order.why,
        at=order.at,
    )


def lacks_partitions(before: Program, now: Program) -> bool:
    """Whether the nodes of a program are known to hold fewer partitions than before."""
    if before.partitions is None or now.partitions is None:
        return False
    return now.partitions < before.partitions


def has_idle(program: Program, wanted: int) -> bool:
    """Whether more nodes are to run than there are partitions."""
    return program.partitions is not None and program.partitions < wanted


# --- what speaks against it -----------------------------------------------------------


def refusal(program: Program, wanted: int, policy: ExitPolicy) -> str:
    """Return why a program cannot have that many nodes; empty where it can."""
    section = f"[{policy.section}]"
    if wanted > program.most:
        return (
            f"expected at most {program.most} nodes, numprocs of {section}, got "
            f"{wanted}: raise numprocs, then supervisorctl update, which restarts the "
            "whole group"
        )
    if wanted < program.least:
        why = "" if program.least == 1 else ", since nodes= or partitions= of the app "
        names = f"{why}name node {program.least - 1}" if why else ""
        least = f"{program.least} node{'s' * (program.least != 1)}"
        return f"expected at least {least}{names}, got {wanted}"
    for node in program.nodes:
        if node.node_id >= wanted and node.is_held and node.process.pid is not None:
            return (
                f"{node.name} is held by an operator, and would end: swarm release "
                f"{node.name} first"
            )
    return _exit_refusal(section, policy)


def _exit_refusal(section: str, policy: ExitPolicy) -> str:
    """Return why a node that is not needed would not stay down."""
    then = f"in {section}, then supervisorctl update, which restarts the whole group"
    if policy.exit_codes is not None and EXIT_SPARE not in policy.exit_codes:
        codes = ",".join(map(str, policy.exit_codes))
        return (
            f"a node that is not needed exits with {EXIT_SPARE}, and would be started "
            f"again at once: expected {EXIT_SPARE} among exitcodes, got {codes}: write "
            f"exitcodes={codes},{EXIT_SPARE} {then}"
        )
    if policy.autorestart not in ("", "unexpected"):
        return (
            f"expected autorestart=unexpected, got autorestart={policy.autorestart}: "
            f"write autorestart=unexpected {then}"
        )
    return ""
