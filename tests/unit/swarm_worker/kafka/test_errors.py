"""Kafka's errors, told once each."""

import logging

import pytest
from confluent_kafka import KafkaError

from swarm_worker.kafka.errors import (
    Kind,
    Troubles,
    advice,
    kind_of,
    library_logger,
    no_offset,
)

logger = logging.getLogger("tests.troubles")

HELD = "Broker: The instance ID is still used by another member in the consumer group"
FENCED = "Broker: Static consumer fenced by other consumer with same group.instance.id"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, from INFO on."""
    caplog.set_level(logging.INFO, logger=logger.name)
    return caplog


def test_trouble_is_told_once_and_once_when_it_is_over(
    log: pytest.LogCaptureFixture,
) -> None:
    """Not with each retry, whatever its text; the next one is told again."""
    troubles = Troubles("g", logger)
    for number in range(5):
        troubles.begin(Kind.BROKERS, f"attempt {number}")
    assert log.messages == ["kafka_trouble group=g about=brokers detail='attempt 0'"]
    troubles.end(Kind.BROKERS)
    troubles.end(Kind.BROKERS)
    assert len(log.messages) == 2
    assert log.messages[1].startswith("kafka_trouble_over group=g about=brokers")
    troubles.begin(Kind.BROKERS, "again")

    assert len(log.messages) == 3


def test_trouble_that_gets_worse_is_told_again(log: pytest.LogCaptureFixture) -> None:
    """An operator must act who need not before."""
    troubles = Troubles("g", logger)
    troubles.begin(Kind.HELD_ID, "waiting")
    troubles.begin(Kind.HELD_ID, "too long", level=logging.ERROR)
    troubles.begin(Kind.HELD_ID, "too long", level=logging.ERROR)

    assert [r.levelname for r in log.records] == ["WARNING", "ERROR"]


def test_troubles_have_subjects() -> None:
    """Each topic and partition on its own."""
    troubles = Troubles("g", logger)
    troubles.begin(Kind.TOPIC, "missing", subject="t")
    troubles.begin(Kind.TOPIC, "missing", subject="u")
    troubles.end(Kind.TOPIC, having="t".__eq__)

    assert troubles.subjects(Kind.TOPIC) == ("u",)
    assert troubles.has(Kind.GROUP, Kind.TOPIC)
    assert not troubles.has(Kind.GROUP)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (KafkaError._FATAL, f"Fatal error: {HELD}: x", Kind.HELD_ID),
        (KafkaError._FATAL, f"Fatal error: {FENCED}: x", Kind.FATAL),
        (KafkaError._TRANSPORT, "Connection refused", Kind.CONNECTION),
        (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down", Kind.BROKERS),
        (KafkaError._AUTHENTICATION, "Invalid password", Kind.CREDENTIALS),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "Unknown topic", Kind.TOPIC),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "Denied", Kind.GROUP),
        (KafkaError._AUTO_OFFSET_RESET, "Out of range", Kind.OFFSET),
        (KafkaError._PARTITION_EOF, "EOF", Kind.NOTHING),
        (KafkaError._MAX_POLL_EXCEEDED, "Too late", Kind.OTHER),
    ],
)
def test_kinds(code: int, text: str, kind: Kind) -> None:
    """A fatal error's own code is in its text only: librdkafka delivers _FATAL."""
    assert kind_of(KafkaError(code, text)) is kind


def test_fatal_by_its_flag() -> None:
    """Where the error callback brings the real code."""
    held = KafkaError(KafkaError.UNRELEASED_INSTANCE_ID, HELD, fatal=True)
    fenced = KafkaError(KafkaError.FENCED_INSTANCE_ID, FENCED, fatal=True)

    assert (kind_of(held), kind_of(fenced)) == (Kind.HELD_ID, Kind.FATAL)


def test_missing_offset_says_what_to_do() -> None:
    """Never committed and gone are told apart; the partition is named."""
    never = KafkaError(
        KafkaError._AUTO_OFFSET_RESET,
        "no previously committed offset available: Local: No offset stored",
    )
    gone = KafkaError(KafkaError._AUTO_OFFSET_RESET, "Broker: Offset out of range")

    assert "t/3: the group has no committed offset" in no_offset(
        never, topic="t", partition=3, offset=0
    )
    text = no_offset(gone, topic="t", partition=3, offset=100)
    assert "t/3: offset 100 is not on the broker" in text
    assert "auto.offset.reset" in text
    assert "--reset-offsets" in text


def test_advice_names_the_setting() -> None:
    """Where there is one."""
    refused = KafkaError(KafkaError._AUTHENTICATION, "Invalid password")

    assert "sasl" in advice(Kind.CREDENTIALS, refused)
    assert advice(Kind.OTHER, refused) == "Invalid password"
    down = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
    told = advice(Kind.BROKERS, down, connection="b:9092: refused")
    assert told.startswith("1/1 brokers are down (b:9092: refused); going on")
    assert "bootstrap.servers" in told


def test_attempts_to_connect_are_kept_from_the_log() -> None:
    """librdkafka logs each; an offset that was reset is told."""

    def is_logged(facility: str) -> bool:
        record = logger.makeRecord(
            "x", logging.ERROR, "f", 1, "%s [%s] %s", (facility, "c", "text"), None
        )
        return bool(library_logger.filter(record))

    assert not is_logged("FAIL")
    assert is_logged("OFFSET")
    assert is_logged("CONFWARN")
