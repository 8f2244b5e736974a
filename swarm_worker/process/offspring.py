"""Which processes end with a node: its process group, or what it has started itself.

supervisord gives each process that it starts a group of its own. What handlers start is
in the group of their node, unless it makes one of its own, which ends with the node,
too. What makes a session of its own is exempt: it is not ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

MARK_MAX_BYTES: Final = 64

# In this time no number of a process comes round again.
_UNSEEN_TICKS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, as the kernel shows it.

    Attributes:
        pid: Its number.
        parent: That of its parent.
        group: That of its process group, which is its leader's pid.
        session: That of its session.
        started: When it was started, in clock ticks since the machine's boot.
        name: What it runs.
        is_dead: Whether only its exit code is left.
    """

    pid: int
    parent: int
    group: int
    session: int
    started: int
    name: str
    is_dead: bool


Processes = Mapping[int, Process]


def to_end_with(
    own: Process, processes: Processes, *, has_group: bool, spared: frozenset[int]
) -> list[Process]:
    """Return what a node that ends has to KILL.

    Of its whole group, where supervisord made that for its slot. Those to be spared end
    by themselves as the node is gone.
    """
    found = {each.pid: each for each in _descendants(own, processes)}
    if has_group:
        # What is older than the node was started by what wraps it, such as a `tee` that
        # is to have the last line; the next node of the slot ends it, if it stays.
        found |= {
            each.pid: each
            for each in processes.values()
            if each.group == own.group and each.started >= own.started
        }
    kept = {own.pid, *spared, *(each.pid for each in _ancestors(own, processes))}
    return [
        each for each in found.values() if each.pid not in kept and not each.is_dead
    ]


def _descendants(own: Process, processes: Processes) -> Iterator[Process]:
    children: dict[int, list[Process]] = {}
    for each in processes.values():
        children.setdefault(each.parent, []).append(each)
    waiting = [own]
    while waiting:
        found = [
            child
            for child in children.get(waiting.pop().pid, ())
            if child.session == own.session
        ]
        yield from found
        waiting += found


def _ancestors(own: Process, processes: Processes) -> Iterator[Process]:
    parent = processes.get(own.parent)
    while parent is not None:
        yield parent
        parent = processes.get(parent.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a node leaves in its slot's file, so that the next one can end what is left.

    Attributes:
        pid: The node.
        group: Its process group, which supervisord made for this slot.
        started: When the node was started, in ticks.
        era: Within which numbers and ticks mean anything; see `processes.era`.
        seen: When the node was last known to live, in ticks.
    """

    pid: int
    group: int
    started: int
    era: str
    seen: int

    def encode(self) -> bytes:
        """Return the mark as text, below the pid that other versions read."""
        rest = f"{self.group} {self.started} {self.era} {self.seen}"
        return f"{self.pid}\n{rest}\n".encode("ascii")

    @classmethod
    def decode(cls, head: bytes) -> Self | None:
        """Return the mark at the begin of a slot's file; None where there is none."""
        try:
            pid, rest, _ = head[:MARK_MAX_BYTES].decode("ascii").split("\n", 2)
            group, started, era, seen = rest.split()
            return cls(
                pid=int(pid),
                group=int(group),
                started=int(started),
                era=era,
                seen=int(seen),
            )
        except ValueError:
            return None


def is_alive(mark: Mark, process: Process | None) -> bool:
    """Whether the node that left a mark lives on, as the process that has its pid."""
    return (
        process is not None and process.started == mark.started and not process.is_dead
    )


def left_by(
    mark: Mark,
    processes: Processes,
    *,
    own: Process,
    is_of_slot: Callable[[int], bool],
    is_proven: bool = False,
) -> list[Process]:
    """Return what is left of a node that has ended: its group, and groups made in it.

    Args:
        mark: What that node left; it is of this era.
        processes: All there are.
        own: The node that follows.
        is_of_slot: Whether a pid was started with the slot's name in its environment.
        is_proven: The group is known to be that of the mark.
    """
    members = [
        each
        for each in processes.values()
        if each.group == mark.group and not each.is_dead
    ]
    if not (is_proven or _is_the_same_group(mark, processes, members, is_of_slot)):
        members = []
    elif mark.group == own.group:  # what wraps both starts one node after the other
        members = [e for e in members if mark.started <= e.started <= own.started]
    found = [*members, *_left_in_own_groups(mark, processes, own, is_of_slot)]
    kept = {own.pid, *(each.pid for each in _ancestors(own, processes))}
    return [each for each in found if each.pid not in kept]


def _left_in_own_groups(
    mark: Mark,
    processes: Processes,
    own: Process,
    is_of_slot: Callable[[int], bool],
) -> list[Process]:
    """Return what has made a group of its own, within supervisord's session.

    Nothing but its environment tells whose it was. What belongs to the node that
    follows, such as its wrapper's other children, has the same.
    """
    leader = processes.get(own.group, own)
    others = {leader.pid, *(each.pid for each in _descendants(leader, processes))}
    return [
        each
        for each in processes.values()
        if each.session == own.session
        and each.group not in {mark.group, own.group}
        and each.pid not in others
        and mark.started <= each.started <= own.started
        and not each.is_dead
        and is_of_slot(each.pid)
    ]


def _is_the_same_group(
    mark: Mark,
    processes: Processes,
    members: list[Process],
    is_of_slot: Callable[[int], bool],
) -> bool:
    """Whether a group is still that of the mark, and not of one with its number.

    A number is free for others only when the leader is gone and no member is left. So
    the group is the old one if one of its processes is.
    """
    leader = processes.get(mark.group)
    if leader is not None:
        return leader.started <= mark.started
    return any(
        each.started <= mark.seen + _UNSEEN_TICKS or is_of_slot(each.pid)
        for each in members
    )
