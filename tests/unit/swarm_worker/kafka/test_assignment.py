"""Which client's word on its partitions counts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from swarm_worker.app.app import Route
from swarm_worker.app.routing import GroupPlan
from swarm_worker.kafka.assignment import Assignment
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.kafka.subscribed_topics import SubscribedTopics
from swarm_worker.processing.lanes import Lanes
from swarm_worker.reporting.progress import Progress

AT = [TopicPartition("orders", 0)]
NOBODY = cast("Consumer", None)  # who calls is not looked at


def test_a_client_that_is_given_up_has_no_word_on_what_the_next_one_holds() -> None:
    """Its close may be left behind on a thread, and call back late."""
    lanes = Lanes(node=0, max_messages=2, submit=lambda _: None)
    progress = Progress().add_consumer()
    monitor = Monitor("g", {}, progress=progress, lanes=lanes, clock=lambda: 1.0)

    def life() -> Assignment:
        return assignment(lanes, monitor)

    old, new = life(), life()
    old._on_assign(NOBODY, AT)
    old.let_go_of_all()
    assert (lanes.table.all(), progress.assigned) == ([], 0)
    new._on_assign(NOBODY, AT)
    lane = lanes.table.get("orders", 0)

    old._on_revoke(NOBODY, AT)
    old._on_lost(NOBODY, AT)
    old._on_assign(NOBODY, AT)

    assert lane is not None
    assert lanes.table.get("orders", 0) is lane
    assert (lane.closed, progress.assigned) == (False, 1)


@pytest.mark.parametrize("call", ["_on_assign", "_on_revoke", "_on_lost"])
def test_a_rebalance_makes_what_statistics_have_told_of_the_group_void(
    call: str,
) -> None:
    """A commit would be of a generation that is over, and cost the assignment."""
    lanes = Lanes(node=0, max_messages=2, submit=lambda _: None)
    progress = Progress().add_consumer()
    monitor = Monitor("g", {}, progress=progress, lanes=lanes, clock=lambda: 1.0)
    holding = assignment(lanes, monitor)
    holding._on_assign(NOBODY, AT)
    lane = lanes.table.get("orders", 0)
    assert lane is not None
    lanes.turns.release(lane)
    lane.end_offset = 7  # so it rests there, which is to be committed
    lane.next_offset = lane.added_offset = 5
    other = [TopicPartition("orders", 1)]

    monitor.commits.update(takes_commits=True, now_s=1.0)
    getattr(holding, call)(NOBODY, other)
    assert monitor.commits.due(now_s=1.0) == []

    monitor.commits.update(takes_commits=True, now_s=1.0)
    assert lane in monitor.commits.due(now_s=1.0)


def assignment(lanes: Lanes, monitor: Monitor) -> Assignment:
    """Return that of a client that does what it is told."""
    route = Route(
        topics=("orders",),
        group="g",
        handler=print,
        max_retries=None,
        dead_letter=None,
        max_messages=None,
    )
    client: Any = SimpleNamespace(
        resume=lambda _: None, commit=lambda **_: [], store_offsets=lambda **_: None
    )
    plan = GroupPlan(group="g", routes=(route,), topics=("orders",))
    group: Any = SimpleNamespace(
        name="g",
        plan=plan,
        settings=SimpleNamespace(shutdown_timeout_s=1.0, max_poll_interval_ms=300_000),
        lanes=lanes,
        monitor=monitor,
        dead_letters=SimpleNamespace(outstanding=0, serve=lambda: None),
        clock=lambda: 1.0,
        subscribed=SubscribedTopics(
            plan.topics, before=None, keep=None, outlives_member=False
        ),
    )
    topic_watch: Any = SimpleNamespace(opened=list, left=lambda _: None)
    return Assignment(client, group, topic_watch)
