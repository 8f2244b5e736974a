"""An operator's words to the listener, as REMOTE_COMMUNICATION events.

Types ``swarm.hold`` and ``swarm.release``: data is a JSON list of node names, of group
names or of ``group:*``. Type ``swarm.roll``: a JSON object with ``group``,
``max_unavailable``, ``timeout_s`` and ``ordered_at_s``; ``swarm.roll_cancel``: a JSON
list of groups. The command line only sends them: a killed one leaves nothing half done.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from swarm_event_listener.core.model.events import (
    Ordered,
    RollCancelled,
    RollOrdered,
    Word,
)
from swarm_event_listener.core.model.record import moment_s
from swarm_event_listener.supervisord.protocol import RemoteCommand

Order = Ordered | RollOrdered | RollCancelled

PREFIX: Final = "swarm."
ROLL: Final = "swarm.roll"
TIMEOUT_S: Final = 300.0  # for each node of a roll, unless told otherwise
ROLL_CANCEL: Final = "swarm.roll_cancel"


class OrderError(ValueError):
    """An order that cannot be understood; says what was expected and what came."""


def encode(word: Word, names: Sequence[str]) -> RemoteCommand:
    """Give the event that holds or releases nodes."""
    return RemoteCommand(PREFIX + word, json.dumps(list(names)))


def encode_roll(order: RollOrdered) -> RemoteCommand:
    """Give the event that begins a rolling restart."""
    plain = {
        "group": order.group,
        "max_unavailable": order.max_unavailable,
        "timeout_s": order.timeout_s,
        "ordered_at_s": order.ordered_at_s,
    }
    return RemoteCommand(ROLL, json.dumps(plain))


def encode_roll_cancel(group: str) -> RemoteCommand:
    """Give the event that ends a rolling restart after the present node."""
    return RemoteCommand(ROLL_CANCEL, json.dumps([group]))


def decode(command: RemoteCommand) -> tuple[Order, ...]:
    """Read an event; nothing for one that is no order.

    Raises:
        OrderError: It is an order, but its data cannot be read.
    """
    read = _READERS.get(command.type)
    if read is None:
        return ()
    try:
        plain = json.loads(command.data)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"expected JSON ({error})") from None
    try:
        return tuple(read(plain))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise OrderError(f"{error!r} in {command.data[:80]!r}") from None


def _names(plain: object) -> tuple[str, ...]:
    if not isinstance(plain, list) or not all(isinstance(n, str) for n in plain):
        raise ValueError("expected a list of names")
    return tuple(plain)


def _hold(plain: object) -> Iterator[Order]:
    yield Ordered(word=Word.HOLD, names=_names(plain))


def _release(plain: object) -> Iterator[Order]:
    yield Ordered(word=Word.RELEASE, names=_names(plain))


def _roll(plain: object) -> Iterator[Order]:
    if not isinstance(plain, dict) or not isinstance(plain["group"], str):
        raise ValueError("expected an object with a group")
    max_unavailable = int(plain.get("max_unavailable", 1))
    timeout_s = float(plain.get("timeout_s", TIMEOUT_S))
    if max_unavailable < 1 or not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError("expected max_unavailable >= 1 and timeout_s > 0")
    ordered_at_s = plain.get("ordered_at_s")
    yield RollOrdered(
        group=plain["group"],
        max_unavailable=max_unavailable,
        timeout_s=timeout_s,
        ordered_at_s=None if ordered_at_s is None else moment_s(ordered_at_s),
    )


def _roll_cancel(plain: object) -> Iterator[Order]:
    return (RollCancelled(group=group) for group in _names(plain))


_READERS: Final[Mapping[str, Callable[[object], Iterator[Order]]]] = {
    PREFIX + Word.HOLD: _hold,
    PREFIX + Word.RELEASE: _release,
    ROLL: _roll,
    ROLL_CANCEL: _roll_cancel,
}
