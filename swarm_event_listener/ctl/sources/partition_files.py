"""The files in which nodes tell of their partitions: where they are, and what they say.

A node keeps them where its own command and its own ``swarm.toml`` say; one that a
script starts is looked for where the listener works, too.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress

from swarm_event_listener.ctl.sources.node_configs import NodeConfigs
from swarm_event_listener.ctl.sources.place import Place
from swarm_event_listener.ctl.sources.state import who_may
from swarm_worker.shared.settings import ConfigError
from swarm_worker.shared.state_files.partition_figures import (
    NodeFigures,
    NotKnownError,
    read,
)


class PartitionFiles:
    """Those of all nodes of a supervisord.

    Args:
        configs: How nodes are set up.
        place: Where the listener works.
        clock: CLOCK_MONOTONIC, seconds.
    """

    def __init__(
        self,
        configs: NodeConfigs,
        place: Callable[[], Place],
        clock: Callable[[], float],
    ) -> None:
        """Look for nothing yet."""
        self._configs = configs
        self._place = place
        self._clock = clock

    def read(self, node: str, pid: int) -> NodeFigures:
        """Return what a node that runs has written.

        Raises:
            NotKnownError: Nothing that is to be believed; says who may read it.
        """
        directories = [self._place().directory]
        with suppress(ConfigError):
            directories.insert(0, self._configs.state_dir(node))
        try:
            found = dict.fromkeys(directories)
            return read(found, node, pid=pid, now_s=self._clock())
        except NotKnownError as error:
            if error.forbidden is None:
                raise
            may = who_may(error.forbidden, stat.S_IRGRP)
            raise NotKnownError(f"{error}: {may}") from None
