"""Finds what is wrong with a swarm's configuration before it matters.

`check` decides; `examine` reads the files. A finding has the line to
change. supervisord is not asked: the files are what counts at its next start. It
starts the listener's command, for its version, and test(1), as the user of a state
directory.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from swarm_event_listener.config.config import read_settings
from swarm_event_listener.doctor import (
    check_disk,
    check_nodes,
    check_start,
    check_supervisord,
    check_swarm,
)
from swarm_event_listener.doctor.case import Case, put_together, toml_files, toml_of
from swarm_event_listener.doctor.finding import (
    EXIT_ERRORS,
    Finding,
    Where,
    error,
    exit_code,
)
from swarm_event_listener.doctor.server_options import read_conf
from swarm_event_listener.doctor.supervisord_conf import LISTENER, Conf
from swarm_worker.shared.settings import ConfigError
from swarm_worker.shared.swarm_toml import Document, load, unset_variables

CHECKS: Final = (
    *check_supervisord.CHECKS,
    *check_nodes.CHECKS,
    *check_swarm.CHECKS,
    check_disk.check,
    check_start.check,
)


def check(case: Case) -> tuple[Finding, ...]:
    """Return all that the checks find, each once."""
    return tuple(dict.fromkeys(found for look in CHECKS for found in look(case)))


def examine(path: Path, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Read supervisord's configuration and those of its swarms; return the findings.

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
    case, unusable = put_together(conf, documents, environ)
    case = replace(
        case,
        open_files=frozenset(filter(_is_open, [*conf.files, *documents])),
        has_metrics_extra=find_spec("prometheus_client") is not None,
    )
    for look in (check_disk.observed, check_start.observed):
        case = look(case, environ)
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


def _is_open(path: Path) -> bool:
    """Whether everybody can read a file, by the directories above it, too."""
    try:
        folders = [folder.stat().st_mode for folder in path.absolute().parents]
        return all(mode & 0o001 for mode in folders) and bool(
            path.stat().st_mode & 0o004
        )
    except OSError:
        return False


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
