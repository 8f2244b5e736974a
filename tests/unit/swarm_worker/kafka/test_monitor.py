"""What a client's troubles mean: whose doing a fencing is, why commits do not come."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from confluent_kafka import KafkaError

from swarm_worker.app.app import Route
from swarm_worker.app.batch import message
from swarm_worker.app.token import TokenCallback
from swarm_worker.kafka.errors import Kind
from swarm_worker.kafka.monitoring.brokers import BROKERS_SETTLED_S, NOWHERE_S
from swarm_worker.kafka.monitoring.commit_answers import UNCOMMITTED_LONG_S
from swarm_worker.kafka.monitoring.membership import (
    ECHO_S,
    NO_ASSIGNMENT_YET,
    TELL_AFTER_S,
    TELL_EVERY_S,
)
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.kafka.monitoring.partitions import NO_ANSWER_S
from swarm_worker.processing.lane import Lane
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.report import State
from tests.clock import FakeClock


def make_monitor(clock: FakeClock) -> Monitor:
    """Monitor a static member of a group."""
    return Monitor(
        "billing",
        {"group.instance.id": "host-billing-0"},
        progress=Progress(max_poll_interval_ms=300_000).add_consumer(),
        lanes=Lanes(node=0, max_messages=1, submit=lambda _: None),
        clock=clock,
    )


def test_fencing_of_a_steady_member_is_another_process() -> None:
    """A member that holds its session and is fenced has a rival: no fight with it."""
    monitor = make_monitor(FakeClock())
    monitor.member.assigned(is_empty=True)

    assert not monitor.member.fenced_itself()


def test_fencing_after_a_lost_session_is_its_echo_for_a_while() -> None:
    """However long the broker was away; once joined again, for some seconds only."""
    clock = FakeClock()
    monitor = make_monitor(clock)
    monitor.member.assigned(is_empty=True)
    monitor.member.lost_session()
    clock.advance(600)

    assert monitor.member.fenced_itself()
    monitor.member.assigned(is_empty=True)
    clock.advance(ECHO_S - 0.1)
    monitor.member.assigned(is_empty=True)  # a rebalance does not begin it anew
    assert monitor.member.fenced_itself()
    clock.advance(0.2)
    assert not monitor.member.fenced_itself()


def test_fencing_after_another_lost_session_is_its_echo_too() -> None:
    """Not one of the first, which was over long ago."""
    clock = FakeClock()
    monitor = make_monitor(clock)
    for _ in range(2):
        monitor.member.lost_session()
        monitor.member.assigned(is_empty=True)
        assert monitor.member.fenced_itself()
        clock.advance(ECHO_S)
        assert not monitor.member.fenced_itself()


def test_new_client_has_lost_no_session() -> None:
    """So two processes with one id do not fence each other for ever."""
    monitor = make_monitor(FakeClock())
    monitor.member.lost_session()
    monitor.begin(is_subscribed=True)

    assert not monitor.member.fenced_itself()


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN])
def test_fencing_of_a_join_that_a_broker_has_forgotten_is_no_rival(code: int) -> None:
    """Until the group has shared out; a second client that is fenced has a rival."""
    monitor = make_monitor(FakeClock())
    assert not monitor.member.fenced_itself(), "no broker was lost"
    monitor.on_error(KafkaError(code))
    assert monitor.member.fenced_itself()

    monitor.member.assigned(is_empty=True)
    assert not monitor.member.fenced_itself()
    monitor.on_error(KafkaError(code))
    assert not monitor.member.fenced_itself(), "the broker has that one on its disk"

    monitor.begin(is_subscribed=True)
    monitor.on_error(KafkaError(code))
    monitor.begin(is_subscribed=True)
    assert not monitor.member.fenced_itself(), "no fight"


def test_a_group_that_refuses_an_id_is_a_broker_that_answers() -> None:
    """A node that waits for its id has no statistics for as long; it lacks nothing."""
    clock = FakeClock()
    monitor = make_monitor(clock)
    for _ in range(9):
        monitor.begin(is_subscribed=True)
        clock.advance(0.1)
        monitor.member.id_refused()
        clock.advance(4.9)

    assert monitor.progress.no_broker_since_s is None
    assert monitor.progress.heard_at_s == clock.now_s - 4.9


def test_an_id_is_free_once_the_group_has_given_partitions() -> None:
    """An empty assignment says nothing yet; statistics do, a while later."""
    monitor = make_monitor(FakeClock())
    monitor.member.id_refused()
    awaits = []
    for is_empty in (True, False):
        monitor.member.assigned(is_empty=is_empty)
        awaits.append(monitor.progress.awaits_id)

    assert awaits == [True, False]
    assert not monitor.troubles.has(Kind.HELD_ID)


class Uncommitted:
    """A group with one partition whose work is done and not committed."""

    def __init__(self, *, is_subscribed: bool = True) -> None:
        self.clock = FakeClock()
        self.submitted: list[Lane] = []
        self.lanes = Lanes(node=0, max_messages=1, submit=self.submitted.append)
        self.progress = Progress(max_poll_interval_ms=300_000)
        self.monitor = Monitor(
            "billing",
            {},
            progress=self.progress.add_consumer(),
            lanes=self.lanes,
            clock=self.clock,
        )
        self.monitor.begin(is_subscribed=is_subscribed)
        self.lanes.open("t", 0, ROUTE, now_s=self.clock.now_s)
        (lane,) = self.lanes.table.all()
        self.lanes.add(lane, [message("m", topic="t", offset=n) for n in range(2)])
        batch = self.lanes.take(self.submitted.pop(), now_s=self.clock.now_s)
        assert batch is not None
        self.lanes.done(lane, batch, now_s=self.clock.now_s)
        self.clock.advance(2.0)
        assert self.lanes.take(self.submitted.pop(), now_s=self.clock.now_s) is None

    def answer(self, error: int | None, *, of_partition: int | None = None) -> None:
        """A commit of what is done is answered."""
        at = Answer("t", 0, 1, of_partition)
        refusal = None if error is None else KafkaError(error)
        self.monitor.commits.on_commit(refusal, [at])  # type: ignore[list-item]

    def tell(self, **changed: Any) -> tuple[str, ...]:
        """Statistics come half a second later; give what stands still."""
        self.clock.advance(0.5)
        group = {"join_state": "steady", **changed}
        broker = {"name": "b", "nodeid": 1, "state": group.pop("broker", "UP")}
        told = {"cgrp": group, "brokers": {"b": broker}}
        self.monitor.on_statistics(json.dumps(told))
        report = self.progress.report(State.RUNNING, now_s=self.clock.now_s)
        return report.stalled if report.stalled_ms is not None else ()

    def due(self) -> list[str]:
        """Return the partitions that are to be committed now."""
        due = self.monitor.commits.due(now_s=self.clock.now_s)
        return [lane.name for lane in due]


class Answer:
    """A partition as ``on_commit`` gets it: nobody else can set its error."""

    def __init__(
        self, topic: str, partition: int, offset: int, error: int | None
    ) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        self.error = None if error is None else KafkaError(error)


ROUTE = Route(
    topics=("t",), group="billing", handler=lambda _: None, max_retries=None,
    dead_letter=None, max_messages=None,
)  # fmt: skip


def test_commit_that_was_taken_lets_its_lane_go_on() -> None:
    """One that was refused does not, as a whole or for the partition."""
    uncommitted = Uncommitted()
    uncommitted.answer(KafkaError.REBALANCE_IN_PROGRESS)
    uncommitted.answer(None, of_partition=KafkaError.NOT_COORDINATOR)
    assert uncommitted.submitted == []

    uncommitted.answer(None)
    assert [lane.name for lane in uncommitted.submitted] == ["t/0"]


def test_refused_commits_are_told_of_once_and_are_no_stall(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Kafka says no, so no restart would help; a line at the begin and at the end."""
    caplog.set_level(logging.INFO)
    uncommitted = Uncommitted()
    for _ in range(int(2 * UNCOMMITTED_LONG_S) + 4):
        uncommitted.answer(KafkaError.REBALANCE_IN_PROGRESS)
        assert uncommitted.tell() == ()
    uncommitted.answer(None)
    uncommitted.tell()

    told = [record.getMessage() for record in caplog.records]
    begun, over = [line for line in told if "about=commits" in line]
    assert begun.startswith("kafka_trouble group=billing")
    assert "1 partitions wait" in begun
    assert "rebalanc" in begun.lower()
    assert over.startswith("kafka_trouble_over group=billing")


NOT_NOW = [{"join_state": "wait-sync"}, {"broker": "CONNECT"}]


@pytest.mark.parametrize("told", NOT_NOW)
def test_lane_that_owes_for_a_reason_is_no_stall(told: dict[str, str]) -> None:
    """A rebalance, no broker: they end, and a restart helps nobody."""
    uncommitted = Uncommitted()

    assert [uncommitted.tell(**told) for _ in range(4)] == [()] * 4


def test_lane_that_owes_for_no_reason_is_a_stall() -> None:
    """The group is steady, Kafka refuses nothing; it is none once a commit is taken."""
    uncommitted = Uncommitted()
    uncommitted.answer(KafkaError.REBALANCE_IN_PROGRESS)
    assert [uncommitted.tell() for _ in range(2)] == [()] * 2

    uncommitted = Uncommitted()
    assert [uncommitted.tell() for _ in range(2)] == [(), ("t/0",)]
    uncommitted.answer(None)
    assert uncommitted.tell() == ()


def test_reason_is_that_of_the_last_commit(caplog: pytest.LogCaptureFixture) -> None:
    """One that was refused before another was taken is none."""
    uncommitted = Uncommitted()
    uncommitted.answer(KafkaError.REBALANCE_IN_PROGRESS)
    uncommitted.monitor.commits.on_commit(None, [])
    uncommitted.clock.advance(UNCOMMITTED_LONG_S)
    uncommitted.tell()

    (line,) = [record.getMessage() for record in caplog.records]
    assert "Kafka takes no commits (no answer)" in line


def test_what_the_timer_does_not_commit_is_due_in_a_steady_group() -> None:
    """Once after each statistics, such as offsets that went back, until it is taken.

    In a rebalance it would be of a generation that is over, and cost the assignment.
    """
    uncommitted = Uncommitted()
    for told in NOT_NOW:
        uncommitted.tell(**told)
        assert uncommitted.due() == []

    for _ in range(2):
        uncommitted.tell()
        assert [uncommitted.due(), uncommitted.due()] == [["t/0"], []]
    uncommitted.answer(None)
    uncommitted.tell()
    assert uncommitted.due() == []


def test_a_rebalance_after_the_statistics_leaves_nothing_due() -> None:
    """They may come in one poll: what was told of the group holds no more."""
    uncommitted = Uncommitted()
    uncommitted.tell()
    uncommitted.monitor.commits.rebalancing()
    assert uncommitted.due() == []

    uncommitted.tell()
    uncommitted.monitor.begin(is_subscribed=True)  # another client
    assert uncommitted.due() == []


def test_without_a_group_there_is_no_rebalance_to_wait_for() -> None:
    """Partitions that are assigned directly are committed in any state."""
    uncommitted = Uncommitted(is_subscribed=False)
    uncommitted.tell(join_state="init")

    assert uncommitted.due() == ["t/0"]


def test_statistics_that_cannot_be_read_are_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And cost nothing else; again once they could be read."""
    caplog.set_level(logging.INFO)
    uncommitted = Uncommitted()
    for _ in range(2):
        uncommitted.monitor.on_statistics('{"name": "q"x"}')

    (line,) = [record.getMessage() for record in caplog.records]
    assert "about=statistics" in line
    assert "no JSON (Expecting ',' delimiter" in line
    uncommitted.tell()
    assert "kafka_trouble_over" in caplog.messages[-1]


def test_brokers_that_are_down_are_told_with_the_last_connections_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One connection alone is no trouble."""
    monitor = make_monitor(FakeClock())
    for port in (1, 2):
        monitor.on_error(KafkaError(KafkaError._TRANSPORT, f"b:{port}: refused"))
    assert caplog.messages == []
    monitor.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "2/2 brokers are down"))

    assert "2/2 brokers are down (b:2: refused); going on" in caplog.messages[0]


class Member:
    """A watched member of a group, to be told things half a second apart."""

    def __init__(self, properties: dict[str, str] | None = None) -> None:
        self.clock = FakeClock()
        self.progress = Progress(max_poll_interval_ms=300_000).add_consumer()
        self.monitor = Monitor(
            "billing",
            properties or {},
            progress=self.progress,
            lanes=Lanes(node=0, max_messages=1, submit=lambda _: None),
            clock=self.clock,
        )
        self.monitor.begin(is_subscribed=True)

    def tell(self, *, broker: str = "UP", coordinator: str = "up") -> str:
        """Statistics come; give what keeps the member out, empty when it is in."""
        self.clock.advance(0.5)
        told = {
            "brokers": {"b": {"name": "b", "nodeid": 1, "state": broker}},
            "cgrp": {"state": coordinator, "join_state": "init", "rebalance_cnt": 0},
        }
        self.monitor.on_statistics(json.dumps(told))
        return self.progress.not_joined

    def tell_for(self, seconds: float, **told: str) -> str:
        """Statistics come for so long; give the same."""
        return [self.tell(**told) for _ in range(int(seconds / 0.5))][-1]


REFUSED = KafkaError(
    KafkaError.INCONSISTENT_GROUP_PROTOCOL, "JoinGroup failed: Inconsistent"
)


def test_member_is_out_until_an_assignment_has_come() -> None:
    """An empty one, too; again when the session is lost, or a join is refused."""
    member = Member()
    assert member.tell_for(20.0) == f"group billing: {NO_ASSIGNMENT_YET}"
    member.monitor.member.assigned(is_empty=True)
    assert member.tell() == ""
    member.monitor.member.lost_session()
    assert NO_ASSIGNMENT_YET in member.tell()
    member.monitor.member.assigned(is_empty=True)
    member.monitor.on_error(REFUSED)
    assert "Inconsistent" in member.tell_for(20.0)
    assert "partition.assignment.strategy in common" in member.tell()


def test_member_of_the_consumer_protocol_that_gets_nothing_is_in() -> None:
    """Nobody calls it for that; but not while something is known to keep it out."""
    modern = {"group.protocol": "consumer"}
    assert Member(modern).tell_for(20.0) == ""
    assert Member(modern).tell_for(20.0, coordinator="wait-coord") != ""
    assert Member(modern).tell_for(20.0, broker="CONNECT") != ""
    denied = Member(modern)
    denied.monitor.on_error(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "Denied"))
    assert "Denied" in denied.tell_for(20.0)


def test_refused_member_is_told_of_at_a_bounded_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As an error, with the reason; a mere wait is a warning."""
    refused, waits = Member(), Member()
    refused.monitor.on_error(REFUSED)
    caplog.clear()
    for member in (refused, waits):
        member.tell_for(TELL_AFTER_S + 2 * TELL_EVERY_S + 5)

    told = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert [level for level, _ in told] == ["ERROR"] * 3 + ["WARNING"] * 3
    assert "group_not_joined group=billing for_s=60 reason='JoinGroup" in told[0][1]
    assert NO_ASSIGNMENT_YET in told[3][1]


def test_brokers_that_come_and_go_are_one_trouble(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One that takes the connection and drops it again is not back."""
    caplog.set_level(logging.INFO)
    member = Member()
    for _ in range(60):
        member.monitor.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 down"))
        member.tell()
    assert [line.split()[0] for line in caplog.messages] == ["kafka_trouble"]

    member.tell_for(BROKERS_SETTLED_S + 1)
    assert [line.split()[0] for line in caplog.messages[1:]] == ["kafka_trouble_over"]


@pytest.mark.parametrize("of_partition", [KafkaError.OFFSET_METADATA_TOO_LARGE, None])
def test_ids_that_have_no_room_beside_offsets_are_left_out(
    of_partition: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka refuses a partition for it, or the whole commit; told once."""
    uncommitted = Uncommitted()
    (lane,) = uncommitted.lanes.table.all()
    whole = None if of_partition else KafkaError.OFFSET_METADATA_TOO_LARGE
    for _ in range(2):
        uncommitted.answer(whole, of_partition=of_partition)
    assert not lane.keeps_id
    assert uncommitted.lanes.commits.take_unstored() == [lane], "once more, without"
    (record,) = caplog.records
    assert "offset.metadata.max.bytes" in record.getMessage()


class Connected:
    """A monitor whose statistics tell of one broker."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.part = Progress().add_consumer("billing")
        self.answers: list[object] = []
        self.token = TokenCallback(lambda _: self.answers.pop(0), self.clock)
        self.monitor = Monitor(
            "billing",
            {"sasl.password": "hunter22"},
            progress=self.part,
            lanes=Lanes(node=0, max_messages=1, submit=lambda _: None),
            clock=self.clock,
            token=self.token,
        )

    def tell(self, state: str, *, idle_s: float = 1.0) -> None:
        """Let statistics come."""
        broker = {"name": "b", "nodeid": 1, "state": state, "rxidle": idle_s * 1e6}
        self.monitor.on_statistics(json.dumps({"brokers": {"b": broker}}))


def test_a_broker_is_lacked_from_the_first_statistics_without_to_the_last() -> None:
    """And one that is there was heard when its last byte came."""
    seen = Connected()
    seen.tell("UP", idle_s=3.0)
    assert (seen.part.no_broker_since_s, seen.part.heard_at_s) == (None, 997.0)

    for _ in range(3):
        seen.clock.now_s += 5
        seen.tell("DOWN")
    assert (seen.part.no_broker_since_s, seen.part.heard_at_s) == (1005.0, 997.0)

    seen.tell("UP", idle_s=0.0)
    assert (seen.part.no_broker_since_s, seen.part.heard_at_s) == (None, 1015.0)


def test_why_there_is_no_broker_is_told_without_secrets() -> None:
    """The token callback first: it is what an operator can mend."""
    seen = Connected()
    error = "b: Failed to create socket for hunter22: Too many open files"
    seen.monitor.on_error(KafkaError(KafkaError._TRANSPORT, error))
    seen.tell("DOWN")
    expected = "b: Failed to create socket for (hidden): Too many open files"
    assert seen.part.no_broker_why == expected

    seen.answers.append(None)
    seen.token("config")
    seen.tell("DOWN")
    assert seen.part.no_broker_why.startswith("oauth_cb has returned nothing")

    seen.tell("UP")
    assert seen.part.no_broker_why == ""


def test_a_token_callback_that_gives_nothing_is_a_trouble_until_it_gives(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logged once, as what is to be mended."""
    caplog.set_level(logging.INFO)
    seen = Connected()
    seen.answers += [None, ("token", 1.0)]
    seen.token("config")
    for _ in range(3):
        seen.tell("DOWN")
    (line,) = [text for text in caplog.messages if "about=token" in text]
    assert "oauth_cb has returned nothing, not (token, expiry)" in line

    seen.token("config")
    seen.tell("UP")
    assert any("kafka_trouble_over" in text for text in caplog.messages)


def test_a_client_without_any_address_for_long_is_cut_off() -> None:
    """It has none for a moment in good order; a new client begins anew."""
    seen = Connected()
    for _ in range(4):
        seen.clock.now_s += 5
        seen.monitor.on_statistics('{"brokers": {}}')
        seen.tell("DOWN")
    assert not seen.monitor.brokers.are_forgotten

    for _ in range(3):
        assert not seen.monitor.brokers.are_forgotten
        seen.clock.now_s += NOWHERE_S / 2
        seen.monitor.on_statistics('{"brokers": {}}')
    for is_old in (True, False):
        assert seen.monitor.brokers.are_forgotten is is_old
        seen.monitor.begin(is_subscribed=True)
        seen.monitor.on_statistics('{"brokers": {}}')


def test_why_there_is_no_broker_is_logged_when_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is known as the last one goes is often not the cause."""
    seen = Connected()
    seen.monitor.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 are down"))
    seen.monitor.on_error(KafkaError(KafkaError._TRANSPORT, "b: Too many open files"))
    for _ in range(6):
        seen.tell("DOWN")
        seen.clock.now_s += 8

    told = [text for text in caplog.messages if "about=brokers" in text]
    assert len(told) == 2
    assert "no broker for 32 s: b: Too many open files" in told[1]


class Reader:
    """A member that holds partition 0 of topic t, which is there."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.progress = Progress(max_poll_interval_ms=300_000)
        self.lanes = Lanes(node=0, max_messages=1, submit=lambda _: None)
        self.monitor = Monitor(
            "billing",
            {},
            progress=self.progress.add_consumer(),
            lanes=self.lanes,
            clock=self.clock,
        )
        self.monitor.begin(is_subscribed=True)
        self.monitor.partitions.stalls.there.add("t")
        self.lanes.open("t", 0, ROUTE, now_s=self.clock.now_s)

    def tell(self, end: int, *, after_s: float = 5.0) -> tuple[str, ...]:
        """Statistics come, with the log's end; give what stands still."""
        self.clock.advance(after_s)
        partition = {
            "partition": 0, "leader": 1, "fetch_state": "active", "ls_offset": end,
            "next_offset": 7, "committed_offset": 7,
        }  # fmt: skip
        told = {
            "brokers": {"b": {"name": "b", "nodeid": 1, "state": "UP"}},
            "cgrp": {"join_state": "steady"},
            "topics": {"t": {"topic": "t", "partitions": {"0": partition}}},
        }
        self.monitor.on_statistics(json.dumps(told))
        report = self.progress.report(State.RUNNING, now_s=self.clock.now_s)
        return report.stalled if report.stalled_ms is not None else ()


def test_partition_of_which_nothing_is_told_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the report at once, in the log after a while, and when that is over."""
    caplog.set_level(logging.INFO)
    reader = Reader()
    assert [reader.tell(-1) for _ in range(3)] == [(), ("t/0",), ("t/0",)]
    assert caplog.messages == []
    reader.tell(-1, after_s=NO_ANSWER_S)
    reader.tell(-1)
    assert reader.tell(7) == ()

    begun, over = caplog.messages
    assert begun.startswith("kafka_trouble group=billing about=fetch ")
    assert "1 partitions (t/0)" in begun
    assert over.startswith("kafka_trouble_over group=billing about=fetch ")


def test_partition_that_an_acl_keeps_does_not_stand_still() -> None:
    """It is told as a trouble with the topic; no restart helps."""
    reader = Reader()
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    at = message(b"", topic="t", partition=0)
    reader.monitor.on_message_error(at, error)

    assert [reader.tell(-1) for _ in range(9)] == [()] * 9
    assert reader.monitor.troubles.subjects(Kind.TOPIC) == ("t",)
    assert not reader.monitor.troubles.has(Kind.FETCH)


@pytest.mark.parametrize("by_callback", [True, False])
def test_topic_whose_partition_was_away_is_over_when_all_are_told_of(
    *, by_callback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the group assigns nothing anew: it has not noticed."""
    reader = Reader()
    if by_callback:
        error = KafkaError(
            KafkaError._UNKNOWN_PARTITION,
            "t [0]: desired partition is no longer available (Unknown partition)",
        )
        reader.monitor.on_error(error)
    else:
        at = message(b"", topic="t", partition=0)
        reader.monitor.on_message_error(at, KafkaError(KafkaError._UNKNOWN_PARTITION))
    reader.lanes.open("t", 1, ROUTE, now_s=reader.clock.now_s)
    reader.tell(7)
    assert reader.monitor.troubles.has(Kind.TOPIC)
    reader.lanes.close([("t", 1)])
    reader.tell(-1)
    assert reader.monitor.troubles.has(Kind.TOPIC)
    reader.tell(7)
    assert not reader.monitor.troubles.has(Kind.TOPIC)
    assert len(caplog.records) == 1
