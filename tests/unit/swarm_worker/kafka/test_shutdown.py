"""The order of a client's stop, without Kafka."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from swarm_worker.app.app import Route
from swarm_worker.app.batch import Batch, message
from swarm_worker.app.routing import GroupPlan
from swarm_worker.kafka.closing import leave_group, shutdown
from swarm_worker.kafka.closing.shutdown import Shutdown
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.processing.lane import Lane
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress

if TYPE_CHECKING:
    from confluent_kafka import TopicPartition

NOW_S = 1000.0
STATIC = {"group.instance.id": "node-0"}
ROUTE = Route(
    topics=("t",), group="g", handler=lambda _: None, max_retries=None,
    dead_letter=None, max_messages=None,
)  # fmt: skip


class Client:
    """Notes what it is asked for; loses its partitions as it unsubscribes."""

    def __init__(self, lanes: Lanes) -> None:
        self.asked: list[str] = []
        self.commits: list[int] = []
        self._lanes = lanes

    def poll(self, _: float) -> None:
        """Nothing comes."""

    def store_offsets(self, *, offsets: list[TopicPartition]) -> None:
        """Take them."""
        self.asked.append(f"store {[at.offset for at in offsets]}")

    def commit(
        self, *, offsets: list[TopicPartition], asynchronous: bool
    ) -> list[TopicPartition]:
        """Take them."""
        assert not asynchronous
        self.asked.append(f"commit {[at.offset for at in offsets]}")
        return offsets

    def unsubscribe(self) -> None:
        """The group takes what it has given."""
        self.asked.append("unsubscribe")
        self._lanes.close([("t", 0)])

    def close(self) -> None:
        """Note it."""
        self.asked.append("close")


class Stopping:
    """A client with one batch out, that is told to stop."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.submitted: list[Lane] = []
        self.lanes = Lanes(node=0, max_messages=2, submit=self.submitted.append)
        lane = self.lanes.open("t", 0, ROUTE, now_s=NOW_S)
        self.lanes.add(lane, [message("m", topic="t", offset=n) for n in range(2)])
        self.batch = self.lanes.take(self.submitted.pop(), now_s=NOW_S)
        self.lanes.table.is_held = True
        self.client = Client(self.lanes)
        self.cancels = self.left = 0
        self._lane = lane
        plan = GroupPlan(group="g", routes=(ROUTE,), topics=("t",))
        monitor = Monitor(
            "g",
            properties,
            progress=Progress().add_consumer(),
            lanes=self.lanes,
            clock=lambda: NOW_S,
        )
        group: Any = SimpleNamespace(
            name="g",
            plan=plan,
            settings=SimpleNamespace(shutdown_timeout_s=0.0),  # all times are over
            properties=properties,
            lanes=self.lanes,
            monitor=monitor,
        )
        self.shutdown = Shutdown(self.client, group)  # type: ignore[arg-type]

    def end_batch(self) -> None:
        """The handler returns."""
        if self.cancels:
            assert isinstance(self.batch, Batch)
            self.lanes.done(self._lane, self.batch, now_s=NOW_S)

    def run(self, *, leaves: bool) -> list[str]:
        """Stop; give what the client was asked for, in order."""

        def cancel() -> None:
            self.cancels += 1

        def abandon_dead_letters() -> None:
            self.left += 1

        self.shutdown.drain(
            tend=self.end_batch,
            abandon_dead_letters=abandon_dead_letters,
            cancel=cancel,
        )
        self.shutdown.close(leaves=leaves, is_member=lambda: True)
        return self.client.asked


def test_what_was_done_in_the_drain_is_stored_and_committed_before_the_close() -> None:
    """In that order: a close commits what is stored, and would undo a commit."""
    stopping = Stopping({})

    assert stopping.run(leaves=False) == ["store [2]", "commit [2]", "close"]
    assert (stopping.cancels, stopping.left) == (2, 2), "each round"


def test_a_static_member_leaves_before_its_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its partitions are gone by then: the revoke has committed them."""
    caplog.set_level("INFO")

    asked = Stopping(STATIC).run(leaves=True)
    assert asked == ["store [2]", "unsubscribe", "close"]
    assert [record.getMessage() for record in caplog.records] == [
        "consumer_closed group=g",
        "group_left group=g",
    ]


@pytest.mark.parametrize(
    ("is_closed", "asked", "said"),
    [(True, ["classic"], "group_left group=g"), (False, [], "group_not_left group=g")],
)
def test_a_static_member_of_the_consumer_protocol_leaves_after_its_close(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    is_closed: bool,
    asked: list[str],
    said: str,
) -> None:
    """As a classic member; not beside one whose close is left behind."""
    caplog.set_level("INFO")
    left: list[str] = []
    monkeypatch.setattr(shutdown, "close", lambda *_, **__: is_closed)
    monkeypatch.setattr(
        leave_group, "leave_as_classic", lambda *_, **__: left.append("classic")
    )

    Stopping({**STATIC, "group.protocol": "consumer"}).run(leaves=True)
    assert left == asked
    assert caplog.records[-1].getMessage().startswith(said)


def test_a_dynamic_member_leaves_by_its_close(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else is asked or said."""
    caplog.set_level("INFO")

    assert Stopping({}).run(leaves=True) == ["store [2]", "commit [2]", "close"]
    (record,) = caplog.records
    assert record.getMessage() == "consumer_closed group=g"
