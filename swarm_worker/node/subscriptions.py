"""What the processes of a slot have subscribed to, for the next one.

To a static member of the classic protocol that comes back Kafka gives what it held, and
nobody asks what it subscribes to by now: a topic that is new in the app would be
nobody's until the group's next rebalance.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ_MAX_BYTES: Final = 4 * 2**20


class Subscriptions:
    """The topics of one slot's groups. Thread-safe.

    A disk that is full or read-only costs no more than the memory.
    """

    def __init__(self, path: Path) -> None:
        """Use a file, which nobody else writes while the slot is held."""
        self._path = path
        self._lock = threading.Lock()

    def of(self, group: str) -> frozenset[str] | None:
        """Return the topics of a group; None where nothing is known."""
        told = self._read().get(group)
        if not isinstance(told, list):
            return None
        return frozenset(topic for topic in told if isinstance(topic, str))

    def keep(self, group: str, topics: Iterable[str]) -> None:
        """Write the topics of a group, unless they are known."""
        with self._lock:
            told = self._read()
            if told.get(group) == sorted(topics):
                return
            told[group] = sorted(topics)
            aside = self._path.with_name(f"{self._path.name}.new")
            with suppress(OSError):
                flags = _FLAGS | os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                fd = os.open(aside, flags, 0o644)
                with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                    json.dump(told, file)
                aside.replace(self._path)

    def _read(self) -> dict[str, object]:
        try:
            fd = os.open(self._path, _FLAGS | os.O_RDONLY)
            with open(fd, encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
                told = json.loads(file.read(_READ_MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}
