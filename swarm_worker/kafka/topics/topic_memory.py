"""The ids of topics, for the next process of a slot.

Kafka forgets the offsets of a topic that is deleted. Where all of a group's nodes are
down meanwhile, this file alone tells that the topic was another when they last ran:
with ``auto.offset.reset=latest`` they would begin at the end of the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from swarm_worker.process import json_file


class TopicMemory:
    """What the processes of one slot have known, in one cluster. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Use a file, which nobody else writes while the slot is held."""
        self._path = path
        self._lock = threading.Lock()

    def recall(self, cluster: str, group: str) -> Mapping[str, str]:
        """Return the ids that a group's topics had; empty where nothing is known.

        What this slot does not know, others of the directory may: it is new, or its
        partitions were theirs. The one that was written first knows the oldest.
        """
        known: dict[str, str] = {}
        for path in (self._path, *self._others()):
            known = _texts(_groups(path, cluster).get(group)) | known
        return known

    def _others(self) -> list[Path]:
        with suppress(OSError):
            files = self._path.parent.glob(f"*{self._path.suffix}")
            return sorted(files, key=lambda path: path.stat().st_mtime)
        return []

    def keep(
        self,
        cluster: str,
        group: str,
        ids: Mapping[str, str],
        *,
        settled: Mapping[str, str],
    ) -> None:
        """Write what is new of a group; what is known of another cluster goes.

        The ids of its topics, as they were first, are noted where nothing is known;
        those that are ``settled`` in the place of what is known: it is needed no more.
        """
        with self._lock:
            groups = _groups(self._path, cluster)
            known = _texts(groups.get(group))
            kept = {**ids, **known, **settled}
            if kept == known:
                return
            groups[group] = kept
            json_file.replace(self._path, {"cluster": cluster, "groups": groups})


def _groups(path: Path, cluster: str) -> dict[str, Any]:
    """Return what a file knows of a cluster's groups; if it is spoiled, nothing."""
    content = json_file.read(path)
    groups = content.get("groups") if content.get("cluster") == cluster else None
    return groups if isinstance(groups, dict) else {}


def _texts(table: object) -> dict[str, str]:
    if not isinstance(table, dict):
        return {}
    return {str(k): v for k, v in table.items() if isinstance(v, str)}
