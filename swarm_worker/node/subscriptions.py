"""What the processes of a slot have subscribed to, for the next one.

A static member of the classic protocol that comes back gets what it held. Kafka does
not ask what it subscribes to by now: a topic that is new in the app would be
nobody's until the group's next rebalance.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from swarm_worker.process import json_file


class Subscriptions:
    """The topics of one slot's groups. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Use a file, which nobody else writes while the slot is held."""
        self._path = path
        self._lock = threading.Lock()

    def of(self, group: str) -> frozenset[str] | None:
        """Return the topics of a group; None where nothing is known."""
        topics = json_file.read(self._path).get(group)
        if not isinstance(topics, list):
            return None
        return frozenset(topic for topic in topics if isinstance(topic, str))

    def keep(self, group: str, topics: Iterable[str]) -> None:
        """Write the topics of a group, unless they are known."""
        with self._lock:
            by_group = json_file.read(self._path)
            if by_group.get(group) != sorted(topics):
                json_file.replace(self._path, {**by_group, group: sorted(topics)})
