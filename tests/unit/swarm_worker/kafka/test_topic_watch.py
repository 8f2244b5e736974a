"""Which log a partition's offset is of: held, told, begun anew; without Kafka."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from swarm_worker.app.app import Route
from swarm_worker.app.batch import message
from swarm_worker.app.routing import GroupPlan
from swarm_worker.kafka.errors import Kind
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.kafka.topic_ids import (
    ASK_AGAIN_S,
    ASK_EVERY_S,
    HOLD_MAX_S,
    Answer,
    Commit,
)
from swarm_worker.kafka.topics.new_logs import SEEK_EVERY_S, SEEK_MAX_S
from swarm_worker.kafka.topics.topic_asker import Question
from swarm_worker.kafka.topics.topic_changes import (
    OUTDATED_S,
    SHARED_WITHIN_S,
    UNSHARED_S,
)
from swarm_worker.kafka.topics.topic_watch import UNANSWERED_S, TopicWatch
from swarm_worker.processing.lane import Lane, Phase
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress

KEY = ("t", 0)
ROUTE = Route(
    topics=("t",), group="g", handler=lambda _: None, max_retries=None,
    dead_letter=None, max_messages=None,
)  # fmt: skip


class Client:
    """Notes where it is sent."""

    def __init__(self) -> None:
        self.sought: list[tuple[int, int]] = []
        self.assigned: list[Any] = []
        self.resumed: list[int] = []
        self.has_begun = True
        self.is_eager = self.refuses = False

    def seek(self, at: TopicPartition) -> None:
        """Refuse while nothing is fetched of a partition, as librdkafka does."""
        if not self.has_begun:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.sought.append((at.partition, at.offset))

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Note it."""
        self.resumed += [at.partition for at in partitions]

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Refuse in an eager group."""
        if self.is_eager:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.assigned.append(("-", [at.partition for at in partitions]))

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Note it."""
        self.assigned.append(("+", [(at.partition, at.offset) for at in partitions]))

    def assignment(self) -> list[TopicPartition]:
        """Two partitions."""
        return [TopicPartition("t", 0), TopicPartition("t", 1)]

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Stand at 7 with each."""
        return [TopicPartition(at.topic, at.partition, 7) for at in partitions]

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Note it, unless it is in the middle of something."""
        if self.refuses:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.assigned.append([(at.partition, at.offset) for at in partitions])


class Asker:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.answers: list[tuple[Question, Answer]] = []

    def ask(self, question: Question) -> None:
        """Note it."""
        self.questions.append(question)

    def answer(self) -> tuple[Question, Answer] | None:
        """Return what was told."""
        return self.answers.pop(0) if self.answers else None


class Fixture:
    """A monitor over topic t, with all that it works on."""

    def __init__(
        self, *, first_known: dict[str, str] | None = None, protocol: str = "classic"
    ) -> None:
        self.now_s = 1_000.0
        self.client, self.asker = Client(), Asker()
        self.submitted: list[Lane] = []
        self.lanes = Lanes(node=0, max_messages=9, submit=self.submitted.append)
        self.monitor = Monitor(
            "g", {"group.protocol": protocol},
            progress=Progress(max_poll_interval_ms=300_000).add_consumer(),
            lanes=self.lanes, clock=self.clock,
        )  # fmt: skip
        self.first_known = {} if first_known is None else first_known
        self.topics = self.begin()

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def begin(self) -> TopicWatch:
        """Look after another client."""
        group: Any = SimpleNamespace(
            name="g",
            plan=GroupPlan(group="g", routes=(ROUTE,), topics=("t",)),
            settings=SimpleNamespace(node=0),
            first_known=self.first_known,
            lanes=self.lanes,
            monitor=self.monitor,
            clock=self.clock,
        )
        return TopicWatch(self.client, group, self.asker)  # type: ignore[arg-type]

    def assign(self, partition: int = 0) -> Lane:
        """A partition comes."""
        lane = self.lanes.open("t", partition, ROUTE, awaits_log=True, now_s=self.now_s)
        self.topics.opened([lane])
        self.topics.tend()
        return lane

    def lane(self, partition: int = 0) -> Lane | None:
        """Return the lane that a partition has."""
        return self.lanes.table.get("t", partition)

    def told(self, question: Question | None = None, **fields: Any) -> None:
        """An answer comes, to the last question."""
        answer = Answer(**fields)
        self.asker.answers.append((question or self.asker.questions[-1], answer))
        self.topics.tend()

    def settle(self, topic_id: str = "A", *, commit: Commit | None = None) -> Lane:
        """Assign partition 0 and have all told."""
        self.told(ids={"t": topic_id})
        lane = self.assign()
        self.told(ids={"t": topic_id}, commits={KEY: commit or Commit(5, topic_id)})
        return lane

    def revoke(self) -> None:
        """All goes."""
        keys = [(lane.topic, lane.partition) for lane in self.lanes.table.all()]
        self.lanes.close(keys)
        self.topics.left(keys)

    def assigned_nothing(self) -> None:
        """The group has told that nothing is ours."""
        self.topics.opened([])
        self.topics.tend()

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds
        self.topics.tend()


def messages(*offsets: int) -> list[Message]:
    """Messages of partition 0."""
    return [message(b"", topic="t", offset=offset) for offset in offsets]


def test_it_asks_at_once_and_each_half_minute() -> None:
    """Before anything is assigned, too: the answers are known by then."""
    fixture = Fixture()
    assert fixture.asker.questions == [Question(("t",))]
    fixture.passes(99)
    assert len(fixture.asker.questions) == 1, "one question at a time"
    fixture.told(ids={"t": "A"})
    fixture.passes(ASK_EVERY_S - 0.1)
    assert len(fixture.asker.questions) == 1
    fixture.passes(0.2)
    assert len(fixture.asker.questions) == 2


def test_nothing_is_handed_out_before_the_answer() -> None:
    """Nor committed, nor called idle; and at once after it."""
    fixture = Fixture()
    fixture.told(ids={"t": "A"})
    lane = fixture.assign()
    assert fixture.asker.questions[-1] == Question(("t",), (KEY,))
    lane.end_offset = 5
    assert fixture.lanes.commits.rest() == []
    assert fixture.lanes.turns.idle() == []
    fixture.lanes.add(lane, messages(5, 6))
    assert fixture.submitted == []

    fixture.told(ids={"t": "A"}, commits={KEY: Commit(5, "A")})
    assert fixture.submitted == [lane]
    assert lane.topic_id == "A"
    assert fixture.client.sought == []


def test_without_an_answer_it_is_handed_out_after_ten_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And one warning says what is not noticed meanwhile."""
    fixture = Fixture()
    lane = fixture.assign()
    fixture.lanes.add(lane, messages(5))
    fixture.passes(HOLD_MAX_S - 0.1)
    assert fixture.submitted == []
    fixture.passes(0.2)
    assert fixture.submitted == [lane]
    assert HOLD_MAX_S == 10.0
    (line,) = [record.getMessage() for record in caplog.records]
    assert "about=topic_ids" in line
    fixture.told(failure="late")
    assert len(caplog.records) == 1


def test_an_answer_that_comes_late_counts_all_the_same() -> None:
    """What was handed out meanwhile was of another log than the offset."""
    fixture = Fixture()
    fixture.told(ids={"t": "B"})
    lane = fixture.assign()
    fixture.passes(HOLD_MAX_S + 1)
    fixture.told(ids={"t": "B"}, commits={KEY: Commit(5, "A")})
    assert lane.closed
    assert fixture.client.sought == [(0, OFFSET_BEGINNING)]


def test_a_partition_whose_log_is_another_waits_for_no_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So polls are no longer short for it, and no lack of an answer is logged."""
    fixture = Fixture()
    fixture.told(ids={"t": "B"})
    fixture.assign()
    was_asking = fixture.topics.is_asking
    fixture.client.has_begun = False
    fixture.told(ids={"t": "B"}, commits={KEY: Commit(5, "A")})
    assert (was_asking, fixture.topics.is_asking) == (True, False)

    fixture.passes(HOLD_MAX_S + 1)
    assert [line.split()[0] for line in caplog.messages] == ["topic_made_anew"]


def test_a_question_from_before_an_assignment_does_not_answer_for_it() -> None:
    """It may tell of a topic that is no more."""
    fixture = Fixture()
    lane = fixture.assign()
    fixture.told(ids={"t": "A"}, commits={KEY: Commit(5, "B")})
    assert lane.awaits_log
    assert not lane.closed
    assert len(fixture.asker.questions) == 2, "it is asked at once"
    fixture.told(ids={"t": "B"}, commits={KEY: Commit(5, "B")})
    assert not lane.awaits_log


def test_a_former_clients_answer_is_nobodys() -> None:
    """The partition was another assignment's."""
    fixture = Fixture()
    former = fixture.asker.questions[0]
    fixture.topics = fixture.begin()
    lane = fixture.assign()
    fixture.told(former, ids={"t": "A"}, commits={KEY: Commit(5, "A")})
    assert lane.awaits_log


@pytest.mark.parametrize("when", ["at the assignment", "while it is held"])
def test_a_changed_id_begins_at_the_first_offset(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of the old log counts any more; the new id stands with what follows."""
    fixture = Fixture()
    if when == "at the assignment":
        old = fixture.settle("B", commit=Commit(5, "A"))
    else:
        old = fixture.settle("A")
        fixture.lanes.add(old, messages(100, 101))
        batch = fixture.lanes.take(fixture.submitted.pop(), now_s=fixture.now_s)
        fixture.passes(ASK_EVERY_S)
        fixture.told(ids={"t": "B"})
        assert batch is not None
        fixture.lanes.done(old, batch, now_s=fixture.now_s)
    fixture.passes(1)
    assert old.closed
    assert fixture.lanes.commits.take_unstored() == []
    assert fixture.client.sought == [(0, OFFSET_BEGINNING)]
    new = fixture.lane()
    assert new is not None
    assert (new.topic_id, new.awaits_log) == ("B", False)

    fixture.lanes.add(new, messages(3, 4))
    assert fixture.lanes.commits.rest() == [new], "it is committed where it begins"
    assert new.next_offset == 3
    assert fixture.lanes.commits.take_unstored() == [new]
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert line.startswith("topic_made_anew group=g topic=t partitions=0 was=A is=B ")


def test_a_log_that_is_empty_is_committed_at_its_begin() -> None:
    """With its end, which is there."""
    fixture = Fixture()
    fixture.settle("B", commit=Commit(5, "A"))
    new = fixture.lane()
    assert new is not None
    new.end_offset = 0
    assert fixture.lanes.commits.rest() == [new]
    assert new.next_offset == 0


def test_what_is_handled_twice_is_bounded_by_one_change() -> None:
    """The next answers find nothing new."""
    fixture = Fixture()
    fixture.settle("B", commit=Commit(5, "A"))
    for _ in range(3):
        fixture.passes(ASK_EVERY_S)
        fixture.told(ids={"t": "B"})
    assert len(fixture.client.sought) == 1


def test_an_offset_that_nobody_has_marked_is_believed() -> None:
    """Of a node of an earlier version, say: it gets its id, also without new work."""
    fixture = Fixture()
    lane = fixture.settle("A", commit=Commit(5, None))
    assert (lane.topic_id, lane.closed) == ("A", False)
    lane.end_offset = 5
    assert fixture.lanes.commits.rest() == [lane]
    fixture.passes(ASK_EVERY_S)
    fixture.told(ids={"t": "B"})
    assert lane.closed


@pytest.mark.parametrize(
    ("first_known", "is_anew"), [(None, False), ("A", True), ("B", False)]
)
def test_without_an_offset_a_topic_that_was_another_begins_at_the_first(
    first_known: str | None, *, is_anew: bool
) -> None:
    """Kafka forgets offsets with their topic; else it is as auto.offset.reset says."""
    fixture = Fixture(first_known={"t": first_known} if first_known else {})
    lane = fixture.settle("B", commit=Commit(None))
    assert lane.closed == is_anew
    assert fixture.client.sought == [(0, OFFSET_BEGINNING)] * is_anew


def test_a_topic_that_is_away_is_asked_for_again_soon() -> None:
    """Its partitions are not begun anew before it is there."""
    fixture = Fixture()
    lane = fixture.settle("A")
    fixture.passes(ASK_EVERY_S)
    fixture.told(missing=["t"])
    asked = len(fixture.asker.questions)
    fixture.passes(ASK_AGAIN_S + 0.1)
    assert len(fixture.asker.questions) == asked + 1
    assert not lane.closed
    fixture.told(ids={"t": "B"})
    assert lane.closed


def test_what_the_client_finds_odd_is_asked_for_at_once() -> None:
    """But once a second at most."""
    fixture = Fixture()
    fixture.settle("A")
    asked = len(fixture.asker.questions)
    fixture.topics.ask_soon()
    fixture.passes(ASK_AGAIN_S + 0.1)
    fixture.topics.ask_soon()
    assert len(fixture.asker.questions) == asked + 1
    fixture.told(ids={"t": "A"})
    fixture.topics.ask_soon()
    fixture.passes(0.1)
    assert len(fixture.asker.questions) == asked + 1


def test_a_partition_that_is_not_begun_is_sought_until_it_is() -> None:
    """What comes of it meanwhile is nobody's; one that is late is assigned anew."""
    fixture = Fixture()
    fixture.client.has_begun = False
    fixture.settle("B", commit=Commit(5, "A"))
    fixture.passes(SEEK_MAX_S - 0.1)
    assert fixture.lane() is None
    assert fixture.client.assigned == []
    fixture.passes(SEEK_EVERY_S)
    assert fixture.client.assigned == [("-", [0]), ("+", [(0, OFFSET_BEGINNING)])]
    assert fixture.lane() is not None


def test_one_that_librdkafka_has_given_up_is_assigned_anew_at_once() -> None:
    """With auto.offset.reset=error it is dead there: it cannot be sought."""
    fixture = Fixture()
    lane = fixture.settle("A")
    fixture.monitor.troubles.begin(Kind.OFFSET, "gone", subject="t/0")
    fixture.client.has_begun, fixture.client.is_eager = False, True
    fixture.passes(ASK_EVERY_S)
    fixture.client.refuses = True
    fixture.told(ids={"t": "B"})
    fixture.passes(0.1)
    assert fixture.lane() is None
    fixture.client.refuses = False
    fixture.passes(SEEK_EVERY_S)
    assert fixture.client.assigned == [[(1, 7), (0, OFFSET_BEGINNING)]]
    assert lane.closed
    assert fixture.lane() is not None
    assert not fixture.monitor.troubles.has(Kind.OFFSET)


def nothing_comes(fixture: Fixture, seconds: float, *, since_s: float) -> None:
    """Time passes, and statistics tell that nothing is told of partition 0."""
    fixture.now_s += seconds
    stalls = fixture.monitor.partitions.stalls
    stalls.unanswered, stalls.updated_at_s = {KEY: since_s}, fixture.now_s
    fixture.topics.tend()


def test_a_client_that_is_told_nothing_of_a_new_log_is_outdated() -> None:
    """Once it was for long enough after the change was noticed."""
    fixture = Fixture()
    fixture.settle("A")
    since_s = fixture.now_s
    nothing_comes(fixture, 2 * ASK_AGAIN_S, since_s=since_s)
    fixture.told(ids={"t": "B"})
    nothing_comes(fixture, OUTDATED_S - 0.1, since_s=since_s)
    assert fixture.topics.outdated == []
    nothing_comes(fixture, 0.2, since_s=since_s)
    assert fixture.topics.outdated == [KEY]
    assert fixture.begin().outdated == []


def test_a_new_log_that_another_node_has_begun_counts_too() -> None:
    """The partition comes with the new id, to a client that has known the old topic."""
    fixture = Fixture()
    fixture.told(ids={"t": "A"})
    fixture.passes(ASK_EVERY_S)
    fixture.told(ids={"t": "B"})
    lane = fixture.assign()
    fixture.told(ids={"t": "B"}, commits={KEY: Commit(5, "B")})
    assert not lane.closed
    nothing_comes(fixture, OUTDATED_S, since_s=fixture.now_s)
    assert fixture.topics.outdated == [KEY]


def test_a_client_is_not_outdated_by_what_its_topic_is_not() -> None:
    """Nothing is told of a topic that is the same: another client would not help."""
    fixture = Fixture()
    fixture.settle("A")
    for _ in range(3):
        nothing_comes(fixture, ASK_EVERY_S, since_s=1_000.0)
        fixture.told(ids={"t": "A"})
    assert fixture.topics.outdated == []


def test_what_is_told_nothing_of_is_asked_for_at_once() -> None:
    """Once: it may stay so for long."""
    fixture = Fixture()
    fixture.settle("A")
    asked = len(fixture.asker.questions)
    nothing_comes(fixture, 2 * ASK_AGAIN_S, since_s=fixture.now_s)
    assert len(fixture.asker.questions) == asked + 1
    fixture.told(ids={"t": "A"})
    nothing_comes(fixture, 2 * ASK_AGAIN_S, since_s=fixture.now_s)
    assert len(fixture.asker.questions) == asked + 1


def test_it_knows_which_topics_there_are() -> None:
    """What is refused may be there or not."""
    fixture = Fixture()
    fixture.told(ids={"t": "A"})
    assert fixture.monitor.partitions.stalls.there == {"t"}
    for away in ({"missing": ["t"]}, {"refused": {"t": "not allowed"}}):
        fixture.passes(ASK_EVERY_S)
        fixture.told(**away)
        assert fixture.monitor.partitions.stalls.there == set()
        fixture.passes(ASK_EVERY_S)
        fixture.told(refused={"t": "no ids"}, without_id=["t"])
        assert fixture.monitor.partitions.stalls.there == {"t"}


@pytest.mark.parametrize("let_go", ["left", "assigned"])
def test_one_that_goes_is_not_sought(let_go: str) -> None:
    """It is another's, or another assignment."""
    fixture = Fixture()
    fixture.client.has_begun = False
    fixture.settle("B", commit=Commit(5, "A"))
    if let_go == "left":
        fixture.topics.left([KEY])
    else:
        fixture.assign()
    fixture.client.has_begun = True
    fixture.passes(1)
    assert fixture.client.sought == []


def test_a_pause_of_ours_ends_with_the_old_log() -> None:
    """librdkafka would keep it, and nobody would resume it."""
    fixture = Fixture()
    lane = fixture.settle("A")
    fixture.lanes.back_pressure.pause([lane])
    fixture.passes(ASK_EVERY_S)
    fixture.told(ids={"t": "B"})
    assert fixture.client.resumed == [0]


@pytest.mark.parametrize(
    "told", [{"refused": {"t": "no ids"}}, {"refused": {"t": "not allowed"}}]
)
def test_a_broker_without_ids_is_one_warning(
    told: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """And all goes on as before; the id that is committed stays."""
    fixture = Fixture()
    fixture.told(**told)
    lane = fixture.assign()
    fixture.lanes.add(lane, messages(5))
    fixture.told(**told, commits={KEY: Commit(5, "A")})
    assert fixture.submitted == [lane]
    assert (lane.topic_id, lane.phase) == ("A", Phase.READY)
    for _ in range(3):
        fixture.passes(ASK_EVERY_S + 1)
        fixture.told(**told)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_answers_that_do_not_come_for_long_are_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not while no broker is there, which is told already; and their end is told."""
    caplog.set_level("INFO")
    fixture = Fixture()
    fixture.monitor.troubles.begin(Kind.BROKERS, "away")
    fixture.now_s += UNANSWERED_S + 1
    fixture.told(failure="timed out")
    assert not fixture.monitor.troubles.has(Kind.TOPIC_IDS)
    fixture.monitor.troubles.end(Kind.BROKERS)
    for _ in range(3):
        fixture.passes(ASK_EVERY_S)
        fixture.told(failure="timed out")
    fixture.passes(ASK_EVERY_S)
    fixture.told(ids={"t": "A"})
    lines = [r.getMessage() for r in caplog.records if "topic_ids" in r.getMessage()]
    assert [line.split()[0] for line in lines] == [
        "kafka_trouble",
        "kafka_trouble_over",
    ]


def test_what_the_last_process_has_known_counts() -> None:
    """All nodes were down as the topic was made anew, and Kafka has no offset."""
    fixture = Fixture()
    fixture.told(ids={"t": "B"}, former={"t": "A"})
    lane = fixture.assign()
    fixture.told(ids={"t": "B"}, commits={KEY: Commit(None)})
    assert lane.closed
    assert fixture.client.sought == [(0, OFFSET_BEGINNING)]


def test_the_next_process_is_told_once_all_is_begun() -> None:
    """Not before there is anything, and not while a log is not begun."""
    fixture = Fixture()
    fixture.client.has_begun = False
    fixture.settle("B", commit=Commit(5, "A"))
    assert [question.settled for question in fixture.asker.questions] == [{}, {}]
    fixture.assign(1)
    fixture.told(ids={"t": "B"}, commits={("t", 1): Commit(5, "B")})
    fixture.passes(1)
    fixture.topics.ask_soon()
    fixture.passes(1)
    assert fixture.asker.questions[-1].settled == {}
    fixture.told(ids={"t": "B"})
    fixture.client.has_begun = True
    fixture.passes(1)
    fixture.passes(ASK_EVERY_S)
    assert fixture.asker.questions[-1].settled == {"t": "B"}


def is_away(fixture: Fixture) -> None:
    """Another node joins while t is away, and the group leaves t to nobody."""
    fixture.settle("A")
    fixture.revoke()
    fixture.passes(1.0)
    fixture.assigned_nothing()
    fixture.told(missing=["t"])
    fixture.passes(ASK_EVERY_S)


def test_a_topic_that_was_shared_out_while_it_was_away_is_unshared() -> None:
    """A while after it is there again: the group may see that by itself."""
    fixture = Fixture()
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.passes(UNSHARED_S - 0.1)
    assert fixture.topics.unshared == []
    fixture.passes(0.2)
    assert fixture.topics.unshared == ["t"]
    assert fixture.begin().unshared == []


def test_a_broker_that_assigns_leaves_no_topic_to_nobody() -> None:
    """In the consumer protocol."""
    fixture = Fixture(protocol="consumer")
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.passes(2 * UNSHARED_S)
    assert fixture.topics.unshared == []


def test_a_topic_is_shared_out_once_the_group_has_rebalanced_again() -> None:
    """Be it to others; and it stays so when it is made anew once more."""
    fixture = Fixture()
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.passes(SHARED_WITHIN_S + 0.1)
    fixture.assigned_nothing()
    for topic_id in ("B", "B", "C"):
        fixture.told(ids={"t": topic_id})
        fixture.passes(UNSHARED_S)
        assert fixture.topics.unshared == []
        fixture.passes(ASK_EVERY_S)


def test_a_topic_that_goes_and_comes_once_more_is_unshared_still() -> None:
    """What was told meanwhile was told before all of its changes were over."""
    fixture = Fixture()
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.topics.ask_soon()
    fixture.passes(ASK_AGAIN_S)
    fixture.told(ids={"t": "C"})
    fixture.passes(UNSHARED_S - 0.1)
    assert fixture.topics.unshared == []
    fixture.passes(0.2)
    assert fixture.topics.unshared == ["t"]


def test_a_topic_is_not_unshared_while_the_group_rebalances() -> None:
    """What is ours is about to be told."""
    fixture = Fixture()
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.topics.left([])
    fixture.passes(UNSHARED_S)
    assert fixture.topics.unshared == []


def test_a_rebalance_that_comes_in_time_leaves_nothing_to_do() -> None:
    """Neither when it begins nor when it ends."""
    fixture = Fixture()
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.passes(UNSHARED_S)
    assert fixture.topics.unshared == ["t"]
    fixture.topics.left([])
    assert fixture.topics.unshared == []
    fixture.topics.opened([])
    fixture.passes(UNSHARED_S)
    assert fixture.topics.unshared == []


def test_an_assignment_that_comes_without_a_revoke_leaves_nothing_to_do() -> None:
    """As in a cooperative group, in the very poll after it was found out."""
    fixture = Fixture()
    is_away(fixture)
    fixture.told(ids={"t": "B"})
    fixture.passes(UNSHARED_S)
    assert fixture.topics.unshared == ["t"]
    fixture.topics.opened([])
    assert fixture.topics.unshared == []


def test_a_topic_of_which_something_is_held_is_shared_out() -> None:
    """Also while its partition goes to its log's begin: no rebalance gave it away."""
    fixture = Fixture()
    fixture.settle("A")
    client = fixture.client
    client.has_begun, client.is_eager, client.refuses = False, True, True
    fixture.passes(ASK_EVERY_S)
    fixture.told(ids={"t": "B"})
    fixture.passes(UNSHARED_S)
    assert fixture.lane() is None
    assert fixture.topics.unshared == []
    client.has_begun = True
    fixture.passes(UNSHARED_S)
    assert fixture.lane() is not None
    assert fixture.topics.unshared == []
