"""The file that says how many nodes of a group are to run.

Each node reads it at its birth, so it holds whoever starts the node: supervisord at a
boot, an operator, the listener. Readers ignore fields that they do not know.
"""

from __future__ import annotations

import dataclasses
import json
import os
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swarm_worker.shared.state_files.lock_files import SAFE

NAME: Final = "scale.json"
READ_MAX_BYTES: Final = 2**20


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


def read(directory: Path) -> Mapping[str, Scale]:
    """Return what the file of a state directory says; nothing where there is none.

    It reads a file, and so may wait for a disk.

    Raises:
        ScaleFileError: It cannot be read, or is no such file.
    """
    path = directory / NAME
    try:
        # Another user may have put a link or a pipe there.
        fd = os.open(path, os.O_RDONLY | SAFE)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            text = file.read(READ_MAX_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ScaleFileError(f"cannot read {path}: {error.strerror}") from None
    try:
        return scales(text)
    except ScaleFileError as error:
        raise ScaleFileError(f"{path}: {error}") from None


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


def text_of(orders: Mapping[str, Scale]) -> str:
    """Return the text of a file, which ends with a line break."""
    told = {key: dataclasses.asdict(each) for key, each in sorted(orders.items())}
    return f"{json.dumps(told, indent=1)}\n"


def scale_of(orders: Mapping[str, Scale], *, group: str, program: str) -> Scale | None:
    """Return the order for a program of a group; None where none was given."""
    return orders.get(f"{group}:{program}") or orders.get(group)


def program_of(process: str) -> str:
    """Return a program's name, as the name of one of its processes tells it.

    supervisord tells a process its own name, and by default that is the program's with
    a number: ``orders_07`` is of ``orders``.
    """
    return process.rstrip(string.digits).rstrip("_-.") or process


def wanted_nodes(order: Scale | None, *, start_nodes: int | None, most: int) -> int:
    """Return how many nodes of a program are to run.

    Args:
        order: The one that the file holds for it, if any.
        start_nodes: As ``[worker]`` has it; None for all.
        most: How many supervisord knows, ``numprocs``.
    """
    wanted = start_nodes if order is None else order.nodes
    return most if wanted is None else min(wanted, most)
