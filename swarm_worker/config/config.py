"""The node's settings, from flags, environment and file to one frozen object.

Precedence: flag > file > default. Paths given as flags are relative to the working
directory, paths in the file to the file.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarm_worker.app.routing import Selection
from swarm_worker.config.arguments import parser
from swarm_worker.reporting.schedule import INTERVAL_LEAST_MS, Limits
from swarm_worker.shared.kafka_timeouts import kafka_ms, slips
from swarm_worker.shared.parsers import count
from swarm_worker.shared.report import MAX_POLL_INTERVAL_MS
from swarm_worker.shared.settings import (
    DEFAULT_FILE,
    REPORTS_PER_TIMEOUT,
    RULES,
    WORKER,
    ConfigError,
    PassingError,
    Worker,
    is_short_report_timeout,
    nearest,
    type_name,
)
from swarm_worker.shared.swarm_toml import Document, load

COMMIT_INTERVAL_MS: Final = 1_000  # bounds what a killed node repeats

# 1000 by librdkafka's default, which stalls a consumer that drains a backlog
# whenever its local queue is full (measured: 2.2 to 2.8 times slower).
FETCH_QUEUE_BACKOFF_MS: Final = 10

# 10 000 by librdkafka's default: after an outage some nodes would find a broker that
# much later than others, and look as if they alone had lost it.
RECONNECT_MAX_MS: Final = 2_000

_RESERVED: Final[Mapping[str, str]] = {
    "group.id": 'write @app.topic(..., group="name") in the app',
    "group.instance.id": "set [worker] static_membership and instance_prefix",
    "enable.auto.commit": "offsets are committed each second, after their handler; "
    "leave it out",
    "enable.auto.offset.store": "an offset is stored after its handler; leave it out",
}


_TIMES: Final = ("max.poll.interval.ms", "session.timeout.ms", "statistics.interval.ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(Worker):
    """All that a node is told, checked: ``[worker]``, what is beside it, and flags.

    Attributes:
        node: Node id, from 0.
        nodes: Number of nodes of the swarm.
        kafka: librdkafka properties as the user wrote them; none is reserved.
        instance_ids: By group, where the usual one belongs to another program's node.
        limits: At what ages the listener acts, as the file has it.
        selection: Topics and groups picked by flags.
    """

    node: int
    nodes: int
    kafka: Mapping[str, Any] = field(repr=False)  # there are secrets in it
    instance_ids: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    selection: Selection = field(default_factory=Selection)

    @property
    def max_poll_interval_ms(self) -> int:
        """As in ``kafka``, or librdkafka's default."""
        return kafka_ms(self.kafka, "max.poll.interval.ms", MAX_POLL_INTERVAL_MS)

    @property
    def max_wait_s(self) -> float:
        """Longest poll."""
        return self.max_wait_time / 1000

    @property
    def shutdown_timeout_s(self) -> float:
        """What a stopping node gives its handlers."""
        return self.shutdown_timeout / 1000

    @property
    def liveness_interval_s(self) -> float:
        """Between reports."""
        return self.liveness_interval / 1000


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
    worker |= {name: told for name in given if (told := getattr(flags, name))}
    worker["state_dir"] = Path(worker["state_dir"]).absolute()
    worker["instance_prefix"] = worker["instance_prefix"] or socket.gethostname()
    kafka = document.kafka(environ)
    _check_kafka(document.path, kafka)
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


def check_reserved(where: str, properties: Iterable[str]) -> None:
    """Refuse properties on which the guarantees of the node stand.

    Raises:
        ConfigError: Names ``where``, the property and what to do instead.
    """
    for name in properties:
        remedy = _RESERVED.get(name)
        if remedy is None and name.startswith("enable.auto."):
            remedy = _RESERVED["enable.auto.commit"]
        if remedy is not None:
            raise ConfigError(f"{where} {name} is set by the node itself: {remedy}")


def _check_kafka(path: Path, kafka: Mapping[str, Any]) -> None:
    check_reserved("[kafka]", kafka)
    servers = ("bootstrap.servers", "metadata.broker.list", "test.mock.num.brokers")
    if not any(kafka.get(name) for name in servers):
        meant = nearest("bootstrap.servers", kafka)
        # Without a slip of the pen the file may be one of which the end is missing.
        refusal = ConfigError if meant else PassingError
        raise refusal(
            f"[kafka] bootstrap.servers is missing in {path}{meant}; "
            'write "bootstrap.servers" = "HOST:PORT"'
        )
    for name in _TIMES:
        _check_ms(name, kafka.get(name, 0))
    if kafka_ms(kafka, "statistics.interval.ms", 1) == 0:
        raise ConfigError(
            "[kafka] statistics.interval.ms: 0 would blind the rule on frozen groups; "
            "leave it out, and turn the rule off by [listener] stability_ttl = false"
        )
    for slip in slips(kafka):
        if slip.is_refused:
            raise ConfigError(f"[kafka] {slip.why}; write {slip.line}")


def _check_ms(name: str, written: object) -> None:
    try:
        count(0)(written)
    except ValueError:  # its text has the value, which may be a misplaced secret
        raise ConfigError(
            f"[kafka] {name}: expected a whole number from 0, got {type_name(written)}"
        ) from None


def check_report_timeout(
    document: Document, settings: WorkerSettings, environ: Mapping[str, str]
) -> None:
    """Refuse a ``node_report_timeout`` that a few late reports would exceed.

    Raises:
        ConfigError: It is shorter than three liveness intervals, for all or a group.
    """
    key = "node_report_timeout"
    groups = document.table("listener.group")
    for section in ("listener", *(f"listener.group.{name}" for name in groups)):
        told = document.section(section, RULES, environ, only=[key])
        # A group without a value of its own has the listener's.
        default = RULES[key].default if section == "listener" else None
        timeout_ms = told.get(key, default)
        if is_short_report_timeout(timeout_ms, settings.liveness_interval):
            least_ms = REPORTS_PER_TIMEOUT * settings.liveness_interval
            raise ConfigError(
                f"[{section}] {key}: expected at least {least_ms} ms, "
                f"three times liveness_interval, got {timeout_ms}; "
                "raise it or lower [worker] liveness_interval"
            )


# --- what Kafka is told ---------------------------------------------------------------


def instance_id(settings: WorkerSettings, group: str) -> str:
    """Return the node's usual id: stable over restarts, unique over machines."""
    return f"{settings.instance_prefix}-{group}-{settings.node}"


def consumer_properties(settings: WorkerSettings, group: str) -> dict[str, Any]:
    """Return the properties of a group's consumer: ours, under what the user set.

    Statistics come as often as reports, so that each report has fresh figures and the
    rule on frozen groups is never silently off.
    """
    name = settings.instance_ids.get(group) or instance_id(settings, group)
    properties: dict[str, Any] = {
        "client.id": name,
        "statistics.interval.ms": settings.liveness_interval,
        "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        # Neither jump over data nor read it again unless the user says which.
        "auto.offset.reset": "error",
        "auto.commit.interval.ms": COMMIT_INTERVAL_MS,
        **settings.kafka,
        "group.id": group,
        "enable.auto.commit": True,
        "enable.auto.offset.store": False,
    }
    if settings.static_membership:
        properties["group.instance.id"] = name
    return properties
