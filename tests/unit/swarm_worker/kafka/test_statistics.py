"""What librdkafka's statistics are read as."""

import json
from typing import Any

import pytest

from swarm_worker.kafka.monitoring.standstill import Stalls, Steadiness
from swarm_worker.kafka.monitoring.statistics import Figures, read

KEY = ("t", 0)
IDLE = [KEY]


def told(
    *,
    next_offset: int = 10,
    ls: int = 10,
    hi: int = 10,
    committed: int = 10,
    queued: int = 0,
    leader: int = 1,
    state: str = "active",
    unknown: bool = False,
    broker: str = "UP",
    boot: str = "INIT",
    join_state: str = "steady",
    coordinator: str = "up",
    rebalances: int = 1,
    silent_s: float = 0.1,
    owed: int = 0,
    source: str = "learned",
    throttled_ms: int = 0,
) -> str:
    """One emission, cut down to what is read."""
    partition: dict[str, Any] = {
        "partition": 0, "next_offset": next_offset, "ls_offset": ls, "hi_offset": hi,
        "committed_offset": committed, "fetchq_cnt": queued, "leader": leader,
        "fetch_state": state, "unknown": unknown,
    }  # fmt: skip
    return json.dumps(
        {
            "brokers": {
                "b/1": {
                    "name": "b/1", "nodeid": 1, "state": broker, "source": source,
                    "rxidle": int(silent_s * 1e6), "txidle": int(silent_s * 1e6) - 10,
                    "waitresp_cnt": owed, "throttle": {"max": throttled_ms, "cnt": 1},
                },
                "boot": {
                    "name": "boot", "nodeid": -1, "state": boot, "source": source,
                },
                "GroupCoordinator": {
                    "name": "c", "nodeid": 1, "state": "UP", "source": "logical",
                },
            },
            "topics": {
                "t": {
                    "topic": "t",
                    "partitions": {
                        "0": partition,
                        "-1": {**partition, "partition": -1},
                    },
                }
            },
            "cgrp": {
                "state": coordinator,
                "join_state": join_state,
                "rebalance_cnt": rebalances,
            },
        }
    )  # fmt: skip


def figures(**changed: Any) -> Figures:
    """The same, read."""
    return read(told(**changed))


def test_brokers_up_are_real_ones() -> None:
    """The coordinator's connection is to one that is counted already."""
    assert figures().brokers_up == 1
    assert figures(broker="CONNECT").brokers_up == 0


def test_coordinator_that_is_looked_for_does_not_answer() -> None:
    """Whatever brokers are there."""
    assert figures().has_coordinator
    assert not figures(coordinator="query-coord").has_coordinator


def test_end_is_the_last_stable_offset_by_default() -> None:
    """An open transaction is nothing to read, unless uncommitted data is wanted."""
    text = told(next_offset=10, ls=10, hi=15)

    assert not read(text).partitions[KEY].has_data
    assert read(text, reads_uncommitted=True).partitions[KEY].has_data


def test_unknown_offsets_are_none() -> None:
    """librdkafka writes -1001 for an offset that it does not know."""
    partition = figures(next_offset=-1001, ls=-1001, committed=-1001).partitions[KEY]

    assert partition.fetched_offset is partition.end_offset is None
    assert not partition.has_data
    assert set(figures().partitions) == {KEY}, "not the pseudo-partition -1"


def test_statistics_without_a_group() -> None:
    """A client may tell before it has one."""
    seen = read("{}")

    assert (seen.brokers_up, seen.join_state, seen.partitions) == (0, None, {})


def test_the_longest_time_that_an_answer_was_held_back_counts() -> None:
    """Of all brokers; one that tells nothing of it has not."""
    assert figures(throttled_ms=1_200).throttled_ms == 1_200
    assert figures().throttled_ms == read("{}").throttled_ms == 0


# --- stalls ---------------------------------------------------------------------------


def test_partition_that_has_data_and_does_not_move_is_stalled() -> None:
    """Since the first statistics that saw it so."""
    stalls, stuck = Stalls(), figures(next_offset=10, ls=20)

    assert stalls.update(stuck, IDLE, now_s=100.0) == {}
    assert stalls.update(stuck, IDLE, now_s=105.0) == {"t/0": 100.0}
    assert stalls.update(figures(next_offset=10, ls=25), IDLE, now_s=110.0) == {
        "t/0": 100.0
    }


def test_moving_partition_is_not_stalled() -> None:
    """However far behind it is."""
    stalls = Stalls()
    for n in range(5):
        moving = figures(next_offset=10 + n, ls=1000)
        assert stalls.update(moving, IDLE, now_s=100.0 + n) == {}


def test_stall_ends_when_the_partition_moves() -> None:
    """And begins anew after that."""
    stalls, stuck = Stalls(), figures(next_offset=10, ls=20)
    stalls.update(stuck, IDLE, now_s=100.0)
    stalls.update(stuck, IDLE, now_s=105.0)

    moved = figures(next_offset=11, ls=20)
    assert stalls.update(moved, IDLE, now_s=110.0) == {}
    assert stalls.update(moved, IDLE, now_s=115.0) == {"t/0": 110.0}


def test_what_stands_for_a_reason_is_no_stall() -> None:
    """Idle, at a gap, queued for a handler, without a leader, not held."""
    excused = [
        (figures(next_offset=10, ls=10), IDLE),
        (figures(next_offset=15, ls=15, committed=10), IDLE),
        (figures(next_offset=10, ls=20), []),
        (figures(next_offset=10, ls=20, leader=-1), IDLE),
        (figures(next_offset=10, ls=20, broker="CONNECT"), IDLE),
        (figures(next_offset=10, ls=-1001), IDLE),
        (figures(), [("u", 0)]),
    ]
    for seen, movable in excused:
        stalls = Stalls()
        for now_s in (100.0, 105.0, 110.0):
            assert stalls.update(seen, movable, now_s=now_s) == {}


def test_leader_that_comes_and_goes_does_not_hide_a_stall() -> None:
    """It is away at each second look: the time that it is there counts."""
    stalls, stuck = Stalls(), figures(next_offset=10, ls=20)
    away = figures(next_offset=10, ls=20, broker="CONNECT")
    stalls.update(stuck, IDLE, now_s=100.0)

    assert stalls.update(away, IDLE, now_s=105.0) == {}
    assert stalls.update(stuck, IDLE, now_s=110.0) == {"t/0": 105.0}
    assert stalls.update(away, IDLE, now_s=115.0) == {}
    assert stalls.update(stuck, IDLE, now_s=120.0) == {"t/0": 110.0}


def test_connection_that_breaks_over_what_is_fetched_is_no_excuse() -> None:
    """The leader seems to be away at each look; where no broker is there, it is."""
    stalls = Stalls()
    away = figures(next_offset=10, ls=20, leader=-1)
    down = figures(next_offset=10, ls=20, leader=-1, broker="CONNECT")

    assert stalls.update(away, IDLE, breaks=True, now_s=100.0) == {}
    assert stalls.update(away, IDLE, breaks=True, now_s=105.0) == {"t/0": 100.0}
    assert stalls.update(down, IDLE, breaks=True, now_s=110.0) == {}
    assert stalls.update(away, IDLE, breaks=True, now_s=115.0) == {"t/0": 105.0}


def test_time_without_a_leader_does_not_count() -> None:
    """However long the outage was, nothing is stalled for longer by it."""
    stalls, stuck = Stalls(), figures(next_offset=10, ls=20)
    away = figures(next_offset=10, ls=20, leader=-1)
    stalls.update(stuck, IDLE, now_s=100.0)
    for now_s in range(105, 4_000, 5):
        assert stalls.update(away, IDLE, now_s=now_s) == {}

    assert stalls.update(stuck, IDLE, now_s=4_000.0) == {"t/0": 3_995.0}
    moved = figures(next_offset=11, ls=20)
    assert stalls.update(moved, IDLE, now_s=4_005.0) == {}


def test_fetched_messages_that_nobody_takes_are_a_stall() -> None:
    """Also with the fetch position at the end."""
    stalls, stuck = Stalls(), figures(next_offset=20, ls=20, queued=10)
    stalls.update(stuck, IDLE, now_s=100.0)

    assert stalls.update(stuck, IDLE, now_s=105.0) == {"t/0": 100.0}


def test_fetch_that_never_begins_is_a_stall() -> None:
    """The committed offset tells that there is data."""
    stalls, stuck = Stalls(), figures(next_offset=-1001, committed=10, ls=20)
    stalls.update(stuck, IDLE, now_s=100.0)

    assert stalls.update(stuck, IDLE, now_s=105.0) == {"t/0": 100.0}


NOTHING = {"ls": -1, "hi": -1}


@pytest.mark.parametrize("state", ["active", "offset-wait", "validate-epoch-wait"])
def test_partition_of_which_its_leader_tells_nothing_is_stalled(state: str) -> None:
    """Whether it has data is not known, and nobody would ever know."""
    stalls, stuck = Stalls(), figures(state=state, **NOTHING)
    stalls.there.add("t")

    assert stalls.update(stuck, IDLE, now_s=100.0) == {}
    assert stalls.unanswered == {KEY: 100.0}
    assert stalls.update(stuck, IDLE, now_s=105.0) == {"t/0": 100.0}
    assert stalls.update(figures(), IDLE, now_s=110.0) == {}
    assert stalls.unanswered == {}


def test_what_is_told_nothing_of_for_a_reason_is_no_stall() -> None:
    """It is not begun or given up, unknown, without a leader, or held up here."""
    excused = [
        (figures(state="none", **NOTHING), IDLE),
        (figures(state="stopped", **NOTHING), IDLE),
        (figures(unknown=True, **NOTHING), IDLE),
        (figures(leader=-1, **NOTHING), IDLE),
        (figures(silent_s=40.0, owed=1, **NOTHING), IDLE),
        (figures(**NOTHING), []),
    ]
    for seen, movable in excused:
        stalls = Stalls()
        stalls.there.add("t")
        for now_s in (100.0, 105.0, 110.0):
            assert stalls.update(seen, movable, now_s=now_s) == {}
        assert stalls.unanswered == {}


def test_topic_that_is_not_there_is_no_stall() -> None:
    """librdkafka goes on as if it were; nor does that time count later."""
    stalls, stuck = Stalls(), figures(**NOTHING)
    for now_s in (100.0, 105.0, 110.0):
        assert stalls.update(stuck, IDLE, now_s=now_s) == {}
    stalls.there.add("t")

    assert stalls.update(stuck, IDLE, now_s=115.0) == {}
    assert stalls.update(stuck, IDLE, now_s=120.0) == {"t/0": 115.0}


def test_partition_that_an_acl_keeps_is_no_stall_until_it_was_read_again() -> None:
    """No restart gives a right back."""
    stalls, stuck = Stalls(), figures(**NOTHING)
    stalls.there.add("t")
    stalls.refused.add(KEY)
    for now_s in (100.0, 105.0):
        assert stalls.update(stuck, IDLE, now_s=now_s) == {}
    stalls.update(figures(), IDLE, now_s=110.0)

    assert stalls.update(stuck, IDLE, now_s=115.0) == {}
    assert stalls.update(stuck, IDLE, now_s=120.0) == {"t/0": 115.0}


# --- steadiness -----------------------------------------------------------------------


def since(
    steadiness: Steadiness,
    seen: Figures,
    *,
    now_s: float,
    lacks_topic: bool = False,
    is_refused: bool = False,
) -> float | None:
    """Update with the usual circumstances."""
    return steadiness.update(
        seen, lacks_topic=lacks_topic, is_refused=is_refused, now_s=now_s
    )


def test_group_frozen_in_one_state() -> None:
    """The time counts from when it got into it."""
    steadiness = Steadiness(is_consumer_protocol=False)
    frozen = figures(join_state="wait-sync")

    assert since(steadiness, figures(), now_s=100.0) is None
    assert since(steadiness, frozen, now_s=105.0) == 105.0
    assert since(steadiness, frozen, now_s=110.0) == 105.0
    assert since(steadiness, figures(), now_s=115.0) is None
    assert since(steadiness, frozen, now_s=120.0) == 120.0


def test_rebalance_that_makes_progress_is_not_frozen() -> None:
    """Another assignment or revocation begins the time anew."""
    steadiness = Steadiness(is_consumer_protocol=False)
    waits = figures(join_state="wait-join", rebalances=1)

    assert since(steadiness, waits, now_s=100.0) == 100.0
    again = figures(join_state="wait-join", rebalances=2)
    assert since(steadiness, again, now_s=105.0) == 105.0
    other = figures(join_state="wait-sync", rebalances=2)
    assert since(steadiness, other, now_s=110.0) == 105.0


def test_join_that_is_refused_time_and_again_is_no_progress() -> None:
    """The member goes from one state to another and back for ever."""
    steadiness = Steadiness(is_consumer_protocol=False)
    states = ["init", "wait-join", "init", "wait-metadata", "wait-join"]
    seen = [
        since(steadiness, figures(join_state=state, rebalances=0), now_s=100.0 + n)
        for n, state in enumerate(states)
    ]

    assert seen == [100.0] * len(states)


def test_no_broker_no_topic_no_permission_is_not_frozen() -> None:
    """Nor does that time count once the excuse is over."""
    steadiness = Steadiness(is_consumer_protocol=False)
    down = figures(join_state="wait-join", broker="CONNECT")
    init = figures(join_state="init")

    assert since(steadiness, down, now_s=100.0) is None
    assert since(steadiness, init, lacks_topic=True, now_s=105.0) is None
    assert since(steadiness, init, is_refused=True, now_s=110.0) is None
    assert since(steadiness, init, now_s=115.0) == 115.0
    assert since(steadiness, figures(join_state="wait-sync"), lacks_topic=True,
                 now_s=120.0) == 115.0  # fmt: skip


def test_member_without_partitions_stays_in_init_under_kip_848() -> None:
    """That is its normal state there."""
    modern = Steadiness(is_consumer_protocol=True)

    assert since(modern, figures(join_state="init"), now_s=100.0) is None
    assert since(modern, figures(join_state="wait-assign-call"), now_s=105.0) == 105.0


def test_partition_that_waits_for_a_commit_for_no_reason_stands_still() -> None:
    """Since it was first seen to, whatever is fetched meanwhile, until it goes on."""
    stalls = Stalls()
    assert stalls.update(figures(), [], uncommitted=[KEY], now_s=10.0) == {}
    assert stalls.update(
        figures(next_offset=12), [], uncommitted=[KEY], now_s=15.0
    ) == {"t/0": 10.0}
    assert stalls.update(figures(), [], now_s=20.0) == {}
    assert stalls.update(figures(), [], uncommitted=[KEY], now_s=25.0) == {}


def test_a_partition_of_a_broker_that_owes_an_answer_is_not_stalled() -> None:
    """It stands still as a whole, over connections that stay: no restart helps.

    A client that has stopped to ask is another matter: nothing is owed to it.
    """
    stalls, stuck = Stalls(), figures(next_offset=10, ls=20)
    frozen = figures(next_offset=10, ls=20, silent_s=40.0, owed=1)
    stalls.update(stuck, IDLE, now_s=100.0)
    assert (frozen.brokers_up, frozen.owes_answer) == (1, True)

    assert stalls.update(frozen, IDLE, now_s=140.0) == {}
    asks_no_more = figures(next_offset=10, ls=20, silent_s=40.0, owed=0)
    assert stalls.update(asks_no_more, IDLE, now_s=150.0) == {"t/0": 140.0}
    assert not figures(silent_s=0.6, owed=1).owes_answer


def test_when_a_broker_was_last_heard() -> None:
    """Over connections that stand; librdkafka tells -1 before the first byte."""
    assert figures(silent_s=4.0).heard_ago_s == 4.0
    assert figures(silent_s=4.0, broker="DOWN").heard_ago_s is None
    assert figures(silent_s=-1e-6).heard_ago_s is None


def test_brokers_that_stand_for_another_are_no_address() -> None:
    """A client that has only such ones left has nowhere to go."""
    assert figures(broker="DOWN").addresses == 2
    assert figures(broker="DOWN", source="logical").addresses == 0
