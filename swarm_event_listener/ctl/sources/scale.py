"""How many nodes run: what an operator reads of that, and where he orders it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from swarm_event_listener.ctl.sources.node_configs import ExitPolicy, NodeConfigs
from swarm_event_listener.ctl.sources.place import Place
from swarm_event_listener.ctl.sources.state import StateError, who_may
from swarm_event_listener.storage import scale_writer
from swarm_event_listener.storage.scale_writer import LockedError
from swarm_worker.shared.scale import Scale, ScaleFileError
from swarm_worker.shared.settings import ConfigError
from swarm_worker.shared.state_files import scale_file

Decide = Callable[[Mapping[str, Scale]], tuple[str, Scale]]


class ScaleFiles:
    """Those of all nodes of a supervisord.

    Args:
        configs: How nodes are set up.
        place: Where the listener works.
    """

    def __init__(self, configs: NodeConfigs, place: Callable[[], Place]) -> None:
        """Look for nothing yet."""
        self._configs = configs
        self._place = place

    def directory(self, node: str) -> Path:
        """Return where a node looks for orders: in its state directory.

        Of a node that a script starts, it is taken to be the listener's.

        Raises:
            StateError: That is not known.
        """
        with suppress(ConfigError):
            return self._configs.state_dir(node)
        return self._place().directory

    def start_nodes(self, node: str) -> int | None:
        """Return how many run without an order; None for all, or where not known."""
        with suppress(ConfigError):
            return self._configs.start_nodes(node)
        return None

    def exit_policy(self, node: str) -> ExitPolicy:
        """Return what supervisord makes of a node's exit."""
        return self._configs.exit_policy(node)

    def read(self, node: str) -> Mapping[str, Scale]:
        """Return the orders that a node sees.

        Raises:
            StateError: They cannot be read.
        """
        try:
            return scale_file.read(self.directory(node))
        except ScaleFileError as error:
            raise StateError(f"{error}; mend or remove it") from None

    def put(self, node: str, decide: Decide) -> None:
        """Put an order where a node sees it; see `scale_writer.put`.

        Raises:
            StateError: It cannot be written; the number is as it was.
        """
        directory = self.directory(node)
        try:
            scale_writer.put(directory, decide)
        except ScaleFileError as error:
            raise StateError(f"{error}; mend or remove it") from None
        except OSError as error:
            path, why = directory / scale_file.NAME, _why(directory, error)
            raise StateError(
                f"cannot write {path}: {why}; the number is as it was"
            ) from None


def _why(directory: Path, error: OSError) -> str:
    if isinstance(error, LockedError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"there is no {directory}: no node has run yet"
    if isinstance(error, PermissionError):
        return f"{error.strerror}; {who_may(directory, stat.S_IWGRP)}"
    return error.strerror or str(error)
