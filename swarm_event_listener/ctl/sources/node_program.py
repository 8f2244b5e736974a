"""How a program of the nodes' is started: with what, where, in which environment."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

from swarm_event_listener.ctl.sources.place import Running, works_in
from swarm_event_listener.ctl.sources.state import Plain, StateError
from swarm_event_listener.doctor.server_options import read_conf
from swarm_event_listener.doctor.supervisord_conf import (
    WORKER,
    ProcessOptions,
    Program,
    flags,
)
from swarm_worker.shared.settings import DEFAULT_FILE, ConfigError

# Installed scripts name their interpreter in the first line, or in the second where
# its path is too long for the kernel.
_PYTHON: Final = re.compile(rb"/[^\s\"']*python[0-9.]*(?=[\s\"'])")
_HEAD_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgram:
    """What a node runs with.

    Attributes:
        python: The interpreter.
        folder: Where it works.
        config: Its ``swarm.toml``.
        environ: Its environment, as far as we may see that.
        uid: Its user; None where that is not known.
    """

    python: str
    folder: Path
    config: Path
    environ: Mapping[str, str]
    uid: int | None


def declared(
    conf: Path | None, environ: Mapping[str, str]
) -> Mapping[str, tuple[Program, ProcessOptions]]:
    """Return what a file says of each process; nothing where it cannot be read."""
    try:
        read = read_conf(conf, environ) if conf else None
    except ConfigError:
        read = None
    return {
        f"{program.group}:{process.name}": (program, process)
        for program in (read.everyone if read else ())
        for process in program.processes
    }


def program_of(
    name: str | None,
    running: Running,
    conf: Path | None,
    environ: Mapping[str, str],
    own_python: str,
) -> NodeProgram:
    """Return how the nodes are started.

    Args:
        name: One of them; None where they have all the same configuration.
        running: What supervisord tells of its configuration.
        conf: The configuration that supervisorctl reads; what it adds to the
            environment of nodes is believed.
        environ: Stands for supervisord's environment where we may not see that.
        own_python: Our own interpreter, which has this package, too.

    Raises:
        StateError: There is no such node, or they differ and none is named.
    """
    folder = running.folder or (conf.parent if conf else Path())
    nodes = {
        f"{it['group']}:{it['name']}": it
        for it in running.configs
        if it["inuse"] and WORKER.search(str(it["command"]))
    }
    chosen = _chosen(name, nodes, folder)
    base = running.environ or environ
    known = declared(conf, base)
    added = known[chosen][1].environment if chosen in known else {}
    return _program(nodes[chosen], folder, {**base, **added}, running.uid, own_python)


def _chosen(name: str | None, nodes: Mapping[str, Plain], folder: Path) -> str:
    if not nodes:
        raise StateError(
            "supervisord tells of no program that runs swarm-worker itself; say "
            "python -m swarm_worker.admin --config FILE dlq ..."
        )
    if name is not None:
        for node in nodes:
            if name in (node, node.partition(":")[2]):
                return node
        raise StateError(f"{name}: ERROR (no node of supervisord's)")
    by_config: dict[Path, str] = {}
    for node, it in nodes.items():
        by_config.setdefault(_config(it, folder), node)
    if len(by_config) > 1:
        examples = ", ".join(sorted(by_config.values()))
        raise StateError(
            "nodes have different configurations; name one whose Kafka and user are "
            f"meant: swarm dlq --node NODE ..., such as {examples}"
        )
    return next(iter(by_config.values()))


def _config(node: Plain, folder: Path) -> Path:
    given = flags(str(node["command"]), ["config"])
    return works_in(node, folder) / given.get("config", DEFAULT_FILE)


def _program(
    node: Plain,
    folder: Path,
    environ: Mapping[str, str],
    uid: int | None,
    own_python: str,
) -> NodeProgram:
    works = works_in(node, folder)
    own_uid = node.get("uid")
    words = _words(str(node["command"]))
    return NodeProgram(
        python=_python(words, works, environ) or own_python,
        folder=works,
        config=_config(node, folder),
        environ=environ,
        uid=own_uid if isinstance(own_uid, int) else uid,
    )


def _words(command: str) -> Sequence[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        return ()
    return _words(words[2]) if len(words) == 3 and words[1] == "-c" else words


def _python(
    words: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> str | None:
    """Return the interpreter that a command begins with, or that its script names."""
    for word in words:
        if Path(word).name.startswith("python"):
            return word if "/" not in word else str(folder / word)
        if WORKER.search(word):
            found = which(str(folder / word) if "/" in word else word,
                          path=environ.get("PATH"))  # fmt: skip
            return _named_in(Path(found)) if found else None
    return None


def _named_in(script: Path) -> str | None:
    try:
        with script.open("rb") as file:
            head = file.read(_HEAD_BYTES).split(b"\n")[:2]
    except OSError:
        return None
    match = _PYTHON.search(b"\n".join(head) + b"\n")
    return os.fsdecode(match[0]) if match else None
