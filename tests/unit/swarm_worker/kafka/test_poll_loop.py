"""What is done between the polls of a client, and when they end; without Kafka."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError

from swarm_worker.app.app import Route
from swarm_worker.app.batch import Batch, message
from swarm_worker.app.routing import GroupPlan
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.kafka.poll_loop import Ending, PollLoop
from swarm_worker.processing.lane import Lane
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

NOW_S = 1000.0
ROUTE = Route(
    topics=("t",), group="g", handler=lambda _: None, max_retries=None,
    dead_letter=None, max_messages=None,
)  # fmt: skip
STEADY = """{
  "brokers": {"b": {"name": "b", "nodeid": 1, "state": "UP"}},
  "cgrp": {"join_state": "steady"}
}"""


class Client:
    """Notes what it is asked for, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def store_offsets(self, *, offsets: list[TopicPartition]) -> None:
        """Take them."""
        self.asked.append(f"store {[at.offset for at in offsets]}")

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        """Take them; the thread that polls must not wait for the answer."""
        assert asynchronous
        self.asked.append(f"commit {[at.offset for at in offsets]}")

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Fetch nothing of them."""
        self.asked.append(f"pause {[at.partition for at in partitions]}")

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Fetch them again."""
        self.asked.append(f"resume {[at.partition for at in partitions]}")


class Polling:
    """A loop over a client that holds one partition."""

    def __init__(self) -> None:
        self.client, self.now_s = Client(), NOW_S
        self.submitted: list[Lane] = []
        self.lanes = Lanes(node=0, max_messages=2, submit=self.submitted.append)
        self.lane = self.lanes.open("t", 0, ROUTE, now_s=NOW_S)
        self.monitor = Monitor(
            "g",
            {},
            progress=Progress().add_consumer(),
            lanes=self.lanes,
            clock=lambda: self.now_s,
        )
        self.assignment = SimpleNamespace(is_outdated=False)
        self.topics = SimpleNamespace(unshared=[], outdated=[])
        self.stopping = Event()
        group: Any = SimpleNamespace(
            name="g",
            plan=GroupPlan(group="g", routes=(ROUTE,), topics=("t",)),
            settings=SimpleNamespace(max_wait_s=0.0),
            processing=SimpleNamespace(
                count_marks=lambda: self.lanes.count_marks(now_s=self.now_s)
            ),
            lanes=self.lanes,
            dead_letters=SimpleNamespace(outstanding=0),
            monitor=self.monitor,
            stopping=self.stopping,
            clock=lambda: self.now_s,
        )
        parts: dict[str, Any] = {"assignment": self.assignment, "topics": self.topics}
        self.loop = PollLoop(self.client, group, **parts)  # type: ignore[arg-type]

    def handle(self) -> Batch:
        """Begin a batch of two messages; return it."""
        self.lanes.add(self.lane, [message("", topic="t", offset=n) for n in range(2)])
        batch = self.lanes.take(self.submitted.pop(), now_s=self.now_s)
        assert batch is not None
        return batch

    def tend(self) -> list[str]:
        """Do what is due between two polls; return what the client is asked for."""
        self.client.asked.clear()
        self.loop.tend()
        return list(self.client.asked)


def test_an_offset_is_stored_once_and_only_after_its_message_is_done() -> None:
    """While a handler is at work on a batch, nothing of it is."""
    polling = Polling()
    batch = polling.handle()
    polling.monitor.on_statistics(STEADY)
    assert polling.tend() == []

    polling.lanes.done(polling.lane, batch, now_s=polling.now_s)
    assert [polling.tend(), polling.tend()] == [["store [2]"], []]


def test_what_the_timer_has_not_committed_is_after_statistics() -> None:
    """Not in their callback; stored before that, lest a close undoes it."""
    polling = Polling()
    polling.lanes.done(polling.lane, polling.handle(), now_s=polling.now_s)
    polling.now_s += 2.0
    polling.monitor.on_statistics(STEADY)
    assert polling.client.asked == []

    assert polling.tend() == ["store [2]", "commit [2]"]
    assert polling.tend() == []


def test_all_is_paused_once_while_a_node_is_quiet() -> None:
    """And resumed once, as soon as it no longer is."""
    polling = Polling()
    polling.lanes.table.is_held = True
    asked = [polling.tend(), polling.tend()]
    polling.lanes.table.is_held = False

    asked += [polling.tend(), polling.tend()]
    assert asked == [["pause [0]"], [], ["resume [0]"], []]


def test_marks_count_at_a_bounded_rate() -> None:
    """A handler may mark each of many messages."""
    polling = Polling()
    batch, stored = polling.handle(), []
    for each in batch:
        batch.mark_done(each)
        for _ in range(2):
            polling.now_s += 0.6
            stored.append(polling.tend())

    assert stored == [[], ["store [1]"], [], ["store [2]"]]


REASONS: list[tuple[str, str, object, Ending]] = [
    ("monitor", "failure", KafkaError(KafkaError._FATAL), Ending.FAILED),
    ("assignment", "is_outdated", True, Ending.ASSIGNMENT_OUTDATED),
    ("topics", "unshared", ["t"], Ending.TOPICS_UNSHARED),
    ("topics", "outdated", [("t", 0)], Ending.TOPICS_OUTDATED),
]


@pytest.mark.parametrize(("part", "name", "value", "why"), REASONS)
def test_polls_end_for_a_reason(
    part: str, name: str, value: object, why: Ending
) -> None:
    """Before the next poll: the client here has none."""
    polling = Polling()
    setattr(getattr(polling, part), name, value)

    assert polling.loop.run() is why


def test_the_gravest_reason_counts() -> None:
    """A client that has failed cannot commit as a stop does; a stop replaces none."""
    polling = Polling()
    polling.topics.outdated = [("t", 0)]
    polling.monitor.brokers.are_forgotten = True
    assert polling.loop.run() is Ending.BROKERS_FORGOTTEN
    polling.stopping.set()
    assert polling.loop.run() is Ending.STOPPED
    polling.monitor.failure = KafkaError(KafkaError._FATAL)
    assert polling.loop.run() is Ending.FAILED
