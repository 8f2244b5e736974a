"""An operator's orders to the listener, as REMOTE_COMMUNICATION events.

Types ``swarm.hold`` and ``swarm.release``: data is a JSON list of node names, of group
names or of ``group:*``. Type ``swarm.roll``: a JSON object with ``group``,
``max_unavailable``, ``timeout_s`` and ``ordered_at_s``; ``swarm.roll_cancel``: a JSON
list of groups. The command line only sends them: a killed one leaves nothing half done.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Final

import msgspec

from swarm_event_listener.core.model.events import (
    Ordered,
    OrderKind,
    RollCancelled,
    RollOrdered,
)
from swarm_event_listener.supervisord.protocol import RemoteCommand

Order = Ordered | RollOrdered | RollCancelled

PREFIX: Final = "swarm."
HOLD: Final = PREFIX + OrderKind.HOLD
RELEASE: Final = PREFIX + OrderKind.RELEASE
ROLL: Final = "swarm.roll"
ROLL_CANCEL: Final = "swarm.roll_cancel"


class OrderError(ValueError):
    """An order that cannot be understood; says what was expected and what came."""


def encode(kind: OrderKind, names: Sequence[str]) -> RemoteCommand:
    """Return the event that holds or releases nodes."""
    return RemoteCommand(PREFIX + kind, json.dumps(list(names)))


def encode_roll(order: RollOrdered) -> RemoteCommand:
    """Return the event that begins a rolling restart."""
    return RemoteCommand(ROLL, json.dumps(dataclasses.asdict(order)))


def encode_roll_cancel(group: str) -> RemoteCommand:
    """Return the event that ends a rolling restart after the present node."""
    return RemoteCommand(ROLL_CANCEL, json.dumps([group]))


def decode(command: RemoteCommand) -> tuple[Order, ...]:
    """Read an event; nothing for one that is no order.

    Raises:
        OrderError: It is an order, but its data cannot be read.
    """
    if command.type not in {HOLD, RELEASE, ROLL, ROLL_CANCEL}:
        return ()
    try:
        return _read(command)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"{error} in {command.data[:80]!r}") from None


def _read(command: RemoteCommand) -> tuple[Order, ...]:
    if command.type == ROLL:
        return (_roll(command.data),)
    names = msgspec.json.decode(command.data, type=tuple[str, ...])
    if command.type == ROLL_CANCEL:
        return tuple(RollCancelled(group=name) for name in names)
    kind = OrderKind(command.type.removeprefix(PREFIX))
    return (Ordered(kind=kind, names=names),)


def _roll(data: str) -> RollOrdered:
    order = msgspec.json.decode(data, type=RollOrdered, strict=False)
    if order.max_unavailable < 1 or not 0 < order.timeout_s < math.inf:
        raise ValueError("expected max_unavailable >= 1 and timeout_s > 0")
    if not math.isfinite(order.ordered_at_s or 0):
        raise ValueError("expected ordered_at_s to be a moment")
    return order
