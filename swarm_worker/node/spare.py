"""Whether this node is a spare: its group is to run fewer nodes than its id asks for.

That is asked at each birth, before lock, app and Kafka client: so no boot, no
operator's start and no listener that is down can go against it. One that runs follows
an order by itself, so whoever gave it may be gone by then.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Final

from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.parent_death import is_supervised
from swarm_worker.reporting.channel import Channel
from swarm_worker.shared.report import Report, State, encode
from swarm_worker.shared.scale import (
    Scale,
    ScaleFileError,
    program_of,
    scale_of,
    wanted_nodes,
)
from swarm_worker.shared.state_files import scale_file

_ENDS: Final = "it exits with 6 and stays down until more nodes are to run"

logger = logging.getLogger(__name__)


def is_spare(settings: WorkerSettings, environ: Mapping[str, str]) -> bool:
    """Whether a node that begins is not among those that are to run.

    Only supervisord's are counted: one that was started by hand is to run.
    """
    if not is_supervised(environ):
        return False
    try:
        order = _order(settings, environ)
    except ScaleFileError as error:
        instead = settings.start_nodes or "all nodes"
        logger.error("scale_unknown reason=%r instead=%r", str(error), instead)  # noqa: TRY400 - no traceback
        order = None
    return settings.node >= wanted_nodes(
        order, start_nodes=settings.start_nodes, most=settings.nodes
    )


def end(channel: Channel, settings: WorkerSettings) -> int:
    """Report that this node is a spare; return its exit code."""
    report = Report(
        node=settings.node,
        pid=os.getpid(),
        state=State.BOOTING,
        at_ms=round(time.monotonic() * 1000),
        spare=True,
    )
    channel.send(encode(report))
    logger.info("node_spare node=%s consequence=%r", settings.node, _ENDS)
    return exits.SPARE


class Orders:
    """The orders that a node finds while it runs.

    It follows none that is not there: it does not end because a file is lost, or
    damaged.
    """

    def __init__(self, settings: WorkerSettings, environ: Mapping[str, str]) -> None:
        """Look at nothing yet."""
        self._settings = settings
        self._environ = environ
        self._seen: tuple[int, int] | None = None
        self._is_spare = False

    def make_spare(self) -> bool:
        """Whether the group is to run without this node by now."""
        if not is_supervised(self._environ):
            return False
        found = scale_file.signature(self._settings.state_dir)
        if found != self._seen:
            self._seen = found
            self._is_spare = self._reads_so()
        return self._is_spare

    def _reads_so(self) -> bool:
        try:
            order = _order(self._settings, self._environ)
        except ScaleFileError as error:
            logger.error("scale_unknown reason=%r instead='as before'", str(error))  # noqa: TRY400 - no traceback
            return self._is_spare
        return order is not None and self._settings.node >= order.nodes


def _order(settings: WorkerSettings, environ: Mapping[str, str]) -> Scale | None:
    """Return the order that holds for this node's program.

    Raises:
        ScaleFileError: It cannot be read.
    """
    return scale_of(
        scale_file.read(settings.state_dir),
        group=environ.get("SUPERVISOR_GROUP_NAME", ""),
        program=program_of(environ.get("SUPERVISOR_PROCESS_NAME", "")),
    )
