"""Secrets among the properties for Kafka."""

import logging

import pytest
from confluent_kafka import KafkaError

from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.redaction import is_secret, without_secrets

PROPERTIES = {
    "sasl.username": "orders",
    "sasl.password": "hush-hush",
    "ssl.key.password": "abc",
    "sasl.mechanism": "PLAIN",
}


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "ssl_key_pem",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.kerberos.kinit.cmd",
    ],
)
def test_what_is_secret(name: str) -> None:
    """All that librdkafka itself keeps out of its logs."""
    assert is_secret(name)


@pytest.mark.parametrize("name", ["bootstrap.servers", "sasl.mechanism", "group.id"])
def test_what_has_to_be_seen(name: str) -> None:
    """Names, addresses, limits."""
    assert not is_secret(name)


def test_texts_lose_secrets_and_nothing_else() -> None:
    """A value of three characters stands in any text by chance."""
    text = "orders: hush-hush is refused by PLAIN, abc"

    shown = without_secrets(text, PROPERTIES)

    assert shown == "orders: (hidden) is refused by PLAIN, abc"


def test_errors_of_the_library_are_logged_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever it puts into its texts."""
    caplog.set_level(logging.INFO)
    monitor = Monitor(
        "g",
        PROPERTIES,
        progress=Progress().add_consumer(),
        lanes=Lanes(node=0, max_messages=1, submit=lambda _: None),
        clock=lambda: 1000.0,
    )

    monitor.on_error(
        KafkaError(KafkaError._AUTHENTICATION, "cannot parse config at: hush-hush")
    )

    assert "cannot parse config at: (hidden)" in caplog.text
    assert "hush" not in caplog.text
