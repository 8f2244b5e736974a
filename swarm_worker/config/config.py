"""The node's settings, from flags, environment and file to one frozen object.

Precedence: flag > file > default. Paths given as flags are relative to the working
directory, paths in the file to the file.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarm_worker.app.routing import Selection
from swarm_worker.config.arguments import parser
from swarm_worker.config.kafka_properties import check_kafka
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.reporting.schedule import INTERVAL_LEAST_MS, Limits
from swarm_worker.shared.kafka_timeouts import kafka_ms
from swarm_worker.shared.report import MAX_POLL_INTERVAL_MS
from swarm_worker.shared.settings import (
    DEFAULT_FILE,
    REPORTS_PER_TIMEOUT,
    RULES,
    WORKER,
    ConfigError,
    PassingError,
    is_short_report_timeout,
)
from swarm_worker.shared.swarm_toml import Document, load


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What one start of ``swarm-worker`` asks for.

    Attributes:
        app: ``module:attribute``.
        check_only: Tell whether it could run, and do not.
        every_node: No node id was given: a check is about all of them.
        document: The configuration file.
        settings: The settings in force.
    """

    app: str
    check_only: bool
    every_node: bool
    document: Document
    settings: WorkerSettings


def read(argv: Sequence[str], environ: Mapping[str, str]) -> Invocation:
    """Read flags, file and environment.

    Raises:
        ConfigError: Something is missing or cannot be used.
        SystemExit: ``--help`` was asked for, and printed.
    """
    flags = parser().parse_args(list(argv))
    document = load(_file(flags.config))
    return Invocation(
        app=flags.app,
        check_only=flags.check,
        every_node=flags.node is None,
        document=document,
        settings=_settings(flags, document, environ),
    )


def _file(flag: str | None) -> Path:
    if flag is not None:
        return Path(flag)
    if not Path(DEFAULT_FILE).exists():
        raise PassingError(
            f"no --config given and no {DEFAULT_FILE} in {Path.cwd()}; name the file "
            "with --config FILE (echo_swarm_conf prints a sample)"
        )
    return Path(DEFAULT_FILE)


# --- settings -------------------------------------------------------------------------


def _settings(
    flags: argparse.Namespace, document: Document, environ: Mapping[str, str]
) -> WorkerSettings:
    worker = document.defaults(WORKER) | document.section("worker", WORKER, environ)
    given = ("state_dir", "log_level", "log_format")
    worker |= {name: value for name in given if (value := getattr(flags, name))}
    worker["state_dir"] = Path(worker["state_dir"]).absolute()
    worker["instance_prefix"] = worker["instance_prefix"] or socket.gethostname()
    kafka = document.kafka(environ)
    check_kafka(document.path, kafka)
    settings = WorkerSettings(
        **worker,
        node=flags.node or 0,
        nodes=flags.nodes or 1,
        kafka=kafka,
        limits=_limits(document, environ, kafka),
        selection=Selection(
            include_topics=frozenset(flags.include_topics),
            exclude_topics=frozenset(flags.exclude_topics),
            include_groups=frozenset(flags.include_groups),
            exclude_groups=frozenset(flags.exclude_groups),
        ),
    )
    _check_times(settings)
    return settings


def _limits(
    document: Document, environ: Mapping[str, str], kafka: Mapping[str, Any]
) -> Limits:
    """Return the limits that the listener reads from the same file.

    A value that cannot be read is the listener's to refuse; its flags are not known
    here. Either way the node's regular reports are judged by what holds.
    """
    max_poll_ms = kafka_ms(kafka, "max.poll.interval.ms", MAX_POLL_INTERVAL_MS)
    of_node_ms = {
        "polling_ttl": max_poll_ms,
        "consuming_ttl": max_poll_ms,
        "stability_ttl": 2 * max_poll_ms,
    }
    group = environ.get("SUPERVISOR_GROUP_NAME", "")
    try:
        rules = document.rules(group, environ, only=of_node_ms)
    except ConfigError:
        rules = document.defaults(RULES)
    polling_ms, consuming_ms, stability_ms = (
        own_ms if rules[key] == "node" else rules[key]
        for key, own_ms in of_node_ms.items()
    )
    return Limits(
        polling_ms=polling_ms, consuming_ms=consuming_ms, stability_ms=stability_ms
    )


def _check_times(settings: WorkerSettings) -> None:
    if settings.liveness_interval < INTERVAL_LEAST_MS:
        raise ConfigError(
            f"[worker] liveness_interval: expected at least {INTERVAL_LEAST_MS} ms, "
            f"got {settings.liveness_interval}; supervisord pays for each report"
        )
    if not 0 < settings.max_wait_time < settings.max_poll_interval_ms:
        raise ConfigError(
            "[worker] max_wait_time: expected more than 0 ms and less than "
            f"max.poll.interval.ms ({settings.max_poll_interval_ms}), "
            f"got {settings.max_wait_time}"
        )


def check_report_timeout(
    document: Document, settings: WorkerSettings, environ: Mapping[str, str]
) -> None:
    """Refuse a ``node_report_timeout`` that a few late reports would exceed.

    Of all, or of a group: one that is shorter than three liveness intervals.
    """
    key = "node_report_timeout"
    groups = document.table("listener.group")
    for section in ("listener", *(f"listener.group.{name}" for name in groups)):
        rules = document.section(section, RULES, environ, only=[key])
        # A group without a value of its own has the listener's.
        default = RULES[key].default if section == "listener" else None
        timeout_ms = rules.get(key, default)
        if is_short_report_timeout(timeout_ms, settings.liveness_interval):
            least_ms = REPORTS_PER_TIMEOUT * settings.liveness_interval
            raise ConfigError(
                f"[{section}] {key}: expected at least {least_ms} ms, "
                f"three times liveness_interval, got {timeout_ms}; "
                "raise it or lower [worker] liveness_interval"
            )
