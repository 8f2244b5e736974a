"""Why a command cannot be obeyed; of Kafka's refusals, what to grant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from swarm_worker.admin.selection import PREFIX
from swarm_worker.shared.redaction import without_secrets

TOPIC: Final = KafkaError.TOPIC_AUTHORIZATION_FAILED
GROUP: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
CLUSTER: Final = KafkaError.CLUSTER_AUTHORIZATION_FAILED  # an idempotent producer's


class RefusedError(Exception):
    """What was asked for cannot be done; says what to do."""


def refusal(
    what: str,
    error: KafkaError | KafkaException,
    *,
    kafka: Mapping[str, Any],
    topic: str,
    to: str = "READ",
    group: str = "",
    trouble: str = "",
) -> RefusedError:
    """Return why something could not be done with Kafka.

    Args:
        what: What was tried.
        error: Kafka's answer.
        kafka: The properties; no secret of theirs is told.
        topic: What an ACL has to be about, if it is of topics.
        to: What it has to allow then.
        group: The same, of groups; READ.
        trouble: What the client has complained of meanwhile.
    """
    cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    remedies = {
        TOPIC: f"{to} on topic {topic}",
        CLUSTER: f"{to} on topic {topic} (and IDEMPOTENT_WRITE on the cluster, where "
        "that is older than Kafka 2.8)",
        GROUP: f"READ on group {group}, or on all with the prefix {PREFIX}",
    }
    text = without_secrets(cause.str(), kafka)
    user = kafka.get("sasl.username", "the user of [kafka]")
    code = cause.code()
    remedy = f"; grant {user} {remedies[code]}" if code in remedies else ""
    return RefusedError(f"cannot {what}: {text}{trouble and f' ({trouble})'}{remedy}")
