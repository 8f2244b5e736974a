"""Finds what is wrong with a swarm's configuration before it matters.

`check` decides; `examine` reads the files. What is found is told with the line to
change. supervisord is not asked: the files are what counts at its next start. Started
are the listener, asked for its version, and test(1), as the user of a state directory.
"""

from __future__ import annotations

import shlex
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from swarm_event_listener.config.config import read_settings
from swarm_event_listener.doctor import check_disk as doctor_disk
from swarm_event_listener.doctor import check_nodes as doctor_nodes
from swarm_event_listener.doctor import check_start as doctor_start
from swarm_event_listener.doctor import check_supervisord as doctor_supervisord
from swarm_event_listener.doctor import check_swarm as doctor_swarm
from swarm_event_listener.doctor.case import (
    Case,
    StateDir,
    put_together,
    toml_files,
    toml_of,
)
from swarm_event_listener.doctor.finding import (
    EXIT_ERRORS,
    Finding,
    Where,
    error,
    exit_code,
)
from swarm_event_listener.doctor.server_options import read_conf
from swarm_event_listener.doctor.supervisord_conf import LISTENER, Conf
from swarm_event_listener.storage.journal import JOURNAL, STATUS
from swarm_worker.shared.settings import ConfigError, Document, load, unset_variables

CHECKS: Final = (
    *doctor_supervisord.CHECKS,
    *doctor_nodes.CHECKS,
    *doctor_swarm.CHECKS,
    doctor_disk.check,
    doctor_start.check,
)


def check(case: Case) -> tuple[Finding, ...]:
    """Give all that the checks find, each once."""
    return tuple(dict.fromkeys(found for look in CHECKS for found in look(case)))


def examine(path: Path, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Read supervisord's configuration and those of its swarms; give the findings.

    Args:
        path: supervisord's main file.
        environ: Stands for the environment in which supervisord starts.
    """
    path = path.absolute()
    try:
        conf = read_conf(path, environ)
    except ConfigError as refusal:
        return (error(Where(path), "unreadable", why=str(refusal)),)
    documents, unreadable = _documents(toml_files(conf))
    case, unusable = put_together(
        conf,
        documents,
        environ,
        modes=_modes([*conf.files, *documents]),
        has_metrics_extra=find_spec("prometheus_client") is not None,
    )
    case = replace(
        case,
        hindrances=_hindrances(case, environ),
        claims={
            place: doctor_disk.claims_in(place.path, now_s=time.monotonic())
            for place in doctor_disk.state_dirs(case, environ)
            if place.section == "worker"
        },
        first_bytes=_first_bytes(case, environ),
    )
    unread = {finding.where.file for finding in unreadable}
    found = (
        *(*conf.findings, *unreadable, *unusable),
        *(finding for finding in check(case) if finding.where.file not in unread),
    )
    if exit_code(found) == EXIT_ERRORS:
        return found
    return (*found, *_refused_by_listener(conf, documents, environ))


def _documents(
    paths: Iterable[Path],
) -> tuple[dict[Path, Document], tuple[Finding, ...]]:
    documents, findings = {}, []
    for path in paths:
        try:
            documents[path] = load(path)
        except ConfigError as refusal:
            findings.append(error(Where(path), "unreadable", why=str(refusal)))
    return documents, tuple(findings)


def _modes(paths: Iterable[Path]) -> dict[Path, int]:
    """Give the permissions of files; a file that others cannot reach is not open."""
    return {path: _reachable_mode(path) for path in paths}


def _reachable_mode(path: Path) -> int:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        folders = [folder.stat().st_mode for folder in path.absolute().parents]
    except OSError:
        return 0
    is_reachable = all(folder & 0o001 for folder in folders)
    return mode if is_reachable else mode & ~0o007


def _hindrances(case: Case, environ: Mapping[str, str]) -> dict[StateDir, str]:
    """Look at the state directories."""
    looked_at = {
        place: doctor_disk.hindrance(place.path, place.uid, (JOURNAL, STATUS))
        for place in doctor_disk.state_dirs(case, environ)
    }
    return {place: why for place, why in looked_at.items() if why}


def _first_bytes(case: Case, environ: Mapping[str, str]) -> dict[str, bytes]:
    """Start the listeners' commands, asked for their version."""
    told = {
        pool.section.name: doctor_start.first_bytes(pool, case, environ)
        for pool in case.conf.listeners
    }
    return {name: said for name, said in told.items() if said}


def _refused_by_listener(
    conf: Conf,
    documents: Mapping[Path, Document],
    environ: Mapping[str, str],
) -> tuple[Finding, ...]:
    """Ask the listener's own reader, which may know of more than the checks."""
    for pool in conf.listeners:
        match = LISTENER.search(pool.options.command)
        document = documents.get(toml_of(pool, conf))
        known = {**environ, **pool.options.environment}
        if match is None or document is None:
            continue
        if unset_variables(document.table("listener"), known):
            continue  # only supervisord has them
        try:
            argv = shlex.split(pool.options.command[match.end() :].lstrip("\"'"))
            read_settings(argv, known, cwd=conf.folder_of(pool))
        except ConfigError as refusal:
            why = f"swarm-event-listener would exit 78: {refusal}"
            return (error(pool.section.where, "refused", why=why),)
        except (ValueError, SystemExit):
            continue  # a quotation without end, or --help
    return ()
