"""``[kafka]``: what may stand there, and what becomes of it for a consumer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.shared.kafka_timeouts import kafka_ms, slips
from swarm_worker.shared.parsers import count
from swarm_worker.shared.settings import ConfigError, PassingError, nearest, type_name

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


# --- what may stand there -------------------------------------------------------------


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


def check_kafka(path: Path, kafka: Mapping[str, Any]) -> None:
    """Refuse a ``[kafka]`` with which no node can work.

    Raises:
        PassingError: The brokers are missing, as in a file that is half written.
        ConfigError: A property cannot be used; says what to write.
    """
    check_reserved("[kafka]", kafka)
    servers = ("bootstrap.servers", "metadata.broker.list", "test.mock.num.brokers")
    if not any(kafka.get(name) for name in servers):
        meant = nearest("bootstrap.servers", kafka)
        # Where no key is misspelt, the file may be cut: the next start may read all.
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
