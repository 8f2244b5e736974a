"""Messages that kill their process, counted over its lives; without Kafka."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

from swarm_worker.app.app import Route
from swarm_worker.app.batch import Batch
from swarm_worker.processing.deliveries import Deliveries
from swarm_worker.processing.lane import Lane
from swarm_worker.processing.lanes import Lanes
from swarm_worker.processing.poison import (
    AHEAD_S,
    ProcessDiedError,
    Suspect,
    Suspects,
    of_group,
    suspects_of,
)
from swarm_worker.reporting.progress import Progress
from swarm_worker.reporting.trace import Trace
from tests.unit.swarm_worker.processing.test_lanes import messages

NOW_S = 1000.0
COUNT = 10  # messages of a partition
ROUTE = Route(
    topics=("t",), group="g", handler=lambda _: None, max_retries=3, dead_letter="dlq"
)


class Life:
    """One process of a node: from what the last one left to what it leaves."""

    def __init__(self, left: Sequence[Trace], *, route: Route = ROUTE) -> None:
        self.submitted: list[Lane] = []
        self.lanes = Lanes(
            node=0,
            max_messages=4,
            submit=self.submitted.append,
            suspects=suspects_of(left),
        )
        self.route = route

    def assign(self, *partitions: int, first: int = 0) -> None:
        """Get partitions, and all messages of them from an offset on."""
        for partition in partitions:
            self.lanes.open("t", partition, self.route, now_s=NOW_S)
            lane = self.lanes.table.get("t", partition)
            assert lane is not None
            self.lanes.add(lane, messages(COUNT - first, first, partition))

    def take(self) -> tuple[Lane, Batch]:
        """Have a handler thread take what comes first."""
        lane = self.submitted.pop(0)
        batch = self.lanes.take(lane, now_s=NOW_S)
        assert batch is not None
        return lane, batch

    def work_until(self, poison: int) -> tuple[Lane, Batch]:
        """Handle batches up to the one that has its offset; give that."""
        while True:
            lane, batch = self.take()
            if any(each.offset() == poison for each in batch):
                return lane, batch
            self.lanes.done(lane, batch, now_s=NOW_S)


def offsets(batch: Batch) -> list[int | None]:
    """Return the offsets of a batch."""
    return [each.offset() for each in batch]


def deaths_at(poison: int, *, route: Route = ROUTE) -> list[list[int | None]]:
    """Live until the poison message is given up, six times at most; give the batches.

    Committed is what was done before each death.
    """
    left: list[Trace] = []
    batches: list[list[int | None]] = []
    for _ in range(6):
        life = Life(left, route=route)
        first = batches[-1][0] if batches else 0
        life.assign(0, first=first or 0)
        lane, batch = life.work_until(poison)
        if lane.death_of(batch, now_s=NOW_S):
            return [*batches, offsets(batch), []]
        batches.append(offsets(batch))
        left = [lane.trace_of(batch)]
    return batches


def test_a_message_that_kills_each_time_is_given_up_like_one_that_raises() -> None:
    """Twice its batch dies; then it alone, so that it is known; then it is given up."""
    assert deaths_at(6) == [[4, 5, 6, 7], [4, 5, 6, 7], [6], [6], [6], []]


def test_one_death_is_a_chance_whatever_max_retries_says() -> None:
    """A KILL by hand takes no message away from anybody.

    Nor do two: that its handler works was known with the third try only.
    """
    eager = dataclasses.replace(ROUTE, max_retries=0, max_messages=1)

    assert deaths_at(0, route=eager) == [[0], [0], [0], [0], []]


def test_without_a_dead_letter_topic_nothing_is_counted() -> None:
    """There would be nowhere to put it: batches stay whole, for ever."""
    patient = dataclasses.replace(ROUTE, max_retries=None, dead_letter=None)

    assert deaths_at(6, route=patient) == [[4, 5, 6, 7]] * 6


def test_a_message_is_to_blame_only_if_nothing_else_was_in_flight() -> None:
    """Two that are always in flight together blame each other for ever."""
    left = [
        Trace(group="g", topic="t", partition=p, offset=6, end=7, deaths=8)
        for p in (0, 1)
    ]
    life = Life(left)
    life.assign(0, 1, first=6)
    for _ in left:
        lane, batch = life.take()
        assert lane.death_of(batch, now_s=NOW_S) is None
        assert lane.trace_of(batch).deaths == 9
    assert len(suspects_of(left[:1])) == 1
    assert suspects_of(left[:1])[0].is_alone


def test_a_death_elsewhere_ends_the_count() -> None:
    """In a row: between its deaths a message was handled, or another one killed."""
    life = Life(left_by(deaths=3))
    life.assign(0, first=6)
    lane_6, batch = life.take()
    assert lane_6.trace_of(batch).deaths == 3
    life.lanes.done(lane_6, batch, now_s=NOW_S)
    lane_7, batch = life.take()
    assert offsets(batch) == [7, 8, 9]
    assert lane_7.trace_of(batch).deaths == 0


def test_two_poison_messages_do_not_set_each_other_back() -> None:
    """What had not come as another one killed is carried over as it is."""
    first, second = left_by(deaths=3), left_by(deaths=2, partition=1)
    (ahead,) = suspects_of(second)
    left = [*first, ahead.carried_over]

    died, waits = suspects_of(left)

    assert (died.deaths, died.is_alone) == (3, True)
    assert (waits.deaths, waits.is_alone, waits.is_poison) == (2, True, True)
    life = Life(left)
    assert life.lanes.suspects.ahead(now_s=NOW_S) == [died, waits]
    life.assign(0, first=6)
    lane, batch = life.take()
    life.lanes.done(lane, batch, now_s=NOW_S)
    assert life.lanes.suspects.ahead(now_s=NOW_S) == [waits]
    assert life.lanes.suspects.ahead(now_s=NOW_S + AHEAD_S) == []


def test_a_suspect_that_was_in_flight_again_is_counted_once() -> None:
    """Its own line stands beside that of the batch."""
    (ahead,) = suspects_of(left_by(deaths=2))
    again = dataclasses.replace(ahead.carried_over, is_ahead=False)

    (suspect,) = suspects_of([ahead.carried_over, again])

    assert (suspect.deaths, suspect.is_alone) == (3, True)


def test_what_comes_before_the_suspect_is_none() -> None:
    """It was done and not committed: it is repeated, neither given up nor counted."""
    life = Life(left_by(deaths=9))
    life.assign(0, first=5)
    lane, batch = life.take()

    assert [suspect.position for suspect in left_by(deaths=9)] == ["t/0@6"]
    assert offsets(batch) == [5]
    assert lane.death_of(batch, now_s=NOW_S) is None
    assert lane.trace_of(batch).deaths == 0
    assert not lane.has_suspect_in_hand


def left_by(
    *, deaths: int, partition: int = 0, is_witnessed: bool = True
) -> list[Trace]:
    """Return what is left by the last of so many processes that died at offset 6."""
    return [
        Trace(
            group="g", topic="t", partition=partition, offset=6, end=7,
            deaths=deaths - 1, is_witnessed=is_witnessed, since_s=NOW_S,
        )
    ]  # fmt: skip


def test_what_is_given_up_is_a_dead_letter_with_the_deaths_for_attempts() -> None:
    """Through the same gate as a message whose handler raised."""
    life = Life(left_by(deaths=4))
    life.assign(0, first=6)
    lane, batch = life.take()
    death = lane.death_of(batch, now_s=NOW_S)
    assert isinstance(death, ProcessDiedError)

    verdict = life.lanes.failed(lane, batch, death, done_count=0, now_s=NOW_S)

    assert verdict is not None
    assert verdict.retry_in_s is None
    (due,) = life.lanes.turns.due(now_s=NOW_S)
    assert due.dead_letter is not None
    assert due.dead_letter.attempts == 4
    assert "4 times in a row" in str(due.dead_letter.error)
    deliveries = Deliveries(life.lanes, progress=Progress(), clock=lambda: NOW_S)
    deliveries.on_delivery(due, None)
    assert lane.next_offset == 7
    assert not life.lanes.is_isolating(now_s=NOW_S)


def test_a_node_isolates_until_the_suspect_is_past() -> None:
    """From its start on, before anything is assigned, and as long as it is in hand."""
    life = Life(left_by(deaths=2))
    assert life.lanes.is_isolating(now_s=NOW_S)
    life.assign(0, first=6)
    lane, batch = life.take()
    assert offsets(batch) == [6]
    assert life.lanes.is_isolating(now_s=NOW_S + 2 * AHEAD_S)

    life.lanes.done(lane, batch, now_s=NOW_S)
    assert not life.lanes.is_isolating(now_s=NOW_S)


def test_a_node_does_not_isolate_for_ever_what_does_not_come() -> None:
    """Its partition went to another node, or it is gone from the log."""
    life = Life(left_by(deaths=2, partition=5))
    assert life.lanes.is_isolating(now_s=NOW_S)
    life.assign(0)
    life.take()
    assert life.lanes.is_isolating(now_s=NOW_S + AHEAD_S - 1)
    assert not life.lanes.is_isolating(now_s=NOW_S + AHEAD_S)


def test_after_one_death_nothing_is_isolated() -> None:
    """After a KILL all handlers go on with whole batches."""
    life = Life(left_by(deaths=1))
    life.assign(0, first=6)

    assert not life.lanes.is_isolating(now_s=NOW_S)
    assert offsets(life.take()[1]) == [6, 7, 8, 9]


def test_groups_that_share_a_topic_are_told_apart() -> None:
    """The handler of the one may kill, that of the other not."""
    (suspect,) = suspects_of(left_by(deaths=2))

    assert of_group([suspect], "g") == [suspect]
    assert of_group([suspect], "other") == []
    assert isinstance(suspect, Suspect)
    assert Suspects([], threading.Lock()).among("t", 0) == []


def test_a_new_log_has_no_suspect_of_the_old_one() -> None:
    """The message at that offset is another; nobody waits for the one that is gone."""
    trace = Trace(group="g", topic="t", partition=0, offset=3, end=4, deaths=3)
    life = Life([trace])
    life.assign(0)
    assert life.lanes.suspects.ahead(now_s=NOW_S)
    lane = life.lanes.open("t", 0, ROUTE, anew_as="B", now_s=NOW_S)
    assert lane.suspects == []
    assert life.lanes.suspects.ahead(now_s=NOW_S) == []


# --- whether it is the message --------------------------------------------------------


def test_the_next_message_is_tried_before_the_last_try() -> None:
    """Once; then its handler is known to work, and the next death is the last."""
    life = Life(left_by(deaths=3, is_witnessed=False))
    life.assign(0, first=6)
    lane, batch = life.take()
    assert offsets(batch) == [7]
    assert lane.death_of(batch, now_s=NOW_S) is None
    assert lane.trace_of(batch).deaths == 0
    life.lanes.done(lane, batch, now_s=NOW_S)
    assert lane.next_offset == -1

    lane, batch = life.take()
    assert offsets(batch) == [6]
    assert lane.death_of(batch, now_s=NOW_S) is None
    left = lane.trace_of(batch)
    assert (left.deaths, left.is_witnessed) == (3, True)
    after = Life([left])
    after.assign(0, first=6)
    lane, batch = after.take()
    assert lane.death_of(batch, now_s=NOW_S) is not None


def test_a_message_that_kills_no_more_is_done_after_the_one_behind_it() -> None:
    """Whatever had killed is over: nothing is put aside."""
    life = Life(left_by(deaths=9, is_witnessed=False))
    life.assign(0, first=6)
    for offset in (7, 6):
        lane, batch = life.take()
        assert offsets(batch) == [offset]
        assert lane.death_of(batch, now_s=NOW_S) is None
        life.lanes.done(lane, batch, now_s=NOW_S)

    assert life.lanes.table.all()[0].next_offset == 8
    assert offsets(life.take()[1]) == [8, 9]


def test_if_the_next_message_fails_as_well_the_first_is_called_all_the_same() -> None:
    """Nobody knows whose fault it is, and its next death proves nothing."""
    life = Life(left_by(deaths=3, is_witnessed=False))
    life.assign(0, first=6)
    lane, batch = life.take()
    life.lanes.failed(lane, batch, ValueError(), done_count=0, now_s=NOW_S)

    lane, batch = life.take()
    assert offsets(batch) == [6]
    assert lane.death_of(batch, now_s=NOW_S) is None
    assert not lane.trace_of(batch).is_witnessed


def test_another_partition_is_witness_for_a_death_too() -> None:
    """In this life or one before, since the first death: no next message is tried."""
    life = Life(left_by(deaths=3, is_witnessed=False))
    life.assign(1)
    lane, batch = life.take()
    life.lanes.done(lane, batch, now_s=NOW_S)
    life.assign(0, first=6)
    life.submitted.pop(0)
    lane, batch = life.take()

    assert offsets(batch) == [6]
    assert lane.trace_of(batch).is_witnessed
    fresh = Life([])
    fresh.assign(1, 0)
    lane, batch = fresh.take()
    fresh.lanes.done(lane, batch, now_s=NOW_S)
    fresh.submitted.pop()
    lane, batch = fresh.take()
    assert not lane.trace_of(batch).is_witnessed, "nobody has died of it yet"


class Slot:
    """Lives of one node with one partition, each of 10 s, until one ends well.

    Attributes:
        told: What was called in each, with ``!`` where it died, ``-`` where it was put
            aside.
    """

    def __init__(self, kills: Sequence[int], *, after_s: float = 1e9) -> None:
        self.kills, self.now_s = kills, NOW_S
        self.route = dataclasses.replace(
            ROUTE, dead_letter_after_s=after_s, max_messages=1
        )
        self.told: list[str] = []
        self.left: list[Trace] = []
        self.first = 0

    def live(self, count: int) -> list[str]:
        """Live so often; return what is told."""
        while len(self.told) < count and self.first < COUNT:
            self.now_s += 10.0
            life = Life(self.left, route=self.route)
            life.assign(0, first=self.first)
            calls: list[str] = []
            while life.submitted and calls[-1:] != ["!"]:
                calls += self._work(life)
            self.told.append("".join(calls))
        return self.told

    def _work(self, life: Life) -> list[str]:
        lane = life.submitted.pop(0)
        batch = life.lanes.take(lane, now_s=self.now_s)
        assert batch is not None
        offset = batch[0].offset() or 0
        called = [str(offset)]
        if death := lane.death_of(batch, now_s=self.now_s):
            life.lanes.failed(lane, batch, death, done_count=0, now_s=self.now_s)
            life.lanes.turns.due(now_s=self.now_s)
            deliveries = Deliveries(
                life.lanes, progress=Progress(), clock=lambda: self.now_s
            )
            deliveries.on_delivery(lane, None)
            called = ["-", str(offset)]
        elif offset in self.kills:
            ahead = life.lanes.suspects.ahead(now_s=self.now_s)
            carried = [each.carried_over for each in ahead]
            self.left = [*carried, lane.trace_of(batch)]
            called = [str(offset), "!"]
        else:
            life.lanes.done(lane, batch, now_s=self.now_s)
        self.first = max(self.first, lane.next_offset)
        return called


def test_a_world_that_kills_gives_nothing_up() -> None:
    """Until dead_letter_after; what is at fault cannot be told before."""
    everything = range(COUNT)
    assert not [each for each in Slot(everything).live(60) if "-" in each]
    ended = Slot(everything, after_s=200.0).live(60)

    assert not [each for each in ended[:20] if "-" in each]
    assert sum("-" in each for each in ended) == 4


def test_a_killer_alone_in_its_partition_takes_as_many_deaths_as_ever() -> None:
    """With max_retries of 3, four, and no fifth call."""
    assert Slot([0]).live(9) == ["0!", "0!", "0!", "10!", "-0123456789"]


def test_one_that_kills_as_it_is_tried_is_tried_twice() -> None:
    """Once may be chance. Both have their deaths, and both end at last."""
    told = Slot([0, 1], after_s=100.0).live(30)

    assert told[:6] == ["0!", "0!", "0!", "1!", "1!", "0!"]
    assert next(each for each in told if "-" in each).startswith("-0")
    assert told[-1] == "-123456789"
