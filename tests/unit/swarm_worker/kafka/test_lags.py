"""How far behind partitions are, and which of them a hanging transaction holds up."""

from typing import Any

from swarm_worker.kafka.monitoring.lags import End, Held, StableOffsets, lags
from swarm_worker.kafka.monitoring.statistics import Figures, read
from tests.unit.swarm_worker.kafka.test_statistics import KEY, figures

NOW_S = 1000.0


def held(done: int = 12, **changed: Any) -> Held:
    """Return a partition at a handler, of which all is done up to an offset."""
    return Held(done=done, **{"is_idle": False, "is_fetched": True, **changed})


def lag(told: Figures, partition: Held, *, end: int | None = 30) -> int | None:
    """Return the lag of a partition."""
    ends = {} if end is None else {KEY: End(end, NOW_S)}
    (found,) = lags(told, {KEY: partition}, ends, {})
    assert found.end_at_s == (None if found.lag is None else NOW_S)
    return found.lag


def test_lag_counts_from_what_is_done() -> None:
    """What waits in the node is behind; the committed offset stands in at first."""
    assert lag(figures(), held(12)) == 18
    assert lag(figures(committed=10), held(-1)) == 20
    assert lag(figures(), held(12), end=None) is None
    assert lag(figures(committed=-1001), held(-1)) is None
    assert lags(figures(), {}, {KEY: End(30, NOW_S)}, {}) == ()


def test_lag_of_a_partition_that_the_client_does_not_tell_of() -> None:
    """It was assigned just now: what is done is known, or nothing is."""
    assert lag(read("{}"), held(12)) == 18
    assert lag(read("{}"), held(-1)) is None


def test_control_messages_at_the_end_are_no_lag() -> None:
    """The end of a transaction takes an offset that no message has."""
    caught_up = figures(next_offset=13, ls=13)

    assert lag(caught_up, held(12, is_idle=True), end=13) == 0
    assert lag(caught_up, held(12), end=13) == 1


def test_what_an_open_transaction_holds_up_is_lag() -> None:
    """A client with nothing to read is behind all the same."""
    assert lag(figures(next_offset=13, ls=13), held(12, is_idle=True), end=19) == 6


def test_the_oldest_message_of_a_partition_that_is_not_behind_is_none() -> None:
    """What is at a handler may be done in the statistics' eyes, and not in ours."""
    ends = {KEY: End(30, NOW_S)}
    (behind,) = lags(figures(), {KEY: held(12, oldest_at_ms=77)}, ends, {})
    (done,) = lags(figures(), {KEY: held(30, oldest_at_ms=77)}, ends, {})

    assert (behind.oldest_at_ms, done.oldest_at_ms) == (77, None)


# --- transactions that hang -----------------------------------------------------------

OPEN = figures(next_offset=10, ls=10, hi=15)
HELD = {KEY: held()}


def test_a_stable_offset_that_stays_behind_is_told_after_a_minute() -> None:
    """Since when it stood; more messages behind it change nothing."""
    stable = StableOffsets()
    assert stable.update(OPEN, HELD, now_s=NOW_S) == {}
    assert stable.update(figures(ls=10, hi=99), HELD, now_s=NOW_S + 60.0) == {}
    assert stable.update(OPEN, HELD, now_s=NOW_S + 60.1) == {KEY: NOW_S}
    assert stable.update(figures(ls=15, hi=15), HELD, now_s=NOW_S + 65.0) == {}
    assert stable.update(OPEN, HELD, now_s=NOW_S + 130.0) == {}


def test_transactions_that_come_and_go_do_not_hang() -> None:
    """There is an open one at each moment, and the offset moves."""
    stable = StableOffsets()
    for n in range(30):
        told = figures(ls=10 + n, hi=20 + n)
        assert stable.update(told, HELD, now_s=NOW_S + 5 * n) == {}


def test_a_partition_that_is_paused_has_old_figures() -> None:
    """It is not told of, nor by the first ones after; its time goes on if it stands."""
    stable, paused = StableOffsets(), {KEY: held(is_fetched=False)}
    assert stable.update(OPEN, paused, now_s=NOW_S) == {}
    stable.update(OPEN, HELD, now_s=NOW_S + 5.0)
    assert stable.update(OPEN, paused, now_s=NOW_S + 90.0) == {}
    assert stable.update(OPEN, HELD, now_s=NOW_S + 95.0) == {}
    assert stable.update(OPEN, HELD, now_s=NOW_S + 100.0) == {KEY: NOW_S + 5.0}


def test_a_partition_that_is_no_longer_held_is_forgotten() -> None:
    """Who has it tells of it."""
    stable = StableOffsets()
    stable.update(OPEN, HELD, now_s=NOW_S)
    stable.update(OPEN, {}, now_s=NOW_S + 5.0)
    assert stable.update(OPEN, HELD, now_s=NOW_S + 90.0) == {}
