"""An operator's words to the listener, as REMOTE_COMMUNICATION events.

Type ``swarm.hold`` or ``swarm.release``, data a JSON list of node names, of group names
or of ``group:*``. The command line only sends them: a killed one leaves nothing half
done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from swarm_event_listener.events import Ordered, Word
from swarm_event_listener.protocol import RemoteCommand

PREFIX: Final = "swarm."
_WORDS: Final = {PREFIX + word: word for word in Word}


class OrderError(ValueError):
    """An order that names no nodes; says what was expected and what came."""


def encode(word: Word, names: Sequence[str]) -> RemoteCommand:
    """Give the event that carries an order."""
    return RemoteCommand(PREFIX + word, json.dumps(list(names)))


def decode(command: RemoteCommand) -> Ordered | None:
    """Read an order; None for an event that is none.

    Raises:
        OrderError: It is one, but its data cannot be read.
    """
    word = _WORDS.get(command.type)
    if word is None:
        return None
    try:
        names = json.loads(command.data)
    except (ValueError, RecursionError) as error:
        raise OrderError(f"expected a JSON list of names ({error})") from None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise OrderError(f"expected a list of names, got {command.data[:80]!r}")
    return Ordered(word=word, names=tuple(names))
