"""Finds what is wrong with a swarm's configuration before it matters.

A finding has the line to change. supervisord is not asked: the files are what counts at
its next start. The doctor starts the listener's command, for its version, and test(1),
as the user of a state directory.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
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
from swarm_event_listener.doctor.supervisord_conf import LISTENER
from swarm_worker.shared.settings import ConfigError
from swarm_worker.shared.swarm_toml import load, unset_variables

CHECKS: Final = (
    *check_supervisord.CHECKS,
    *check_nodes.CHECKS,
    *check_swarm.CHECKS,
    check_disk.check,
    check_start.check,
)


def examine(path: Path, environ: Mapping[str, str]) -> tuple[Finding, ...]:
    """Read supervisord's main file and those of its swarms; return the findings.

    ``environ`` stands for the environment in which supervisord starts.
    """
    path = path.absolute()
    try:
        conf = read_conf(path, environ)
    except ConfigError as refusal:
        return (error(Where(path), "unreadable", why=str(refusal)),)
    documents, unreadable = {}, []
    for toml in toml_files(conf):
        try:
            documents[toml] = load(toml)
        except ConfigError as refusal:
            unreadable.append(error(Where(toml), "unreadable", why=str(refusal)))
    case, unusable = put_together(conf, documents, environ)
    # Of a file that cannot be read the checks would judge the defaults.
    unread = {finding.where.file for finding in unreadable}
    checked = dict.fromkeys(it for check in CHECKS for it in check(case))
    found = (
        *(*conf.findings, *unreadable, *unusable),
        *(it for it in checked if it.where.file not in unread),
    )
    if exit_code(found) == EXIT_ERRORS:
        return found
    return (*found, *_refused_by_listener(case))


def _refused_by_listener(case: Case) -> tuple[Finding, ...]:
    """Ask the listener's own reader, which may know of more than the checks."""
    for pool in case.conf.listeners:
        match = LISTENER.search(pool.options.command)
        document = case.documents.get(toml_of(pool, case.conf))
        known = {**case.environ, **pool.options.environment}
        if match is None or document is None:
            continue
        if unset_variables(document.table("listener"), known):
            continue  # only supervisord has them
        try:
            argv = shlex.split(pool.options.command[match.end() :].lstrip("\"'"))
            read_settings(argv, known, cwd=case.conf.folder_of(pool))
        except ConfigError as refusal:
            why = f"swarm-event-listener would exit 78: {refusal}"
            return (error(pool.section.where, "refused", why=why),)
        except (ValueError, SystemExit):
            continue  # a quotation without end, or --help
    return ()
