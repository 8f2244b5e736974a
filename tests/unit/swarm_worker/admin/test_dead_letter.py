"""What a dead letter tells of itself, and its message as it was in its origin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.admin.dead_letter import ADDED, REPLAYS, DeadLetter, Value, read
from swarm_worker.app.batch import message
from swarm_worker.kafka.dead_letters import headers_of
from swarm_worker.processing import failures

names = st.sampled_from(["trace", *ADDED])
values = st.none() | st.binary() | st.text()


def written(
    headers: list[tuple[str, Value]], error: Exception | None = None
) -> list[tuple[str, Value]]:
    """Return the headers with which a node writes a message to a dead-letter topic."""
    origin = message("v", topic="orders", partition=3, offset=77, headers=headers)
    given_up = failures.DeadLetter(
        message=origin, error=error or LookupError("no price"), attempts=4
    )
    return headers_of(given_up)


def letter(headers: list[tuple[str, Value]]) -> DeadLetter:
    """Return what is read of these headers."""
    found = read(headers)
    assert found is not None
    return found


def test_what_a_node_writes_is_read() -> None:
    """Origin, error, and nothing else."""
    assert letter(written([("trace", b"1")])) == DeadLetter(
        topic="orders",
        partition=3,
        offset=77,
        error="LookupError",
        text="no price",
        replays=0,
        headers=(("trace", b"1"),),
    )


@given(st.lists(st.tuples(names, values)))
def test_headers_go_back_as_they_were(headers: list[tuple[str, Value]]) -> None:
    """Whatever they were: without a value, twice, or those of an older dead letter."""
    back = letter(written(headers)).returned_headers

    assert back == [*headers, (REPLAYS, b"1")]


def test_each_replay_is_counted_once_in_one_header() -> None:
    """However often a message comes back."""
    headers: list[tuple[str, Value]] = [("trace", None)]
    for replays in range(3):
        found = letter(written(headers))
        assert found.replays == replays
        headers = found.returned_headers

    assert headers == [("trace", None), (REPLAYS, b"3")]


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"-1", b"x", "\u0661"])
def test_a_count_that_is_none_is_none(value: Value) -> None:
    """A header of that name may be another's."""
    assert letter(written([(REPLAYS, value)])).replays == 0


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        {"swarm.origin.topic": b"orders"},
        [("swarm.origin.topic", b"o"), ("swarm.origin.partition", b"1")],
        [
            ("swarm.origin.topic", b"o"),
            ("swarm.origin.partition", None),
            ("swarm.origin.offset", b"3"),
        ],
        [
            ("swarm.origin.topic", b""),
            ("swarm.origin.partition", b"1"),
            ("swarm.origin.offset", b"3"),
        ],
        [
            ("swarm.origin.topic", b"o"),
            ("swarm.origin.partition", b"first"),
            ("swarm.origin.offset", b"3"),
        ],
    ],
)
def test_a_message_without_an_origin_is_no_dead_letter(
    headers: list[tuple[str, Value]] | None,
) -> None:
    """Another producer wrote it."""
    assert read(headers) is None


def test_what_tells_no_error_is_a_dead_letter_all_the_same() -> None:
    """Its origin is all that it needs to go back."""
    found = letter(
        [
            ("swarm.origin.topic", "o"),
            ("swarm.origin.partition", "1"),
            ("swarm.origin.offset", "3"),
        ]
    )

    assert (found.error, found.text, found.origin) == ("", "", "o/1@3")
