"""Which dead letters a replay takes, and which are done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.admin.dead_letter import DeadLetter
from swarm_worker.admin.selection import Fate, Filter, Progress, filter_of

TOPIC = "orders.dlq"
texts = st.text(st.characters(codec="utf-8"), max_size=20)
filters = st.builds(
    Filter,
    to=texts,
    error=texts,
    partition=st.none() | st.integers(0, 99),
    attempts=st.integers(1, 9),
)


def letter(
    *,
    topic: str = "orders",
    partition: int = 3,
    error: str = "billing.errors.NoPrice",
    replays: int = 0,
) -> DeadLetter:
    """Return a dead letter, but for what is given."""
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=77,
        error=error,
        text="no price",
        replays=replays,
        headers=(),
    )


@pytest.mark.parametrize(
    ("of", "fate"),
    [
        (Filter(), Fate.REPLAY),
        (Filter(to="orders"), Fate.REPLAY),
        (Filter(to="orders=other"), Fate.REPLAY),
        (Filter(to="refunds"), Fate.FILTER),
        (Filter(to="other=orders"), Fate.FILTER),
        (Filter(error="billing.errors.NoPrice"), Fate.REPLAY),
        (Filter(error="NoPrice"), Fate.REPLAY),
        (Filter(error="Price"), Fate.FILTER),
        (Filter(error="ValueError"), Fate.FILTER),
        (Filter(partition=3), Fate.REPLAY),
        (Filter(partition=0), Fate.FILTER),
        (Filter(attempts=1), Fate.REPLAY),
    ],
)
def test_a_filter_takes_what_it_names(of: Filter, fate: Fate) -> None:
    """Origin, type of error, partition of the origin."""
    assert Progress({}).fate(letter(), 0, 5, of=of) is fate


def test_what_came_back_too_often_stays() -> None:
    """Three times by default; not what a filter leaves out anyway."""
    often = letter(replays=3)

    assert Progress({}).fate(letter(replays=2), 0, 5, of=Filter()) is Fate.REPLAY
    assert Progress({}).fate(often, 0, 5, of=Filter()) is Fate.ATTEMPTS
    assert Progress({}).fate(often, 0, 5, of=Filter(attempts=4)) is Fate.REPLAY
    assert Progress({}).fate(often, 0, 5, of=Filter(error="X")) is Fate.FILTER


def test_no_dead_letter_is_foreign() -> None:
    """Whatever the filter."""
    assert Progress({}).fate(None, 0, 5, of=Filter(error="X")) is Fate.FOREIGN


def test_what_another_filter_has_replayed_is_done() -> None:
    """Where that has come past it, and takes such; else it is to be replayed."""
    progress = Progress({Filter(error="NoPrice"): {0: 5, 1: 100}})

    assert progress.fate(letter(), 0, 4, of=Filter()) is Fate.DONE
    assert progress.fate(letter(), 0, 5, of=Filter()) is Fate.REPLAY
    assert progress.fate(letter(), 2, 0, of=Filter()) is Fate.REPLAY
    assert progress.fate(letter(error="E"), 1, 9, of=Filter()) is Fate.REPLAY


def test_what_stayed_is_not_done_until_more_attempts_are_given() -> None:
    """A replay goes past what came back too often, and does not send it."""
    often = letter(replays=3)
    past = Progress({Filter(): {0: 100}})
    sent = Progress({Filter(): {0: 100}, Filter(attempts=5): {0: 100}})

    assert past.fate(often, 0, 5, of=Filter(attempts=5)) is Fate.REPLAY
    assert sent.fate(often, 0, 5, of=Filter()) is Fate.DONE


def test_it_goes_to_its_origin_unless_another_topic_is_named() -> None:
    """By ``ORIGIN=TOPIC``."""
    assert Filter().target(letter()) == "orders"
    assert Filter(to="orders").target(letter()) == "orders"
    assert Filter(to="orders=other").target(letter()) == "other"


def test_a_group_tells_topic_and_filter() -> None:
    """So an operator can read it, and an ACL can name its prefix."""
    told = Filter(to="orders", error="NoPrice", partition=3, attempts=5)

    assert Filter().group(TOPIC) == "swarm-dlq.orders.dlq"
    assert told.group(TOPIC) == (
        "swarm-dlq.orders.dlq?attempts=5&error=NoPrice&from-partition=3&to=orders"
    )


@given(filters)
def test_a_group_is_read_back(of: Filter) -> None:
    """Or else what it has done would be done again by another."""
    assert filter_of(of.group(TOPIC), TOPIC) == of


@given(filters, filters)
def test_no_two_filters_share_a_group(one: Filter, other: Filter) -> None:
    """Or the one would pass over what the other left out."""
    assert (one.group(TOPIC) == other.group(TOPIC)) == (one == other)


@pytest.mark.parametrize(
    "group",
    [
        "billing",
        "swarm-dlq.orders",
        "swarm-dlq.orders.dlq.dlq",
        "swarm-dlq.orders.dlq?attempts=x",
        "swarm-dlq.orders.dlq?later=1",
        "swarm-dlq.orders.dlq?from-partition=03",
    ],
)
def test_other_groups_tell_nothing(group: str) -> None:
    """Those of other topics, of later versions, and consumers'."""
    assert filter_of(group, TOPIC) is None
