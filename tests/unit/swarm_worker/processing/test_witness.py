"""Who is to blame for a failure: the message, or the world; over whole histories."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from math import inf

import pytest
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_worker.app.app import Route
from swarm_worker.app.batch import Batch
from swarm_worker.processing.deliveries import Deliveries
from swarm_worker.processing.failures import Verdict
from swarm_worker.processing.lane import Lane, Phase
from swarm_worker.processing.lanes import Lanes
from swarm_worker.processing.witness import Witness, Witnesses
from swarm_worker.reporting.progress import Progress
from tests.unit.swarm_worker.processing.test_lanes import messages

HOUR_S = 3600.0
NOW_S = 1000.0
HERE = ("g", "t", 0, False)
THERE = ("g", "t", 1, False)

Place = tuple[int, int]  # partition, offset
Fails = Callable[[Place, float], bool]


def handler(_: Batch) -> None:
    """Stand for the one function that all topics here share."""


ROUTE = Route(
    topics=("t",), group="g", handler=handler, max_retries=3, dead_letter="dlq"
)


class World:
    """One life of a node, on one handler thread, in a time that only work moves.

    Attributes:
        calls: Of the handler, each with its first message, and whether it succeeded.
        order: Messages as they were handled.
        put_aside: Dead letters that were acknowledged.
        withheld: Why messages were not put aside, as it is logged.
    """

    def __init__(
        self,
        fails: Fails,
        *,
        partitions: int = 1,
        count: int = 20,
        route: Route = ROUTE,
        after_s: float = HOUR_S,
        takes_s: float = 0.01,
    ) -> None:
        self.fails, self.takes_s, self.now_s = fails, takes_s, NOW_S
        self.calls: list[tuple[Place, bool]] = []
        self.order: list[Place] = []
        self.put_aside: list[Place] = []
        self.withheld: list[str] = []
        self.submitted: list[Lane] = []
        self.is_refused = False
        self.lanes = Lanes(
            node=0,
            max_messages=5,
            submit=self.submitted.append,
            dead_letter_after_s=after_s,
        )
        self.deliveries = Deliveries(
            self.lanes, progress=Progress(), clock=lambda: self.now_s
        )
        for partition in range(partitions):
            self.lanes.open("t", partition, route, now_s=NOW_S)
            self.add(count, partition=partition)

    def lane(self, partition: int = 0) -> Lane:
        """Return the lane of a partition."""
        lane = self.lanes.table.get("t", partition)
        assert lane is not None
        return lane

    def add(self, count: int, *, first: int = 0, partition: int = 0) -> None:
        """Let messages come."""
        if count:
            self.lanes.add(self.lane(partition), messages(count, first, partition))

    def run(self, for_s: float) -> World:
        """Work, wait out back-offs, and deliver dead letters, for so long."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            self._step(until_s)
        return self

    def run_to_trial(self, lane: Lane) -> Lane:
        """Work until the message after one that fails is to be tried; give its lane."""
        while lane.on_trial is None:
            self._step(inf)
        assert self.submitted == [lane]
        return self.submitted.pop()

    def _step(self, until_s: float) -> None:
        if self.submitted:
            self._work(self.submitted.pop(0))
        elif not self._serve():
            self.now_s = min([until_s, *self._retries_at_s()])

    def _retries_at_s(self) -> Iterable[float]:
        waiting = self.lanes.table.all()
        return (lane.retry_at_s for lane in waiting if lane.phase is Phase.WAITING)

    def _serve(self) -> bool:
        for lane in self.lanes.turns.due(now_s=self.now_s):
            assert lane.dead_letter is not None
            if self.is_refused:
                self.deliveries.on_delivery(lane, KafkaError(KafkaError._FAIL))
            else:
                offset = lane.dead_letter.message.offset() or 0
                self.put_aside.append((lane.partition, offset))
                self.deliveries.on_delivery(lane, None)
            self._check_offsets()
        return bool(self.submitted)

    def _work(self, lane: Lane) -> None:
        batch = self.lanes.take(lane, now_s=self.now_s)
        if batch is None:
            return
        began_at_s = self.now_s
        failed = self.call(batch)
        self.now_s = began_at_s + self.takes_s
        self.calls.append(((lane.partition, batch[0].offset() or 0), not failed))
        if failed:
            self.fail(lane, batch)
        else:
            self.lanes.done(lane, batch, now_s=self.now_s)
        self._check_offsets()
        self.commit()

    def call(self, batch: Batch) -> bool:
        """Mark message after message; whether one fails."""
        for each in batch:
            place = batch.partition, each.offset() or 0
            if self.fails(place, self.now_s):
                return True
            batch.mark_done(each)
            self.order.append(place)
        return False

    def fail(self, lane: Lane, batch: Batch) -> Verdict | None:
        """Let a batch fail."""
        verdict = self.lanes.failed(
            lane,
            batch,
            ConnectionError("away"),
            done_count=batch.done_count,
            now_s=self.now_s,
            error_text="ConnectionError('away')",
        )
        if verdict is not None and verdict.withheld:
            self.withheld.append(verdict.withheld)
        return verdict

    def commit(self) -> None:
        """Let Kafka take what is done."""
        done = {
            lane.key: lane.next_offset
            for lane in self.lanes.table.all()
            if lane.next_offset >= 0
        }
        self.lanes.committed(done, now_s=self.now_s)

    def _check_offsets(self) -> None:
        """See that no offset has moved past a message that is not done."""
        done = self.done | set(self.put_aside)
        for lane in self.lanes.table.all():
            due = {(lane.partition, offset) for offset in range(lane.next_offset)}
            assert due <= done

    @property
    def done(self) -> set[Place]:
        """The messages that were handled."""
        return set(self.order)

    def tries(self, place: Place) -> int:
        """Return how many calls began with a message."""
        return sum(at == place for at, _ in self.calls)

    def in_order(self) -> bool:
        """Whether each partition was handled in order, and each message once."""
        by_partition: dict[int, list[int]] = {}
        for partition, offset in self.order:
            by_partition.setdefault(partition, []).append(offset)
        return all(found == sorted(set(found)) for found in by_partition.values())


def outage(*, until_s: float, poison: Iterable[Place] = ()) -> Fails:
    """Return a handler that fails for so long, and always for some messages."""
    bad = set(poison)
    return lambda place, now_s: place in bad or now_s < NOW_S + until_s


def every(partitions: int, *, count: int = 20) -> set[Place]:
    """Return all messages."""
    return {(p, offset) for p in range(partitions) for offset in range(count)}


# --- the world ------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [1, 12])
def test_an_outage_makes_no_dead_letters(partitions: int) -> None:
    """Three minutes, and all is handled afterwards, in order."""
    world = World(outage(until_s=180.0), partitions=partitions).run(300.0)

    assert world.put_aside == []
    assert world.done == every(partitions)
    assert world.in_order()


@pytest.mark.parametrize("partitions", [1, 12])
def test_one_bad_message_within_an_outage_is_given_up_after_it(partitions: int) -> None:
    """It and no other: the next of its partition shows that the handler works."""
    bad = (0, 0)
    world = World(outage(until_s=180.0, poison=[bad]), partitions=partitions)
    world.run(179.0)
    assert world.put_aside == []
    world.run(121.0)

    assert world.put_aside == [bad]
    assert world.done == every(partitions) - {bad}
    assert world.in_order()


def test_poison_in_each_partition_is_given_up() -> None:
    """Each one's own next message speaks against it: no other partition could."""
    bad = {(p, 0) for p in range(12)}
    world = World(outage(until_s=0.0, poison=bad), partitions=12).run(60.0)

    assert sorted(world.put_aside) == sorted(bad)
    assert world.done == every(12) - bad
    assert world.in_order()
    assert {world.tries(place) for place in bad} <= {4, 5}


def test_the_message_that_was_tried_is_not_handled_twice() -> None:
    """Nor is anything committed past the first one before its dead letter is."""
    world = World(outage(until_s=0.0, poison=[(0, 2)]))
    world.is_refused = True
    world.run(120.0)
    assert world.lane().next_offset == 2
    assert world.order == [(0, 0), (0, 1), (0, 3)]
    assert world.lanes.failing()[0].at == "t/0@2"

    world.is_refused = False
    world.run(60.0)
    assert world.put_aside == [(0, 2)]
    assert world.order == [(0, offset) for offset in range(20) if offset != 2]
    assert world.lane().next_offset == 20


def test_another_partition_is_witness_enough() -> None:
    """Nothing behind the message is tried, and it is tried no more than before."""
    world = World(
        outage(until_s=0.0, poison=[(0, 0)]), partitions=2, count=0, takes_s=0.2
    )
    world.add(1)
    for offset in range(100):
        world.add(1, first=offset, partition=1)
    world.run(30.0)

    assert world.put_aside == [(0, 0)]
    assert world.tries((0, 0)) == 4


def test_a_call_from_before_is_no_witness() -> None:
    """What it did in a database that is away by now had been done by then."""
    witness = Witness()
    witness.worked(NOW_S)
    assert not witness.works_since(NOW_S, apart_from=HERE)
    assert witness.works_since(NOW_S - 1, apart_from=HERE)
    witness.worked(NOW_S - 5)
    assert witness.works_since(NOW_S - 1, apart_from=HERE), "the last one counts"


def test_a_witness_is_none_once_others_fail() -> None:
    """An outage that begins slowly lets one call pass after the first has failed."""
    witness = Witness()
    witness.worked(NOW_S + 1)
    witness.failed(HERE)
    assert witness.works_since(NOW_S, apart_from=HERE)
    assert not witness.others_fail(HERE)
    witness.failed(THERE)
    assert not witness.works_since(NOW_S, apart_from=HERE)
    assert witness.others_fail(HERE)
    witness.worked(NOW_S + 2)
    assert witness.works_since(NOW_S, apart_from=HERE)


def test_what_failed_before_anything_worked_is_not_blamed() -> None:
    """A call that waits out the end of an outage had begun within it."""
    world = World(outage(until_s=0.0, poison=[(0, 0)]), partitions=2, count=0)
    world.add(1)
    world.add(1, partition=1)
    lane, other = world.lane(), world.lane(1)
    world.fails = outage(until_s=inf)
    world.run(20.0)
    batch = world.lanes.take(world_turn(world, lane), now_s=world.now_s)
    world.fails = outage(until_s=0.0)
    assert batch is not None
    world._work(world_turn(world, other))
    assert world.done == {(1, 0)}

    verdict = world.fail(lane, batch)

    assert verdict is not None
    assert verdict.retry_in_s is not None
    world.run(60.0)
    assert world.put_aside == []
    assert (0, 0) in world.done


def world_turn(world: World, lane: Lane) -> Lane:
    """Let a lane's back-off be over; give it, submitted."""
    lane.retry_at_s = world.now_s
    world.lanes.turns.due(now_s=world.now_s)
    world.submitted.remove(lane)
    return lane


def test_the_end_of_an_outage_blames_nobody() -> None:
    """The next message is done, and the call that had failed was of before.

    So the message is tried once more, now that its handler is known to work.
    """
    world = World(outage(until_s=8.4), takes_s=0.3).run(100.0)

    assert world.calls[4:8] == [
        ((0, 0), False),
        ((0, 1), True),
        ((0, 0), True),
        ((0, 2), True),
    ]
    assert world.put_aside == []
    assert world.done == every(1)


def test_a_message_that_has_no_retries_is_called_again() -> None:
    """One failure alone proves nothing: the world may have been the matter."""
    once = dataclasses.replace(ROUTE, max_retries=0, max_messages=1)
    world = World(outage(until_s=0.0, poison=[(0, 0)]), route=once).run(10.0)

    assert world.put_aside == [(0, 0)]
    assert [at for at, _ in world.calls[:3]] == [(0, 0), (0, 1), (0, 0)]


def test_a_message_that_fails_now_and_then_is_not_given_up() -> None:
    """Its last try counts, whatever the next message has shown."""
    failures = iter([True, True, True])
    world = World(lambda place, _: place == (0, 0) and next(failures, False)).run(60.0)

    assert world.put_aside == []
    assert world.order[:2] == [(0, 1), (0, 0)]
    assert world.done == every(1)


# --- nobody to ask --------------------------------------------------------------------


def test_a_message_alone_waits_for_the_next() -> None:
    """It may be the world: it is tried every 30 s until another one has come."""
    world = World(outage(until_s=0.0, poison=[(0, 0)]), count=1).run(1800.0)
    assert world.put_aside == []
    assert world.tries((0, 0)) > 60
    assert world.withheld == ["its handler has taken no other message since"] * 3
    world.add(1, first=1)
    world.run(31.0)

    assert world.put_aside == [(0, 0)]
    assert world.done == {(0, 1)}


def test_where_nothing_succeeds_max_retries_counts_in_the_end() -> None:
    """Poison everywhere ends: the first waits for an hour, the others do not."""
    world = World(outage(until_s=inf), count=4).run(HOUR_S - 60)
    assert world.put_aside == []
    world.run(200.0)

    assert world.put_aside == [(0, offset) for offset in range(4)]


def test_a_success_ends_that() -> None:
    """The next outage has an hour again."""
    world = World(outage(until_s=HOUR_S + 60), count=30).run(2 * HOUR_S)
    given_up = len(world.put_aside)
    assert 0 < given_up < 12, "those of the minute after the hour"
    assert len(world.done) == 30 - given_up
    world.fails = outage(until_s=inf)
    world.add(5, first=30)
    world.run(HOUR_S - 60)

    assert len(world.put_aside) == given_up


def test_never_is_never() -> None:
    """With dead_letter_after of false; and 0 is max_retries alone, as it was."""
    never = World(outage(until_s=inf), after_s=inf).run(30 * HOUR_S)
    assert never.put_aside == []
    at_once = World(outage(until_s=inf), after_s=0.0, count=2).run(60.0)

    assert at_once.put_aside == [(0, 0), (0, 1)]


def test_a_topic_has_its_own_time() -> None:
    """It goes before the node's."""
    own = dataclasses.replace(ROUTE, dead_letter_after_s=60.0)
    world = World(outage(until_s=inf), route=own, count=1).run(200.0)

    assert world.put_aside == [(0, 0)]


def test_two_bad_messages_in_a_row_wait_for_another_partition() -> None:
    """In their own there is no witness."""
    bad = [(0, 0), (0, 1)]
    world = World(outage(until_s=0.0, poison=bad)).run(600.0)
    assert world.put_aside == []
    assert world.done == set()
    busy = World(outage(until_s=0.0, poison=bad), partitions=2, count=0)
    busy.add(20)
    for offset in range(60):
        busy.add(1, first=offset, partition=1)
        busy.run(1.0)

    assert busy.put_aside == bad


# --- what is told ---------------------------------------------------------------------


def test_in_an_outage_the_report_says_that_all_fail_alike() -> None:
    """And of one that is alone, or not yet to be given up, its own error."""
    world = World(outage(until_s=180.0), partitions=2).run(5.0)
    assert {each.error for each in world.lanes.failing()} == {"ConnectionError('away')"}
    world.run(10.0)
    alike = "all messages fail alike (ConnectionError)"
    assert {each.error for each in world.lanes.failing()} == {alike}
    assert world.withheld == [alike] * 2, "each once"
    world.run(200.0)
    assert world.lanes.failing() == []

    alone = World(outage(until_s=inf), count=1).run(60.0)
    assert [each.error for each in alone.lanes.failing()] == ["ConnectionError('away')"]


# --- stops and rebalances -------------------------------------------------------------


def in_trial() -> tuple[World, Lane, Batch]:
    """Return a world in which the message after the one that fails is being tried."""
    world = World(outage(until_s=inf))
    lane = world.lane()
    batch = world.lanes.take(world.run_to_trial(lane), now_s=world.now_s)
    assert batch is not None
    assert [each.offset() for each in batch] == [1]
    return world, lane, batch


def test_marks_of_the_message_that_is_tried_move_nothing() -> None:
    """While it runs, too: the oldest one is still that which had failed."""
    world, lane, batch = in_trial()
    batch.mark_done(batch[0])
    world.lanes.count_marks(now_s=world.now_s)

    assert lane.oldest is not None
    assert lane.oldest.offset() == 0

    assert lane.next_offset == -1


def test_a_trial_whose_handler_marks_and_raises_is_a_success() -> None:
    """All of its message is done."""
    world, lane, batch = in_trial()
    batch.mark_done(batch[0])
    world.order.append((0, 1))
    world.fail(lane, batch)
    assert lane.next_offset == -1
    world.fails = outage(until_s=0.0)
    world.run(10.0)

    assert world.order[:3] == [(0, 1), (0, 0), (0, 2)]
    assert lane.next_offset == 20


@pytest.mark.parametrize("works", [True, False])
def test_a_partition_that_goes_during_a_trial_leaves_nothing(*, works: bool) -> None:
    """The next owner begins with the message that failed."""
    world, lane, batch = in_trial()
    world.lanes.close([("t", 0)])
    if works:
        world.lanes.done(lane, batch, now_s=world.now_s)
    else:
        world.fail(lane, batch)

    assert world.lanes.turns.due(now_s=world.now_s + HOUR_S) == []
    assert world.lanes.commits.take_unstored() == []
    assert lane.backlog == 0
    assert world.lanes.turns.wait_idle(within_s=0.0)


def test_a_quiet_node_goes_on_with_the_trial_afterwards() -> None:
    """What waits for its turn meanwhile is not lost."""
    world, lane, batch = in_trial()
    world.lanes.table.is_held = True
    world.fail(lane, batch)
    assert (lane.on_trial, lane.phase, lane.backlog) == (None, Phase.WAITING, 20)
    world.lanes.table.is_held = False
    world.lanes.turns.offer_all()
    world.fails = outage(until_s=0.0)
    world.run(60.0)

    assert world.put_aside == []
    assert world.in_order()
    assert world.done == every(1)


def test_a_trial_that_has_not_begun_waits_while_the_node_is_quiet() -> None:
    """The message that failed stands in no chunk by then."""
    world = World(outage(until_s=0.0, poison=[(0, 0)]))
    lane = world.lane()
    world.run_to_trial(lane)
    world.lanes.table.is_held = True
    assert world.lanes.take(lane, now_s=world.now_s) is None
    world.lanes.table.is_held = False
    world.lanes.turns.offer_all()
    world.run(60.0)

    assert world.put_aside == [(0, 0)]
    assert world.done == every(1) - {(0, 0)}


def test_the_log_that_was_reset_has_no_next_message() -> None:
    """What comes then stands before the one that fails, or is another."""
    world = World(outage(until_s=0.0, poison=[(0, 7)]), count=0)
    world.add(1, first=7)
    world.add(5, first=0)
    world.run(60.0)

    assert world.put_aside == []
    assert world.done == set()


# --- one handler, several topics ------------------------------------------------------


def test_a_function_is_one_handler_whatever_it_is_used_for() -> None:
    """Methods of one object as well; an object that cannot be hashed is one, too."""

    class Bill:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, batch: Batch) -> None: ...
        def __eq__(self, other: object) -> bool:
            return True

    class Shop:
        def bill(self, batch: Batch) -> None: ...

    witnesses, shop, unhashed = Witnesses(), Shop(), Bill()
    assert witnesses.of(handler) is witnesses.of(handler)
    assert witnesses.of(shop.bill) is witnesses.of(shop.bill)
    assert witnesses.of(shop.bill) is not witnesses.of(Shop().bill)
    assert witnesses.of(unhashed) is witnesses.of(unhashed)
    assert witnesses.of(unhashed) is not witnesses.of(Bill())


def test_groups_of_a_node_share_their_handlers_witness() -> None:
    """A success in one group counts in the other."""
    witnesses, submitted = Witnesses(), list[Lane]()
    billing, audit = (
        Lanes(node=0, max_messages=1, submit=submitted.append, witnesses=witnesses)
        for _ in range(2)
    )
    for lanes in (billing, audit):
        lanes.open("t", 0, ROUTE, now_s=NOW_S)
        lane = lanes.table.get("t", 0)
        assert lane is not None
        lanes.add(lane, messages(1))
    lane = submitted.pop()
    batch = audit.take(lane, now_s=NOW_S + 1)
    assert batch is not None
    audit.done(lane, batch, now_s=NOW_S + 1)

    other = billing.table.get("t", 0)
    assert other is not None
    assert other.failures.witness.works_since(NOW_S, apart_from=HERE)


# --- every history --------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    partitions=st.integers(1, 4),
    outage_s=st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 600.0)),
    poison=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 11)), max_size=4),
    takes_s=st.sampled_from([0.001, 0.3, 2.5]),
)
def test_in_every_history_poison_alone_is_put_aside(
    partitions: int,
    outage_s: tuple[float, float],
    poison: set[Place],
    takes_s: float,
) -> None:
    """All else is handled, once; no offset moves past what is neither (`World`)."""
    begin_s, length_s = outage_s

    def fails(place: Place, now_s: float) -> bool:
        return place in poison or 0 <= now_s - NOW_S - begin_s < length_s

    world = World(
        fails, partitions=partitions, count=12, takes_s=takes_s, after_s=inf
    ).run(3000.0)

    everything = every(partitions, count=12)
    assert set(world.put_aside) <= poison
    assert len(world.put_aside) == len(set(world.put_aside))
    assert world.done.isdisjoint(poison)
    assert len(world.order) == len(world.done)
    if all((p, offset + 1) in everything - poison for p, offset in poison):
        assert world.done == everything - poison
