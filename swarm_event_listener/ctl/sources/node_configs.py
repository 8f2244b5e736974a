"""How nodes are set up, as supervisord and the nodes' own ``swarm.toml`` tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from swarm_event_listener.ctl.sources.node_program import declared
from swarm_event_listener.ctl.sources.place import Running, document, works_in
from swarm_event_listener.ctl.sources.state import Plain
from swarm_event_listener.doctor.supervisord_conf import (
    ProcessOptions,
    Program,
    flags,
)
from swarm_event_listener.story.text import own_name
from swarm_worker.shared.scale import program_of
from swarm_worker.shared.settings import DEFAULT_FILE, WORKER, ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitPolicy:
    """What supervisord makes of a node's exit.

    Attributes:
        section: The section that says so.
        exit_codes: With which it stays EXITED; None where that is not known.
        autorestart: ``true``, ``false`` or ``unexpected``; empty where that is not
            known: supervisord does not tell it, its file does.
    """

    section: str
    exit_codes: tuple[int, ...] | None = None
    autorestart: str = ""


class NodeConfigs:
    """Those of all nodes of a supervisord.

    Args:
        running: What supervisord tells of its configuration.
        conf: The configuration that supervisorctl reads; what it says of nodes, and
            supervisord does not tell, is believed.
        environ: Stands for supervisord's environment.
    """

    def __init__(
        self,
        running: Callable[[], Running],
        conf: Path | None,
        environ: Mapping[str, str],
    ) -> None:
        """Read nothing yet."""
        self._running = running
        self._conf = conf
        self._environ = environ

    def state_dir(self, node: str) -> Path:
        """Return where a node keeps its state, as its command and its file say.

        Raises:
            ConfigError: That cannot be seen.
        """
        folder, given = self._command(node)
        if "state-dir" in given:
            return folder / given["state-dir"]
        return Path(self._of_worker(node, "state_dir"))

    def start_nodes(self, node: str) -> int | None:
        """Return how many nodes run without an order, as its file says; None for all.

        Raises:
            ConfigError: That cannot be seen.
        """
        found: int | None = self._of_worker(node, "start_nodes")
        return found

    def exit_policy(self, node: str) -> ExitPolicy:
        """Return what becomes of a node that exits."""
        program, options = self._declared.get(node, (None, None))
        codes = self._told.get(node, {}).get("exitcodes", options and options.exitcodes)
        section = f"program:{program_of(own_name(node))}"
        return ExitPolicy(
            section=program.section.name if program else section,
            exit_codes=None if codes is None else tuple(codes),
            autorestart=program.autorestart if program else "",
        )

    def _of_worker(self, node: str, name: str) -> Any:  # noqa: ANN401 - by its key
        folder, given = self._command(node)
        toml = document(folder / given.get("config", DEFAULT_FILE), "worker")
        key = {name: WORKER[name]}
        _, options = self._declared.get(node, (None, None))
        environ = {**self._environ, **(options.environment if options else {})}
        chosen = toml.defaults(key) | toml.section("worker", key, environ, only=key)
        return chosen[name]

    def _command(self, node: str) -> tuple[Path, Mapping[str, str]]:
        """Return where a node works, and the flags of its command."""
        if node not in self._told:
            raise ConfigError(f"supervisord tells nothing of {node}")
        config = self._told[node]
        conf_folder = self._conf.parent if self._conf else Path()
        folder = works_in(config, self._running().folder or conf_folder)
        return folder, flags(str(config["command"]), ["config", "state-dir"])

    @cached_property
    def _told(self) -> Mapping[str, Plain]:
        return {f"{it['group']}:{it['name']}": it for it in self._running().configs}

    @cached_property
    def _declared(self) -> Mapping[str, tuple[Program, ProcessOptions]]:
        return declared(self._conf, self._environ)
