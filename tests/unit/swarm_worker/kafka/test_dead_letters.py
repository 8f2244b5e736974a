"""Dead letters: what is in one."""

from collections.abc import Mapping

import pytest

from swarm_worker.app.batch import message
from swarm_worker.kafka.dead_letters import (
    ERROR_TEXT_MAX,
    headers_of,
    producer_properties,
)
from swarm_worker.processing.lane import Letter

ORIGIN = message(
    b"v", key=b"k", topic="orders", partition=3, offset=77, timestamp_ms=1_700_000
)


class Unprintable(Exception):  # noqa: N818 - a user's
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


def added(error: BaseException) -> Mapping[str, bytes | str | None]:
    """The headers that are added, by name."""
    return dict(headers_of(Letter(message=ORIGIN, error=error, attempts=4)))


def test_letter_tells_origin_error_and_attempts() -> None:
    """All as text."""
    assert added(LookupError("no such account: \u20ac")) == {
        "swarm.origin.topic": b"orders",
        "swarm.origin.partition": b"3",
        "swarm.origin.offset": b"77",
        "swarm.origin.timestamp": b"1700000",
        "swarm.error.type": b"LookupError",
        "swarm.error.text": "no such account: \u20ac".encode(),
        "swarm.attempts": b"4",
    }


def test_original_headers_come_first_and_untouched() -> None:
    """Also those that occur twice, have no value, or bear our names."""
    mine: list[tuple[str, bytes | str | None]] = [
        ("a", b"\xff"), ("a", None), ("swarm.attempts", b"of an earlier letter"),
    ]  # fmt: skip
    letter = Letter(message=message("v", headers=mine), error=OSError(), attempts=1)

    assert headers_of(letter)[:3] == mine
    assert len(headers_of(letter)) == 3 + 7


@pytest.mark.parametrize("text", ["x" * 5000, "\ud800 lone surrogate"])
def test_error_text_is_bounded_and_always_utf8(text: str) -> None:
    """Whatever the handler raised."""
    written = added(ValueError(text))["swarm.error.text"]

    assert isinstance(written, bytes)
    assert len(written.decode()) <= ERROR_TEXT_MAX + 10


def test_error_without_text_is_named() -> None:
    """A broken __str__ of the user's must not end the poll thread."""
    headers = added(Unprintable())

    assert headers["swarm.error.type"] == f"{__name__}.Unprintable".encode()
    assert headers["swarm.error.text"] == b"(its text cannot be had: RuntimeError)"


def test_producer_shares_the_cluster_not_the_consuming() -> None:
    """Servers and security, and no property that a producer would complain about."""
    shared = {"bootstrap.servers": "b:1", "sasl.password": "p", "ssl.ca.location": "c"}
    consumer = {
        **shared,
        "group.id": "g",
        "session.timeout.ms": 1,
        "fetch.min.bytes": 2,
    }
    made = producer_properties(consumer)

    assert made.items() >= shared.items()
    assert made["enable.idempotence"] is True
    assert not {"group.id", "session.timeout.ms", "check.crcs"} & set(made)
