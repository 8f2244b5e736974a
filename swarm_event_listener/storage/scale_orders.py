"""How many nodes are to run, as the files in the nodes' state directories say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from swarm_event_listener.core.model.events import ScaleRead, group_of
from swarm_worker.shared.scale import Scale, ScaleFileError
from swarm_worker.shared.state_files import scale_file

logger = logging.getLogger(__name__)

_UNREADABLE: Final = "nodes that run go on, those that begin go by start_nodes"


class ScaleOrders:
    """The orders of all watched groups; looks at a file only where it has changed."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        """Read nothing yet.

        Args:
            directories: Where the nodes of each watched group keep their state.
        """
        self._directories = directories
        self._seen: dict[Path, tuple[int, int] | None] = {}
        self._read: dict[Path, Mapping[str, Scale]] = {}

    def news(self) -> ScaleRead | None:
        """Return the orders where they may have changed since the last call."""
        changed = [
            directory
            for directory in set(self._directories.values())
            if self._has_changed(directory)
        ]
        for directory in changed:
            self._take(directory)
        return ScaleRead(orders=self.orders) if changed else None

    @property
    def orders(self) -> Mapping[str, Scale]:
        """All of them, as last read."""
        return {
            key: order
            for group, directory in self._directories.items()
            for key, order in self._read.get(directory, {}).items()
            if group_of(key) == group
        }

    def _has_changed(self, directory: Path) -> bool:
        found, is_new = scale_file.signature(directory), directory not in self._seen
        if not is_new and found == self._seen[directory]:
            return False
        self._seen[directory] = found
        return True

    def _take(self, directory: Path) -> None:
        """Read a file; one that cannot be read leaves what it said before."""
        try:
            self._read[directory] = scale_file.read(directory)
        except ScaleFileError as error:
            logger.error(  # noqa: TRY400 - no traceback
                "scale_unknown reason=%r consequence=%r", str(error), _UNREADABLE
            )
