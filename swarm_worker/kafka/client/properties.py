"""The properties of a group's clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from swarm_worker.app.routing import GroupPlan
from swarm_worker.config.kafka_properties import check_reserved, consumer_properties
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.processing.commits import COMMIT_WITHIN_S
from swarm_worker.shared.settings import ConfigError

# An offset is stored up to a poll after its handler returned, and its commit is seen up
# to a poll after Kafka has answered. The rest of the interval is for these delays: so
# uncommitted work of a lane that works steadily never gets as old as the interval.
COMMIT_SHARE: Final = 0.6

# librdkafka takes their values in any case and with blanks around; we compare them.
_COMPARED: Final = ("group.protocol", "isolation.level")

# librdkafka writes client.id as it is into the statistics' JSON, cut at 128 bytes with
# what it appends; half a character at the end crashes confluent-kafka (2.16, tried).
CLIENT_ID_MAX_BYTES: Final = 100

# What another client of the same cluster shares with a consumer; the rest is about
# consuming.
_CONNECTION: Final = (
    "bootstrap.servers", "metadata.broker.list", "broker.address", "client.",
    "security.", "sasl.", "ssl.", "enable.ssl", "enable.sasl", "https.",
    "oauth_cb", "socket.", "reconnect.", "api.version", "log_level", "debug",
    "test.mock",
)  # fmt: skip


def properties_for(plan: GroupPlan, settings: WorkerSettings) -> dict[str, Any]:
    """Return the properties of a group's consumer, with what the app's hooks add.

    Raises:
        ConfigError: A hook sets what the node itself sets, or ``client.id`` is one that
            librdkafka cannot write in its statistics.
    """
    properties = consumer_properties(settings, plan.group)
    for hook in plan.configure_consumer:
        extra = hook()
        check_reserved("app.configure_consumer", extra)
        properties |= extra
    for name in _COMPARED:
        if name in properties:
            properties[name] = str(properties[name]).strip().lower()
    properties["enable.partition.eof"] = True  # `Commits.rest` goes by it
    _check_client_id(str(properties["client.id"]))
    return properties


def connection_of(consumer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a consumer by which it reaches its cluster."""
    return {k: v for k, v in consumer.items() if k.startswith(_CONNECTION)}


def _check_client_id(name: str) -> None:
    is_plain = name.isprintable() and not {'"', "\\"} & set(name)
    if not is_plain or (
        not name.isascii() and len(name.encode()) > CLIENT_ID_MAX_BYTES
    ):
        raise ConfigError(
            f"[kafka] client.id: expected a text without quotation mark, backslash and "
            f"control characters, of {CLIENT_ID_MAX_BYTES} bytes at most where it is "
            f"not ASCII, got {name!r}; by default it is made of [worker] "
            "instance_prefix, the group and the node: the group may stay as it is, "
            'write "client.id" = "NAME"'
        )


def commit_early(properties: dict[str, Any]) -> float:
    """Set a group's commits well within their interval; return that, in seconds.

    It is a second at least: what the guarantee promises.
    """
    interval_ms = int(properties["auto.commit.interval.ms"])
    properties["auto.commit.interval.ms"] = max(1, round(COMMIT_SHARE * interval_ms))
    return max(COMMIT_WITHIN_S, interval_ms / 1000)


def with_callbacks(
    properties: Mapping[str, Any], ours: Mapping[str, Callable[..., None]]
) -> dict[str, Any]:
    """Add callbacks to the properties; one that an app has brought is called after."""
    return {
        **properties,
        **{name: _both(own, properties.get(name)) for name, own in ours.items()},
    }


def _both(
    own: Callable[..., None], brought: Callable[..., None] | None
) -> Callable[..., None]:
    if brought is None:
        return own

    def call_both(*facts: object) -> None:
        own(*facts)
        brought(*facts)

    return call_both
