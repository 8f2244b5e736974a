"""How many nodes of a group are to run: the order, and what follows from it. Pure.

An order stands in a file that each node reads at its birth (`state_files.scale_file`).
Readers ignore fields that they do not know.
"""

from __future__ import annotations

import dataclasses
import json
import string
from collections.abc import Mapping
from dataclasses import dataclass


class ScaleFileError(ValueError):
    """The file cannot be read, or is none; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How many nodes are to run, and by whose order.

    Attributes:
        nodes: How many; those with the lowest ids.
        by: Who ordered it.
        why: In whose words; may be empty.
        at: When, in ISO 8601 with the zone; for people.
    """

    nodes: int
    by: str = ""
    why: str = ""
    at: str = ""


def scales(text: str | bytes) -> Mapping[str, Scale]:
    """Read a file's text.

    Returns:
        The orders by ``GROUP``, or ``GROUP:PROGRAM`` where a group has two programs.

    Raises:
        ScaleFileError: It is no such file, or half of one.
    """
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise ScaleFileError("expected JSON; it is none, or half of one") from None
    if not isinstance(told, dict):
        raise ScaleFileError("expected an object with the groups as its keys")
    return {key: _scale(key, entry) for key, entry in told.items()}


def _scale(key: str, entry: object) -> Scale:
    nodes = entry.get("nodes") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or type(nodes) is not int or nodes < 0:
        raise ScaleFileError(
            f'{key}: expected {{"nodes": N}} with N from 0, and got {str(entry)[:80]}'
        )
    texts = {name: str(entry.get(name, "")) for name in ("by", "why", "at")}
    return Scale(nodes=nodes, **texts)


def with_order(text: str | bytes, key: str, order: Scale) -> str:
    """Return the text of a file with one order more, or another one in its place.

    Other orders stay as they are, and so do fields of this one that are not known.

    Args:
        text: That of a file that `scales` can read.
        key: As in `scales`.
        order: The order.
    """
    told = json.loads(text)
    told[key] = {**told.get(key, {}), **dataclasses.asdict(order)}
    return f"{json.dumps(told, indent=1, sort_keys=True)}\n"


def key_of(
    orders: Mapping[str, Scale], *, group: str, program: str, is_alone: bool
) -> str:
    """Return the key under which the order for a program is looked up first.

    Args:
        orders: What the file holds.
        group: The program's group.
        program: Its name.
        is_alone: Whether the group has no other program.
    """
    own = f"{group}:{program}"
    return group if is_alone and own not in orders else own


def scale_of(orders: Mapping[str, Scale], *, group: str, program: str) -> Scale | None:
    """Return the order for a program of a group; None where none was given."""
    return orders.get(f"{group}:{program}") or orders.get(group)


def program_of(process: str) -> str:
    """Return a program's name, as the name of one of its processes tells it.

    supervisord tells a process its own name, and by default that is the program's with
    a number: ``orders_07`` is of ``orders``.
    """
    return process.rstrip(string.digits).rstrip("_-.") or process


def node_id_of(process: str) -> int | None:
    """Return a node's id, as the name of its process tells it; None where it does not.

    What a node reports of itself counts more: it has that from its command.
    """
    digits = process[len(process.rstrip(string.digits)) :]
    return int(digits) if digits.isascii() and digits else None


def wanted_nodes(order: Scale | None, *, start_nodes: int | None, most: int) -> int:
    """Return how many nodes of a program are to run.

    Args:
        order: The one that the file holds for it, if any.
        start_nodes: As ``[worker]`` has it; None for all.
        most: How many supervisord knows, ``numprocs``.
    """
    wanted = start_nodes if order is None else order.nodes
    return most if wanted is None else min(wanted, most)
