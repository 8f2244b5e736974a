"""Whose turn it is, what fails how, what is held back: without Kafka or threads."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_worker.app.app import Route
from swarm_worker.app.batch import Batch, message
from swarm_worker.processing.backpressure import (
    CAPACITY_BYTES,
    CAPACITY_MESSAGES,
    LANE_MESSAGES,
)
from swarm_worker.processing.commits import COMMIT_WITHIN_S
from swarm_worker.processing.deliveries import Deliveries
from swarm_worker.processing.failures import backoff_s
from swarm_worker.processing.lane import Lane, Phase
from swarm_worker.processing.lanes import Lanes
from swarm_worker.processing.uncommitted import STEP_S, UncommittedWork
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.report import State
from tests.eventually import eventually

NOW_S = 1000.0
HANGS_AFTER_S = 20.0


def route(
    *,
    max_retries: int | None = None,
    dead_letter: str | None = None,
    max_messages: int | None = None,
) -> Route:
    """A route of topic t; whether its handler works otherwise is never asked."""
    return Route(
        topics=("t",), group="g", handler=lambda _: None, max_retries=max_retries,
        dead_letter=dead_letter, dead_letter_after_s=0.0, max_messages=max_messages,
    )  # fmt: skip


class Fixture:
    """Lanes and what they have submitted."""

    def __init__(self, *, partitions: int = 1, to: Route | None = None) -> None:
        self.submitted: list[Lane] = []
        self.is_news = False
        self.lanes = Lanes(node=0, max_messages=4, submit=self.submitted.append)
        self.back_pressure = self.lanes.back_pressure
        self.commits, self.turns = self.lanes.commits, self.lanes.turns
        self.progress = Progress()
        self.deliveries = Deliveries(
            self.lanes, progress=self.progress, clock=lambda: self.now_s
        )
        self.now_s = NOW_S
        self.route = to or route()
        for partition in range(partitions):
            self.lanes.open("t", partition, self.route, now_s=NOW_S)

    def lane(self, partition: int = 0) -> Lane:
        """The lane of a partition."""
        lane = self.lanes.table.get("t", partition)
        assert lane is not None
        return lane

    def add(self, count: int, *, first: int = 0, partition: int = 0) -> None:
        """Messages come in."""
        self.lanes.add(self.lane(partition), messages(count, first, partition))

    def take(self, *, now_s: float = NOW_S) -> tuple[Lane, Batch]:
        """A handler thread takes what was submitted first."""
        lane = self.submitted.pop(0)
        batch = self.lanes.take(lane, now_s=now_s)
        assert batch is not None
        return lane, batch

    def fail(
        self,
        *,
        done_count: int = 0,
        error: BaseException | None = None,
        now_s: float = NOW_S,
    ) -> tuple[list[int], float | None]:
        """Take and fail; give the offsets, and the seconds until the next try."""
        lane, batch = self.take(now_s=now_s)
        verdict = self.lanes.failed(
            lane,
            batch,
            error or ValueError(),
            done_count=done_count,
            now_s=now_s,
            error_text=repr(error or ValueError()),
        )
        self.is_news = verdict is not None and verdict.is_news
        return offsets(batch), verdict.retry_in_s if verdict else None

    def succeed(self, *, now_s: float = NOW_S) -> list[int]:
        """Take and be done; give the offsets."""
        lane, batch = self.take(now_s=now_s)
        self.lanes.done(lane, batch, now_s=now_s)
        return offsets(batch)

    def deliver(self, lane: Lane, *, now_s: float) -> None:
        """A lane's dead letter is acknowledged."""
        self.now_s = now_s
        self.deliveries.on_delivery(lane, None)

    def fail_to_deliver(self, lane: Lane, *, now_s: float) -> float:
        """It is not; return the seconds until the next try."""
        self.now_s = now_s
        self.deliveries.on_delivery(lane, KafkaError(KafkaError._FAIL))
        return lane.retry_at_s - now_s

    def stored(self) -> dict[int, int]:
        """Where offsets have moved since the last question."""
        lanes = self.commits.take_unstored()
        return {lane.partition: lane.next_offset for lane in lanes}


def messages(count: int, first: int = 0, partition: int = 0) -> list[Message]:
    """Messages in a row."""
    return [
        message("x" * 10, topic="t", partition=partition, offset=first + n)
        for n in range(count)
    ]


def offsets(batch: Sequence[Message]) -> list[int]:
    """Their offsets."""
    return [m.offset() or 0 for m in batch]


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What is logged so far, and at which offset."""
    words = [record.getMessage().split() for record in caplog.records]
    return [(event, at.removeprefix("at=")) for event, at, *_ in words]


# --- turns ----------------------------------------------------------------------------


def test_batches_come_in_order_one_at_a_time() -> None:
    """A lane is submitted once, and again when its batch is done."""
    fixture = Fixture()
    fixture.add(3)
    fixture.add(3, first=3)
    assert len(fixture.submitted) == 1

    lane, batch = fixture.take()
    assert offsets(batch) == [0, 1, 2, 3]
    fixture.add(1, first=6)
    assert fixture.submitted == []
    fixture.lanes.done(lane, batch, now_s=NOW_S)
    assert fixture.succeed() == [4, 5, 6]
    assert fixture.submitted == []
    assert fixture.stored() == {0: 7}
    assert fixture.stored() == {}


def test_route_says_how_large_a_batch_is() -> None:
    """Its max_messages goes before the node's."""
    fixture = Fixture(to=route(max_messages=2))
    fixture.add(5)

    assert [fixture.succeed() for _ in range(3)] == [[0, 1], [2, 3], [4]]


def test_partitions_take_turns() -> None:
    """One with a large backlog does not keep the others waiting."""
    fixture = Fixture(partitions=2)
    fixture.add(100)
    fixture.add(1, partition=1)

    assert [lane.partition for lane in fixture.submitted] == [0, 1]
    fixture.succeed()
    assert [lane.partition for lane in fixture.submitted] == [1, 0]


def test_nothing_is_handed_out_while_held() -> None:
    """What was submitted before is not, either; afterwards all is offered again."""
    fixture = Fixture()
    fixture.add(1)
    fixture.lanes.table.is_held = True
    assert fixture.lanes.take(fixture.submitted.pop(), now_s=NOW_S) is None
    fixture.add(1, first=1)
    assert fixture.submitted == []
    assert fixture.turns.due(now_s=NOW_S) == []

    fixture.lanes.table.is_held = False
    fixture.turns.offer_all()
    assert fixture.succeed() == [0, 1]


def test_result_of_a_former_assignment_is_not_stored() -> None:
    """A partition that is back waits for the old batch, and keeps its own offset."""
    fixture = Fixture()
    fixture.add(4)
    old, batch = fixture.take()
    fixture.lanes.close([("t", 0)])
    fixture.lanes.open("t", 0, fixture.route, now_s=NOW_S)
    fixture.add(2, first=0)
    new = fixture.submitted.pop()
    assert fixture.lanes.take(new, now_s=NOW_S) is None, "one batch at a time"

    fixture.lanes.done(old, batch, now_s=NOW_S)
    assert fixture.stored() == {}
    assert fixture.succeed() == [0, 1]
    assert fixture.stored() == {0: 2}


def test_failure_in_a_former_assignment_changes_nothing() -> None:
    """Its messages are not put back."""
    fixture = Fixture()
    fixture.add(4)
    old, batch = fixture.take()
    fixture.lanes.close([("t", 0)])
    fixture.lanes.failed(old, batch, ValueError(), done_count=2, now_s=NOW_S)

    assert fixture.stored() == {}
    assert fixture.turns.due(now_s=NOW_S + 100.0) == []
    assert fixture.submitted == []
    assert fixture.turns.wait_idle(within_s=0.0)


def test_what_is_done_and_not_stored_goes_with_its_partition() -> None:
    """By then the offset is another's."""
    fixture = Fixture(partitions=2)
    fixture.add(1)
    fixture.add(1, partition=1)
    fixture.succeed()
    fixture.succeed()
    fixture.lanes.close([("t", 0)])

    assert fixture.stored() == {1: 1}


def test_messages_for_a_closed_lane_are_dropped() -> None:
    """They came in the very poll that took the partition away."""
    fixture = Fixture()
    lane = fixture.lane()
    fixture.lanes.close([("t", 0), ("t", 7)])
    fixture.lanes.add(lane, messages(1))

    assert fixture.submitted == []
    assert fixture.lanes.table.get("t", 0) is None


def test_retire_drops_what_waits_and_names_what_is_out() -> None:
    """Only results that can still come are waited for."""
    fixture = Fixture(partitions=2)
    fixture.add(8)
    fixture.add(8, partition=1)
    lane, batch = fixture.take()
    keys = [("t", 0), ("t", 1), ("t", 9)]
    assert fixture.lanes.retire(keys, within_s=0.0) == [lane]

    fixture.lanes.done(lane, batch, now_s=NOW_S)
    assert fixture.lanes.retire(keys, within_s=0.0) == []
    assert fixture.stored() == {0: 4}
    assert fixture.lanes.take(fixture.lane(1), now_s=NOW_S) is None


def test_marks_count_while_the_handler_runs() -> None:
    """And not beyond what is marked."""
    fixture = Fixture()
    fixture.add(4)
    _, batch = fixture.take()
    fixture.lanes.count_marks(now_s=NOW_S)
    assert fixture.stored() == {}
    batch.mark_done(batch[0])
    batch.mark_done(batch[2])
    fixture.lanes.count_marks(now_s=NOW_S)

    assert fixture.stored() == {0: 1}


def test_the_oldest_message_is_the_first_that_is_not_done() -> None:
    """At a handler, marked or not, or among those that wait; one that is given up."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    oldest = fixture.lanes.oldest_at_ms
    assert oldest() == {("t", 0): None}
    dated = [message("x", topic="t", offset=n, timestamp_ms=70 + n) for n in range(6)]
    fixture.lanes.add(fixture.lane(), dated)
    assert oldest() == {("t", 0): 70}
    lane, batch = fixture.take()
    batch.mark_done(batch[0])
    assert oldest() == {("t", 0): 71}
    for each in batch:
        batch.mark_done(each)
    assert oldest() == {("t", 0): 74}, "the next one after the batch"

    fixture.lanes.done(lane, batch, now_s=NOW_S)
    fixture.fail(done_count=1)
    assert oldest() == {("t", 0): 75}
    fixture.turns.due(now_s=NOW_S + 1)
    fixture.fail(now_s=NOW_S + 1)
    assert oldest() == {("t", 0): 75}, "it is given up"
    (lane,) = fixture.turns.due(now_s=NOW_S + 1)
    assert oldest() == {("t", 0): 75}, "its dead letter is not acknowledged"
    fixture.deliver(lane, now_s=NOW_S)
    assert oldest() == {("t", 0): None}


# --- failures -------------------------------------------------------------------------


def test_backoff_doubles_to_its_maximum() -> None:
    """1 s to 30 s, also after very many failures."""
    assert [backoff_s(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff_s(100_000) == 30


def test_failed_batch_comes_again_after_its_backoff() -> None:
    """Not earlier, one message at a time, from the first that is not done."""
    fixture = Fixture()
    fixture.add(6)
    assert fixture.fail(done_count=1) == ([0, 1, 2, 3], 1.0)
    assert fixture.stored() == {0: 1}
    fixture.turns.due(now_s=NOW_S + 0.9)
    assert fixture.submitted == []

    fixture.turns.due(now_s=NOW_S + 1.0)
    assert fixture.succeed() == [1]
    assert fixture.succeed() == [2]
    assert fixture.succeed() == [3]
    assert fixture.succeed() == [4, 5]
    assert fixture.stored() == {0: 6}


def failing(fixture: Fixture) -> list[tuple[str, str, int, float]]:
    """Return what fails."""
    return [(f.at, f.error, f.attempts, f.since_s) for f in fixture.lanes.failing()]


def test_a_message_that_fails_is_told_until_it_is_done() -> None:
    """Since when, how often, and how it failed last; not a moment longer."""
    fixture = Fixture()
    fixture.add(2)
    assert failing(fixture) == []
    fixture.fail(done_count=1)
    assert failing(fixture) == [("t/0@1", "ValueError()", 1, NOW_S)]
    fixture.turns.due(now_s=NOW_S + 1)
    fixture.fail(error=KeyError("x"), now_s=NOW_S + 1)
    assert failing(fixture) == [("t/0@1", "KeyError('x')", 2, NOW_S)]

    fixture.turns.due(now_s=NOW_S + 9)
    assert fixture.succeed() == [1]
    assert failing(fixture) == []
    fixture.lanes.committed({("t", 0): 2}, now_s=NOW_S + 9)
    fixture.add(1, first=2)
    fixture.fail(now_s=NOW_S + 20)
    assert failing(fixture) == [("t/0@2", "ValueError()", 1, NOW_S + 20)]


def test_the_next_message_that_fails_has_a_time_of_its_own() -> None:
    """Those before it in its batch were not the ones."""
    fixture = Fixture()
    fixture.add(2)
    fixture.fail()
    fixture.turns.due(now_s=NOW_S + 1)
    assert fixture.succeed(now_s=NOW_S + 1) == [0]
    fixture.fail(now_s=NOW_S + 2)

    assert failing(fixture) == [("t/0@1", "ValueError()", 2, NOW_S + 2)]


def test_a_message_that_is_revoked_fails_here_no_more() -> None:
    """Whoever gets its partition tells of it."""
    fixture = Fixture(partitions=2)
    for partition in (0, 1):
        fixture.add(1, partition=partition)
        fixture.fail()

    fixture.lanes.close([("t", 0)])

    assert [at for at, *_ in failing(fixture)] == ["t/1@0"]


def test_a_message_fails_until_its_dead_letter_is_taken() -> None:
    """With the reason where it is refused: the partition stands still, too."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    fixture.fail()
    (lane,) = fixture.turns.due(now_s=NOW_S)
    fixture.fail_to_deliver(lane, now_s=NOW_S)
    ((at, error, *_),) = failing(fixture)
    assert (at, error.partition(": ")[0]) == ("t/0@0", "its dead letter is refused")

    fixture.turns.due(now_s=NOW_S + 60)
    fixture.deliver(lane, now_s=NOW_S + 60)
    assert failing(fixture) == []


def test_a_failure_that_lasts_is_logged_every_ten_minutes() -> None:
    """Once would be out of the log by the time that somebody looks."""
    fixture = Fixture()
    fixture.add(1)
    logged_at_s = []
    for now_s in range(int(NOW_S), int(NOW_S) + 1500, 30):
        fixture.turns.due(now_s=now_s)
        fixture.fail(now_s=now_s)
        if fixture.is_news:
            logged_at_s.append(now_s - NOW_S)

    assert logged_at_s == [0, 600, 1200]


def test_a_refusal_that_lasts_is_logged_every_ten_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same of a dead letter that nobody takes."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    fixture.fail()
    for now_s in range(int(NOW_S), int(NOW_S) + 1500, 30):
        (lane,) = fixture.turns.due(now_s=now_s)
        fixture.fail_to_deliver(lane, now_s=now_s)

    assert logged(caplog) == [("dead_letter_refused", "t/0@0")] * 3


def test_all_marked_done_leaves_nothing_to_repeat() -> None:
    """A handler that marks all and then raises is done."""
    fixture = Fixture()
    fixture.add(2)
    assert fixture.fail(done_count=2) == ([0, 1], None)

    assert fixture.stored() == {0: 2}
    assert fixture.turns.due(now_s=NOW_S + 100) == []
    fixture.add(1, first=2)
    assert fixture.succeed() == [2]


def test_message_is_given_up_alone_and_after_its_retries() -> None:
    """The batch's failure counts as the first try of each of its messages."""
    fixture = Fixture(to=route(max_retries=2, dead_letter="d"))
    fixture.add(4)
    assert fixture.fail() == ([0, 1, 2, 3], 1.0)
    fixture.turns.due(now_s=NOW_S + 1)
    assert fixture.succeed() == [0]
    assert fixture.fail() == ([1], 2.0)
    fixture.turns.due(now_s=NOW_S + 2)
    assert fixture.fail() == ([1], None)

    (lane,) = fixture.turns.due(now_s=NOW_S)
    assert lane.dead_letter is not None
    assert (offsets([lane.dead_letter.message]), lane.dead_letter.attempts) == ([1], 3)
    assert fixture.stored() == {0: 1}, "not before the acknowledgement"
    assert not fixture.turns.wait_idle(within_s=0.0)
    fixture.deliver(lane, now_s=NOW_S)
    assert fixture.stored() == {0: 2}
    assert fixture.succeed() == [2]


def test_a_dead_letter_that_is_not_delivered_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is tried again, ever later; nothing is skipped, the handler is not called."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    assert fixture.fail() == ([0], None)
    now_s = NOW_S
    for wait_s in (1.0, 2.0, 4.0):
        (lane,) = fixture.turns.due(now_s=now_s)
        assert fixture.fail_to_deliver(lane, now_s=now_s) == wait_s
        assert fixture.turns.due(now_s=now_s + wait_s - 0.1) == []
        now_s += wait_s
    assert (fixture.submitted, fixture.stored()) == ([], {})
    (lane,) = fixture.turns.due(now_s=now_s)
    fixture.deliver(lane, now_s=now_s)

    assert fixture.stored() == {0: 1}
    assert logged(caplog) == [
        ("dead_letter_refused", "t/0@0"),
        ("dead_lettered", "t/0@0"),
    ]
    assert fixture.progress.report(State.RUNNING, now_s=now_s).dead_letters == 1


def test_a_dead_letter_is_counted_anew_after_its_acknowledgement() -> None:
    """So the failure of the next one is news, and its back-off is short."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d", max_messages=1))
    fixture.add(2)
    for _ in range(2):
        fixture.fail()
        (lane,) = fixture.turns.due(now_s=NOW_S)
        assert fixture.fail_to_deliver(lane, now_s=NOW_S) == 1.0
        (lane,) = fixture.turns.due(now_s=NOW_S + 1.0)
        fixture.deliver(lane, now_s=NOW_S)


def test_no_message_is_given_up_for_another_one_of_its_batch() -> None:
    """Though there are no retries: nobody knows yet which one fails."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(2)

    assert fixture.fail() == ([0, 1], 1.0)


def test_a_dead_letter_that_is_under_way_outlives_a_retire() -> None:
    """Its acknowledgement is waited for, and counts."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    fixture.fail()
    (lane,) = fixture.turns.due(now_s=NOW_S)
    assert fixture.lanes.retire([("t", 0)], within_s=0.0) == [lane]
    fixture.deliver(lane, now_s=NOW_S)

    assert fixture.stored() == {0: 1}


def test_dead_letters_are_left_only_when_nothing_else_is_under_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing of them is stored, and an answer that comes later changes nothing."""
    fixture = Fixture(partitions=2, to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    fixture.fail()
    (lane,) = fixture.turns.due(now_s=NOW_S)
    fixture.add(1, partition=1)
    other, batch = fixture.take()
    fixture.deliveries.abandon()
    assert (lane.phase, logged(caplog)) == (Phase.PRODUCING, [])

    fixture.lanes.done(other, batch, now_s=NOW_S)
    fixture.deliveries.abandon()
    assert logged(caplog) == [("dead_letter_left", "t/0@0")]
    assert fixture.turns.wait_idle(within_s=0.0)
    fixture.deliver(lane, now_s=NOW_S)
    assert fixture.stored() == {1: 1}


def test_dead_letter_of_a_lost_partition_moves_nothing() -> None:
    """Its acknowledgement comes too late."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    fixture.fail()
    (lane,) = fixture.turns.due(now_s=NOW_S)
    fixture.lanes.close([("t", 0)])
    fixture.deliver(lane, now_s=NOW_S)

    assert fixture.stored() == {}
    assert fixture.turns.wait_idle(within_s=0.0)


def test_a_failed_dead_letter_of_a_lost_partition_is_not_sent_again() -> None:
    """Its message is the next owner's: a copy would be one too many."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="d"))
    fixture.add(1)
    fixture.fail()
    (lane,) = fixture.turns.due(now_s=NOW_S)
    fixture.lanes.close([("t", 0)])
    fixture.fail_to_deliver(lane, now_s=NOW_S)

    assert fixture.turns.due(now_s=NOW_S + 100.0) == []
    assert fixture.turns.wait_idle(within_s=0.0)


def test_without_a_dead_letter_topic_retries_never_end() -> None:
    """Whatever max_retries says."""
    fixture = Fixture(to=route(max_retries=1))
    fixture.add(1)
    for wait_s in (1, 2, 4, 8, 16, 30, 30):
        assert fixture.fail() == ([0], wait_s)
        assert fixture.turns.due(now_s=NOW_S + wait_s) == []


def test_news_is_another_message_or_another_error() -> None:
    """The rest would be a line for each retry."""
    fixture = Fixture()
    fixture.add(2)

    def is_news(error: BaseException) -> bool:
        fixture.turns.due(now_s=NOW_S + 100)
        lane, batch = fixture.take()
        verdict = fixture.lanes.failed(lane, batch, error, done_count=0, now_s=NOW_S)
        assert verdict is not None
        return verdict.is_news

    errors = [ValueError(), ValueError("other text"), OSError(), OSError()]
    assert [is_news(error) for error in errors] == [True, False, True, False]
    fixture.turns.due(now_s=NOW_S + 100)
    fixture.succeed()
    assert is_news(OSError()), "of the next message"


def test_success_tells_how_often_it_had_failed() -> None:
    """So that the recovery can be logged."""
    fixture = Fixture()
    fixture.add(1)
    fixture.fail()
    fixture.turns.due(now_s=NOW_S + 1)
    lane, batch = fixture.take()
    assert lane.is_repeat(batch)

    assert fixture.lanes.done(lane, batch, now_s=NOW_S) == 1


# --- back-pressure --------------------------------------------------------------------


def test_quick_lane_is_not_paused() -> None:
    """Whatever waits: a pause would throw away what is prefetched."""
    fixture = Fixture()
    fixture.add(LANE_MESSAGES + 100)
    fixture.take()

    assert fixture.back_pressure.to_pause(now_s=NOW_S + 0.01) == []


def test_lane_that_was_idle_for_long_is_no_slow_one() -> None:
    """What counts is how long its batch is out."""
    fixture = Fixture()
    fixture.add(LANE_MESSAGES + 100)
    lane, _ = fixture.take(now_s=NOW_S + 60.0)

    assert fixture.back_pressure.to_pause(now_s=NOW_S + 60.01) == []
    assert fixture.back_pressure.to_pause(now_s=NOW_S + 61.0) == [lane]


def test_slow_lane_with_much_waiting_is_paused_until_it_has_room() -> None:
    """Resumed well before it runs dry, and not at once."""
    fixture = Fixture()
    fixture.add(LANE_MESSAGES + 100)
    lane, batch = fixture.take()
    assert fixture.back_pressure.to_pause(now_s=NOW_S + 1.0) == [lane]
    fixture.back_pressure.pause([lane])
    assert fixture.back_pressure.to_pause(now_s=NOW_S + 1.0) == []
    assert fixture.back_pressure.to_resume() == []

    fixture.lanes.done(lane, batch, now_s=NOW_S)
    while not (resuming := fixture.back_pressure.to_resume()):
        fixture.succeed()
    assert lane.backlog == LANE_MESSAGES // 4
    fixture.back_pressure.resume(resuming)
    assert fixture.back_pressure.to_resume() == []


def test_slow_lane_with_little_waiting_is_not_paused() -> None:
    """There is nothing to hold back."""
    fixture = Fixture()
    fixture.add(10)
    fixture.take()

    assert fixture.back_pressure.to_pause(now_s=NOW_S + 100.0) == []


def test_poll_waits_for_room_when_too_much_waits() -> None:
    """And when handlers are too slow for that, the largest lanes are paused."""
    fixture = Fixture(partitions=3)
    assert fixture.back_pressure.wait_for_room(within_s=0.0)
    fixture.add(CAPACITY_MESSAGES)
    fixture.add(10, partition=1)
    assert not fixture.back_pressure.wait_for_room(within_s=0.0)
    full = fixture.back_pressure.to_pause(now_s=NOW_S, make_room=True)
    assert [lane.partition for lane in full] == [0]
    fixture.back_pressure.pause(full)

    assert fixture.back_pressure.wait_for_room(within_s=0.0)


def test_a_batch_that_goes_out_wakes_who_waits_for_room() -> None:
    """Once half of it is free."""
    fixture = Fixture(to=route(max_messages=CAPACITY_MESSAGES // 4))
    fixture.add(CAPACITY_MESSAGES)
    has_room: list[bool] = []

    def wait() -> None:
        has_room.append(fixture.back_pressure.wait_for_room(within_s=HANGS_AFTER_S))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiters = fixture.back_pressure._has_room._waiters  # type: ignore[attr-defined]
    eventually(lambda: waiters, describe="the thread waits")
    while waiting.is_alive() and fixture.submitted:
        fixture.succeed()
    waiting.join(HANGS_AFTER_S / 2)

    assert has_room == [True]
    assert not waiting.is_alive()


def test_a_lane_of_one_message_that_fails_is_resumed() -> None:
    """After a rest of the node: the message may wait for the next one."""
    fixture = Fixture()
    fixture.add(1)
    fixture.fail()
    fixture.lanes.table.is_held = True
    fixture.back_pressure.pause(fixture.back_pressure.to_pause(now_s=NOW_S))
    fixture.lanes.table.is_held = False

    assert fixture.back_pressure.to_resume() == [fixture.lane()]


def test_a_lane_of_one_message_that_is_too_large_is_not() -> None:
    """It would be paused again at once, over and over."""
    fixture = Fixture()
    huge = message(b"x" * (CAPACITY_BYTES + 1), topic="t", offset=0)
    fixture.lanes.add(fixture.lane(), [huge])
    fixture.fail()
    fixture.back_pressure.pause([fixture.lane()])

    assert fixture.back_pressure.to_resume() == []


def test_large_messages_fill_the_room_too() -> None:
    """It is memory that is bounded."""
    fixture = Fixture()
    megabyte = b"x" * 2**20
    large = [
        message(megabyte, topic="t", offset=n) for n in range(CAPACITY_BYTES >> 20)
    ]
    fixture.lanes.add(fixture.lane(), large)

    assert not fixture.back_pressure.wait_for_room(within_s=0.0)


def test_what_is_paused_or_gone_is_not_paused_or_resumed_again() -> None:
    """Between the question and the answer a partition may have gone."""
    fixture = Fixture()
    fixture.add(10)
    lane = fixture.lane()
    fixture.back_pressure.pause([lane])
    fixture.back_pressure.pause([lane])
    assert lane.resume_below == 5
    fixture.lanes.close([("t", 0)])

    fixture.back_pressure.resume([lane])

    assert lane.paused
    assert fixture.back_pressure.to_resume() == []


def test_the_largest_are_no_more_than_make_up_half() -> None:
    """What is paused already is not counted among them."""
    fixture = Fixture(partitions=3)
    fixture.add(CAPACITY_MESSAGES)
    fixture.add(CAPACITY_MESSAGES, partition=1)
    fixture.back_pressure.pause([fixture.lane(0)])

    largest = fixture.back_pressure.to_pause(now_s=NOW_S, make_room=True)
    assert largest == [fixture.lane(1)]


def test_one_full_lane_makes_room_alone() -> None:
    """There is no other to pause."""
    fixture = Fixture()
    fixture.add(CAPACITY_MESSAGES)

    largest = fixture.back_pressure.to_pause(now_s=NOW_S, make_room=True)
    assert largest == [fixture.lane()]


def test_only_what_waits_for_messages_is_idle() -> None:
    """And nothing is while handing out is held."""
    fixture = Fixture(partitions=3)
    fixture.add(1)
    fixture.back_pressure.pause([fixture.lane(1)])
    assert fixture.turns.idle() == [("t", 2)]

    fixture.lanes.table.is_held = True
    assert fixture.turns.idle() == []


def test_a_lane_tells_where_it_is() -> None:
    """Negative while nothing came, and then where it began."""
    fixture = Fixture()
    lane = fixture.lane()
    assert (lane.name, lane.position) == ("t/0", -1)

    fixture.add(5, first=7)
    assert lane.position == 7
    fixture.succeed()
    assert lane.position == 11


def test_a_lane_that_waits_for_its_next_try_goes_with_its_partition() -> None:
    """There is nothing left to try."""
    fixture = Fixture()
    fixture.add(1)
    fixture.fail()
    lane = fixture.lane()
    assert [lane.phase] == [Phase.WAITING]

    fixture.lanes.close([("t", 0)])

    assert [lane.phase] == [Phase.IDLE]
    assert fixture.lanes.take(lane, now_s=NOW_S) is None


def test_an_acknowledgement_of_a_dead_letter_that_is_gone_moves_nothing() -> None:
    """Its partition went meanwhile."""
    fixture = Fixture()
    lane = fixture.lane()

    fixture.deliver(lane, now_s=NOW_S)

    assert lane.next_offset == -1


def test_all_lanes_are_paused_while_held() -> None:
    """Also those that come in meanwhile; all are resumed afterwards."""
    fixture = Fixture(partitions=2)
    fixture.lanes.table.is_held = True
    fixture.back_pressure.pause(fixture.back_pressure.to_pause(now_s=NOW_S))
    fixture.lanes.open("t", 2, fixture.route, now_s=NOW_S)
    assert fixture.back_pressure.to_pause(now_s=NOW_S) == [fixture.lane(2)]
    assert fixture.back_pressure.to_resume() == []
    assert fixture.turns.idle() == []

    fixture.lanes.table.is_held = False
    assert len(fixture.back_pressure.to_resume()) == 2


# --- every history --------------------------------------------------------------------


class History:
    """Random events against lanes, and what must hold whatever happens."""

    def __init__(self) -> None:
        self.now_s = NOW_S
        self.fixture = Fixture(partitions=2, to=route(max_retries=1, dead_letter="d"))
        self.polled = [0, 0]  # next offset to come, by partition
        self.started = [0, 0]  # where its present lane began
        self.out: list[tuple[Lane, Batch]] = []
        self.dead_letters: list[Lane] = []
        self.done: set[tuple[int, int]] = set()  # under the assignment in force
        self.done_at_s: dict[tuple[int, int], float] = {}  # of these, not committed
        self.lanes = self.fixture.lanes

    def add(self, partition: int, count: int) -> None:
        """Messages come in."""
        self.fixture.add(count, first=self.polled[partition], partition=partition)
        self.polled[partition] += count

    def take(self) -> None:
        """A handler thread gets to work."""
        if self.fixture.submitted:
            lane = self.fixture.submitted.pop(0)
            if batch := self.lanes.take(lane, now_s=self.now_s):
                self.out.append((lane, batch))
                due = [
                    at for (p, _), at in self.done_at_s.items() if p == lane.partition
                ]
                assert self.now_s - min(due, default=self.now_s) <= COMMIT_WITHIN_S

    def end(self, *, fails: bool, marks: int) -> None:
        """A handler comes to an end."""
        if not self.out:
            return
        lane, batch = self.out.pop(0)
        if not fails:
            self._count(lane, batch)
            self.lanes.done(lane, batch, now_s=self.now_s)
            return
        for marked in batch[: min(marks, len(batch))]:
            batch.mark_done(marked)
        self._count(lane, batch[: batch.done_count])
        self.lanes.failed(
            lane, batch, ValueError(), done_count=batch.done_count, now_s=self.now_s
        )

    def _count(self, lane: Lane, batch: Sequence[Message]) -> None:
        if not lane.closed:
            places = {(lane.partition, offset) for offset in offsets(batch)}
            self.done |= places
            self.done_at_s |= dict.fromkeys(places, self.now_s)

    def wait(self, seconds: float) -> None:
        """Time goes by, back-offs end."""
        self.now_s += seconds
        self.dead_letters += self.fixture.turns.due(now_s=self.now_s)

    def answer(self, *, delivery_failed: bool) -> None:
        """A dead letter's outcome is known."""
        if self.dead_letters:
            lane = self.dead_letters.pop(0)
            if delivery_failed:
                self.fixture.fail_to_deliver(lane, now_s=self.now_s)
            else:
                assert lane.dead_letter is not None
                self._count(lane, [lane.dead_letter.message])
                self.fixture.deliver(lane, now_s=self.now_s)

    def commit(self, partition: int, behind: int) -> None:
        """Kafka has taken the offset of a partition, or one that is older."""
        offset = self.fixture.lane(partition).next_offset - behind
        self.lanes.committed({("t", partition): offset}, now_s=self.now_s)
        self.done_at_s = {
            (p, o): at_s
            for (p, o), at_s in self.done_at_s.items()
            if p != partition or o >= offset
        }

    def rebalance(self, partition: int) -> None:
        """A partition goes and comes back at what is committed: all that is done."""
        start = max(0, self.fixture.lane(partition).next_offset)
        self.lanes.close([("t", partition)])
        self.lanes.open("t", partition, self.fixture.route, now_s=self.now_s)
        self.polled[partition] = self.started[partition] = start
        self.done = {(p, o) for p, o in self.done if p != partition or o < start}
        self.done_at_s = {
            (p, o): at_s for (p, o), at_s in self.done_at_s.items() if p != partition
        }

    def press(self) -> None:
        """The poll thread looks after back-pressure."""
        pressure = self.lanes.back_pressure
        pressure.pause(pressure.to_pause(now_s=self.now_s, make_room=True))
        pressure.resume(pressure.to_resume())

    def hold(self, *, held: bool) -> None:
        """TSTP and CONT."""
        self.lanes.table.is_held = held
        self.fixture.turns.offer_all()

    def check(self) -> None:
        """What holds at any moment."""
        partitions = [batch.partition for _, batch in self.out]
        assert len(partitions) == len(set(partitions)), "one batch at a time"
        for lane in self.lanes.table.all():
            below = {(lane.partition, o) for o in range(max(0, lane.next_offset))}
            assert below <= self.done, "never past what is not done"
            waiting = [m for chunk in lane.chunks for m in chunk]
            assert lane.backlog == len(waiting)
            assert offsets(waiting) == sorted(offsets(waiting)), "in order"
        unpaused = [lane for lane in self.lanes.table.all() if not lane.paused]
        held = sum(lane.backlog for lane in unpaused)
        assert self.fixture.back_pressure._messages == held

    def finish(self) -> None:
        """From now on all goes well: everything that was polled gets done."""
        self.hold(held=False)
        for _ in range(200):
            self.wait(100.0)
            self.answer(delivery_failed=False)
            self.take()
            self.end(fails=False, marks=0)
            for partition in range(2):
                self.commit(partition, 0)
        for partition, polled in enumerate(self.polled):
            lane = self.fixture.lane(partition)
            assert max(self.started[partition], lane.next_offset) == polled
            assert lane.phase is Phase.IDLE


def event(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A call of a method of `History`."""
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


EVENTS = st.one_of(
    event("add", partition=st.integers(0, 1), count=st.integers(1, 9)),
    event("take"),
    event("end", fails=st.booleans(), marks=st.integers(0, 9)),
    event("wait", seconds=st.sampled_from([0.5, 2.0, 60.0])),
    event("answer", delivery_failed=st.booleans()),
    event("commit", partition=st.integers(0, 1), behind=st.integers(0, 9)),
    event("rebalance", partition=st.integers(0, 1)),
    event("press"),
    event("hold", held=st.booleans()),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, max_size=60))
def test_every_history(events: list[tuple[str, dict[str, Any]]]) -> None:
    """In order, one at a time, nothing skipped, and all done in the end."""
    history = History()
    for name, arguments in events:
        getattr(history, name)(**arguments)
        history.check()
    history.finish()


# --- commits that do not come ---------------------------------------------------------


def test_lane_that_awaits_a_commit_gets_no_batch_until_then() -> None:
    """A second after its oldest work; another partition goes on meanwhile."""
    fixture = Fixture(partitions=2)
    fixture.add(12)
    fixture.succeed()
    assert fixture.succeed(now_s=NOW_S + COMMIT_WITHIN_S) == [4, 5, 6, 7]

    late_s = NOW_S + COMMIT_WITHIN_S + 0.1
    lane = fixture.submitted.pop()
    assert fixture.lanes.take(lane, now_s=late_s) is None
    assert fixture.turns.awaiting_commit() == [lane]
    fixture.add(1, first=12)
    fixture.turns.offer_all()
    assert fixture.submitted == [], "nobody is asked in vain"
    fixture.add(1, partition=1)
    assert fixture.succeed(now_s=late_s) == [0]

    fixture.lanes.committed({("t", 0): 3}, now_s=late_s)
    assert fixture.submitted == [], "of the oldest work only a part"
    fixture.lanes.committed({("t", 0): 4, ("t", 9): 7}, now_s=late_s)
    assert fixture.turns.awaiting_commit() == []
    assert fixture.succeed(now_s=late_s) == [8, 9, 10, 11]


def test_lane_that_awaits_a_commit_is_not_idle_and_holds_nobody_up() -> None:
    """It is slow, so is paused where it has more than its share; a revoke ends it."""
    fixture = Fixture()
    fixture.add(5)
    fixture.succeed()
    lane = fixture.submitted.pop()
    assert fixture.lanes.take(lane, now_s=NOW_S + 2.0) is None

    fixture.add(LANE_MESSAGES, first=5)
    assert fixture.back_pressure.to_pause(now_s=NOW_S + 2.0) == [lane]
    assert fixture.turns.idle() == []
    assert fixture.stored() == {0: 4}
    assert fixture.stored() == {}

    assert fixture.lanes.retire([("t", 0)], within_s=0.0) == []
    assert fixture.turns.awaiting_commit() == []
    fixture.lanes.committed({("t", 0): 4}, now_s=NOW_S + 2.0)
    assert fixture.submitted == []


def test_work_is_late_where_nothing_comes_after_it_too() -> None:
    """Such a lane never asks for a batch, so never waits, yet has work to commit."""
    fixture = Fixture(partitions=2)
    fixture.add(1)
    fixture.succeed()
    later_s = NOW_S + COMMIT_WITHIN_S + 0.1

    assert fixture.commits.late(now_s=NOW_S + COMMIT_WITHIN_S) == []
    assert fixture.commits.uncommitted(now_s=NOW_S + 0.1) == [fixture.lane()]
    assert fixture.commits.late(now_s=later_s) == [fixture.lane()]
    assert fixture.turns.awaiting_commit() == []
    fixture.lanes.committed({("t", 0): 1}, now_s=later_s)
    assert fixture.commits.uncommitted(now_s=later_s) == []


def test_no_handler_ends_while_it_is_looked_for_late_work() -> None:
    """Where the log was reset, it would empty what is being read."""
    fixture = Fixture()
    lock, is_guarded = fixture.lanes.table.lock, []

    class Looked(UncommittedWork):
        def age_s(self, now_s: float) -> float:
            is_guarded.append(lock.locked())
            return super().age_s(now_s)

    fixture.lane().uncommitted = Looked()
    fixture.add(1)
    fixture.succeed()
    is_guarded.clear()

    later_s = NOW_S + COMMIT_WITHIN_S + 0.1
    assert fixture.commits.late(now_s=later_s) == [fixture.lane()]
    assert fixture.commits.uncommitted(now_s=later_s) == [fixture.lane()]
    assert is_guarded == [True, True]


def test_lane_that_is_closed_awaits_no_commit() -> None:
    """Nor does the next assignment of its partition."""
    fixture = Fixture()
    fixture.add(5)
    fixture.succeed()
    old = fixture.submitted.pop()
    fixture.lanes.take(old, now_s=NOW_S + 2.0)
    fixture.lanes.open("t", 0, fixture.route, now_s=NOW_S + 2.0)

    assert fixture.turns.awaiting_commit() == []
    fixture.add(1, first=4)
    assert fixture.succeed(now_s=NOW_S + 2.0) == [4]


def test_age_of_uncommitted_work_is_that_of_its_oldest_step() -> None:
    """Never too low, and too high by one step at the most."""
    uncommitted = UncommittedWork()
    assert uncommitted.age_s(NOW_S) == 0.0
    for number in range(100):
        uncommitted.done_up_to(number + 1, now_s=NOW_S + number / 100)

    for offset in range(100):
        uncommitted.committed_up_to(offset)
        excess_s = uncommitted.age_s(NOW_S + 1.0) - (1.0 - offset / 100)
        assert 0.0 <= round(excess_s, 9) <= STEP_S
    uncommitted.committed_up_to(100)
    assert uncommitted.age_s(NOW_S + 1.0) == 0.0


@pytest.mark.parametrize("size", [1, 3, 4, 5, 100])
def test_cut_gives_whole_batches_from_pieces(size: int) -> None:
    """However the messages came in."""
    lane = Lane("t", 0, route(), moved_at_s=NOW_S)
    for first, count in ((0, 3), (3, 1), (4, 6)):
        lane.chunks.append(messages(count, first))
    cut = []
    while lane.chunks:
        cut.append(offsets(lane.cut(size)))

    assert [offset for batch in cut for offset in batch] == list(range(10))
    assert all(len(batch) == size for batch in cut[:-1])


# --- logs that are reset --------------------------------------------------------------


@pytest.mark.parametrize("polls", [1, 2])
@pytest.mark.parametrize("gap", [1, 2])
def test_log_that_is_reset_is_stored_from_its_begin(polls: int, gap: int) -> None:
    """What is done of the new log counts, be its offsets far below those of the old.

    No batch has messages of both, wherever in what is polled the reset is.
    """
    fixture, lane = Fixture(), Fixture.lane
    old, new = messages(20, 990)[::gap], messages(10)[::gap]
    for polled in [old + new] if polls == 1 else [old, new]:
        fixture.lanes.add(lane(fixture), polled)
    done, stored = list[int](), list[int]()
    while fixture.submitted:
        batch = fixture.succeed()
        assert batch == sorted(batch)
        done += batch
        stored.append(fixture.stored()[0])

    assert done == offsets(old + new), "what waited of the old log is not dropped"
    assert stored[-1] == offsets(new)[-1] + 1
    assert stored == [offset + 1 for offset in done if offset + 1 in stored]
    assert lane(fixture).position == stored[-1]


def test_failure_in_the_old_log_does_not_slow_down_the_new() -> None:
    """Its messages come one by one to the end of the batch that failed, no further."""
    fixture = Fixture()
    fixture.add(2, first=1_000)
    fixture.fail()
    fixture.turns.due(now_s=NOW_S + 2.0)
    fixture.add(9)

    assert [fixture.succeed() for _ in range(3)] == [[1_000], [1_001], [0]]
    assert [fixture.succeed() for _ in range(2)] == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_commit_of_the_old_log_commits_nothing_of_the_new() -> None:
    """Its answer may come late; what is uncommitted is of the new log."""
    fixture = Fixture()
    fixture.add(1, first=1_000)
    fixture.succeed()
    fixture.add(12)
    fixture.succeed(now_s=NOW_S + 0.5)
    fixture.succeed(now_s=NOW_S + 1.2)
    fixture.lanes.committed({("t", 0): 1_001}, now_s=NOW_S + 1.6)
    lane = fixture.submitted.pop()

    assert lane.uncommitted.age_s(NOW_S + 1.6) == pytest.approx(1.1)
    assert fixture.lanes.take(lane, now_s=NOW_S + 1.6) is None
    fixture.lanes.committed({("t", 0): 8}, now_s=NOW_S + 1.6)
    assert fixture.submitted == [lane]


# --- at the end of the log ------------------------------------------------------------


def ended(offset: int, *, first: int = 0, count: int = 0) -> Fixture:
    """Return lanes with messages, all handled, of a log that ends at an offset."""
    fixture = Fixture()
    if count:
        fixture.add(count, first=first)
        while fixture.submitted:
            lane, batch = fixture.take()
            fixture.lanes.done(lane, batch, now_s=NOW_S)
    fixture.lane().end_offset = offset
    return fixture


@pytest.mark.parametrize(("count", "end"), [(0, 0), (0, 7), (3, 3), (3, 4)])
def test_a_lane_at_rest_stands_at_the_end_of_its_log(count: int, end: int) -> None:
    """Of which nothing came, or behind marks that nobody is given."""
    fixture = ended(end, count=count)

    assert fixture.commits.rest() == [fixture.lane()]
    assert fixture.lane().next_offset == end
    assert fixture.commits.take_unstored() == [fixture.lane()]
    fixture.lanes.committed({("t", 0): end}, now_s=NOW_S)
    assert fixture.commits.rest() == [], "it is kept by Kafka"
    assert fixture.commits.late(now_s=NOW_S + 99) == [], "nothing of it repeats"


def test_a_log_that_was_reset_leaves_nothing_uncommitted() -> None:
    """What was done of the former one can be committed no more."""
    fixture = ended(0, first=90, count=3)
    assert fixture.lane().uncommitted.age_s(NOW_S + 9) == 9

    assert fixture.commits.rest() == [fixture.lane()]
    assert fixture.lane().next_offset == 0
    assert fixture.lane().uncommitted.age_s(NOW_S + 9) == 0


def test_a_lane_with_work_is_not_at_rest() -> None:
    """Not what waits, what is out, what failed, or what was dropped in a rebalance."""
    fixture = Fixture()
    fixture.add(3)
    fixture.lane().end_offset = 3
    assert fixture.commits.rest() == []
    lane, batch = fixture.take()
    assert fixture.commits.rest() == []
    fixture.lanes.failed(lane, batch, ValueError(), done_count=1, now_s=NOW_S)
    assert fixture.commits.rest() == []
    fixture.lanes.retire([("t", 0)], within_s=0)
    assert lane.phase is Phase.IDLE
    assert fixture.commits.rest() == []
    assert lane.next_offset == 1


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_dead_letter_that_nobody_acknowledged_is_no_end(*, is_sent: bool) -> None:
    """A stop and a rebalance leave it; its message is the next owner's."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="dlq", max_messages=1))
    fixture.add(1)
    fixture.lane().end_offset = 1
    fixture.fail()
    if is_sent:
        fixture.turns.due(now_s=NOW_S)
        assert fixture.commits.rest() == []
        fixture.deliveries.abandon()
    else:
        fixture.lanes.retire([("t", 0)], within_s=0)

    assert fixture.lane().phase is Phase.IDLE
    assert fixture.commits.rest() == []
    assert fixture.lane().next_offset == -1


def test_a_lane_that_waits_for_a_resume_is_not_at_rest() -> None:
    """A quiet node hands nothing out: what waits is not done."""
    fixture = Fixture()
    fixture.lanes.table.is_held = True
    fixture.add(3)
    fixture.lane().end_offset = 3

    assert fixture.lane().phase is Phase.IDLE
    assert fixture.commits.rest() == []


def test_an_end_that_more_has_followed_is_none() -> None:
    """The next one comes when the log has been read again."""
    fixture = ended(3, count=3)
    fixture.add(2, first=3)
    lane, batch = fixture.take()
    fixture.lanes.done(lane, batch, now_s=NOW_S)

    assert fixture.commits.rest() == []
    assert lane.next_offset == 5


def test_a_lane_waits_until_its_log_is_known() -> None:
    """What has come by then goes out at once; telling it twice does no harm."""
    fixture = Fixture(partitions=0)
    lane = fixture.lanes.open("t", 0, fixture.route, awaits_log=True, now_s=NOW_S)
    fixture.add(2)
    fixture.turns.offer_all()
    assert fixture.submitted == []
    fixture.turns.release(lane)
    fixture.turns.release(lane)
    assert fixture.submitted == [lane]


def test_a_log_that_is_begun_anew_waits_for_the_old_ones_batch() -> None:
    """Whose result is nobody's, be it a dead letter; nobody is suspected there."""
    fixture = Fixture(to=route(max_retries=0, dead_letter="dlq", max_messages=1))
    fixture.add(1, first=40)
    fixture.fail()
    (old,) = fixture.turns.due(now_s=NOW_S)
    new = fixture.lanes.open("t", 0, fixture.route, anew_as="B", now_s=NOW_S)
    fixture.add(1)
    assert fixture.lanes.take(fixture.submitted.pop(0), now_s=NOW_S) is None
    fixture.deliver(old, now_s=NOW_S)
    assert fixture.stored() == {0: 0}, "the new log's begin, not 41"
    assert fixture.succeed() == [0]
    assert (new.topic_id, new.next_offset) == ("B", 1)


def test_the_begin_of_a_new_log_is_committed_until_kafka_has_it() -> None:
    """While its first batch is at work, too."""
    fixture = Fixture(partitions=0)
    lane = fixture.lanes.open("t", 0, fixture.route, anew_as="B", now_s=NOW_S)
    assert fixture.commits.rest() == []
    fixture.add(2, first=3)
    assert fixture.commits.rest() == [lane]
    assert lane.next_offset == 3
    fixture.lanes.committed({("t", 0): 3}, now_s=NOW_S)
    assert fixture.commits.rest() == []


def test_an_id_that_is_learned_at_rest_is_committed() -> None:
    """Nothing else would be committed any more, and the next owner compares it."""
    fixture = Fixture()
    fixture.add(1)
    fixture.succeed()
    fixture.lane().end_offset = 1
    fixture.lanes.committed({("t", 0): 1}, now_s=NOW_S)
    assert fixture.commits.rest() == []
    fixture.lane().learn_id("A")

    assert fixture.commits.rest() == [fixture.lane()]


def test_ids_that_kafka_does_not_take_are_left_out() -> None:
    """What is stored with one is stored once more, without."""
    fixture = Fixture(partitions=2)
    fixture.add(1)
    fixture.succeed()
    fixture.lane().learn_id("A")
    assert fixture.stored() == {0: 1}
    fixture.commits.keep_no_ids()
    assert fixture.stored() == {0: 1}
    assert not fixture.lane().keeps_id
    assert not fixture.lanes.open("t", 2, fixture.route, now_s=NOW_S).keeps_id
