"""The files in which nodes tell of their partitions: where they are, and what they say.

A node keeps them where its own command and its own ``swarm.toml`` say; one that a
script starts is looked for where the listener works, too.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from swarm_event_listener.ctl.sources.node_program import environments
from swarm_event_listener.ctl.sources.place import Place, Running, document, works_in
from swarm_event_listener.ctl.sources.state import Plain, who_may
from swarm_event_listener.doctor.supervisord_conf import flags
from swarm_worker.shared.settings import DEFAULT_FILE, WORKER, ConfigError
from swarm_worker.shared.state_files.partition_figures import (
    NodeFigures,
    NotKnownError,
    read,
)


class PartitionFiles:
    """Those of all nodes of a supervisord.

    Args:
        running: What supervisord tells of its configuration.
        place: Where the listener works.
        conf: The configuration that supervisorctl reads; what it adds to the
            environment of nodes is believed.
        environ: Stands for supervisord's environment.
        clock: CLOCK_MONOTONIC, seconds.
    """

    def __init__(
        self,
        running: Callable[[], Running],
        place: Callable[[], Place],
        conf: Path | None,
        environ: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        """Look for nothing yet."""
        self._running = running
        self._place = place
        self._conf = conf
        self._environ = environ
        self._clock = clock

    def read(self, node: str, pid: int) -> NodeFigures:
        """Return what a node that runs has written.

        Raises:
            NotKnownError: Nothing that is to be believed; says who may read it.
        """
        directories = [self._place().directory]
        with suppress(ConfigError):
            directories.insert(0, self._directory(node))
        try:
            found = dict.fromkeys(directories)
            return read(found, node, pid=pid, now_s=self._clock())
        except NotKnownError as error:
            if error.forbidden is None:
                raise
            may = who_may(error.forbidden, stat.S_IRGRP)
            raise NotKnownError(f"{error}: {may}") from None

    def _directory(self, node: str) -> Path:
        """Return where a node keeps its state, as its command and its file say.

        Raises:
            ConfigError: That cannot be seen.
        """
        if node not in self._configs:
            raise ConfigError(f"supervisord tells nothing of {node}")
        config = self._configs[node]
        conf_folder = self._conf.parent if self._conf else Path()
        folder = works_in(config, self._running().folder or conf_folder)
        given = flags(str(config["command"]), ["config", "state-dir"])
        if "state-dir" in given:
            return folder / given["state-dir"]
        toml = document(folder / given.get("config", DEFAULT_FILE), "worker")
        key = {"state_dir": WORKER["state_dir"]}
        environ = {**self._environ, **self._environments.get(node, {})}
        chosen = toml.defaults(key) | toml.section("worker", key, environ, only=key)
        return Path(chosen["state_dir"])

    @cached_property
    def _configs(self) -> Mapping[str, Plain]:
        return {f"{it['group']}:{it['name']}": it for it in self._running().configs}

    @cached_property
    def _environments(self) -> Mapping[str, Mapping[str, str]]:
        """What supervisord adds to the environments of nodes, as a file says."""
        return environments(self._conf, self._environ)
