"""What the page draws: half an hour of each node, in bounded memory."""

from __future__ import annotations

import json
from pathlib import Path

from swarm_event_listener.core.model.events import (
    Measured,
    ProcessInfo,
    ProcessState,
    Reported,
    Surveyed,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics import page
from swarm_event_listener.outlets.metrics.page import Page
from swarm_event_listener.outlets.metrics.trends import EVERY_S, POINTS, SERIES, Trends
from swarm_worker.shared.report import Report, State

NAME = "w:w_00"
NOW_S = 1_000.0


def swarm_of_one(state: ProcessState = ProcessState.RUNNING) -> Swarm:
    """Return a node of 3 MB that polled 250 ms ago and has a lag of 5."""
    swarm = Swarm({"w": Policy()})
    info = ProcessInfo(name=NAME, state=state, pid=7)
    swarm.handle(Surveyed(processes=(info,)), now_s=NOW_S)
    report = Report(node=0, pid=7, state=State.RUNNING, poll_age_ms=250, lag=5)
    swarm.handle(Reported(name=NAME, pid=7, report=report), now_s=NOW_S)
    swarm.handle(Measured(name=NAME, pid=7, memory_bytes=3 * 2**20), now_s=NOW_S)
    return swarm


def test_points_are_taken_at_their_time_and_the_oldest_go() -> None:
    """However often it is looked, and for however long."""
    trends, swarm = Trends(), swarm_of_one()
    for tick in range(int(3 * POINTS * EVERY_S)):
        trends.look(swarm.nodes, now_s=NOW_S + tick)

    told = trends.of(NAME)
    assert set(told) == set(SERIES)
    assert [len(values) for values in told.values()] == [POINTS] * len(SERIES)
    assert (told["memory_mb"][-1], told["lag"][-1]) == (3, 5)
    assert (told["poll_s"][-1], told["consume_s"][-1]) == (0.2, 0)
    assert told["messages_per_s"][-1] is None


def test_a_node_that_goes_is_forgotten_and_one_without_a_process_has_gaps() -> None:
    """Neither leaves old figures standing as new ones."""
    trends = Trends()
    trends.look(swarm_of_one().nodes, now_s=NOW_S)
    down = swarm_of_one()
    info = ProcessInfo(name=NAME, state=ProcessState.STOPPED, pid=None)
    down.handle(Surveyed(processes=(info,)), now_s=NOW_S)
    trends.look(down.nodes, now_s=NOW_S + EVERY_S)
    assert trends.of(NAME)["memory_mb"] == [3, None]
    assert trends.of(NAME)["lag"] == [5, None]

    trends.look({}, now_s=NOW_S + 2 * EVERY_S)
    assert trends.of(NAME) == {}


def test_the_page_has_the_nodes_and_the_restarts() -> None:
    """Those on record before this listener, and those since."""
    shown = Page([{"node": "w:w_01"}], wall=lambda moment_s: f"at {moment_s:.0f}")
    swarm = swarm_of_one()
    shown.look(swarm, now_s=NOW_S)
    shown.restarted(
        Record(node=NAME, pid=1, cause=Cause.RULE, status=2, reason="", detected_at_s=1)
    )

    data = json.loads(shown.data(swarm, now_s=NOW_S, trouble="supervisord is gone"))
    assert [node["node"] for node in data["nodes"]] == [NAME]
    assert data["nodes"][0]["trends"]["lag"] == [5]
    assert [record["node"] for record in data["restarts"]] == ["w:w_01", NAME]
    assert data["restarts"][1]["headline"] == "status 2: a batch took too long"
    assert data["trouble"] == "supervisord is gone"
    assert data["minutes"] == 30


def test_a_node_that_is_down_holds_no_partitions() -> None:
    """What its last process reported is past."""
    swarm, shown = swarm_of_one(), Page([], wall=str)

    def assigned() -> object:
        data = shown.data(swarm, now_s=NOW_S, trouble="")
        return json.loads(data)["nodes"][0]["assigned"]

    up = assigned()
    stopped = ProcessInfo(name=NAME, state=ProcessState.STOPPED, pid=None)
    swarm.handle(Surveyed(processes=(stopped,)), now_s=NOW_S)

    assert (up, assigned()) == (0, None)


def test_the_page_asks_nobody_but_the_listener() -> None:
    """One file: it works without a network, and tells nobody who looks."""
    text = page.html().decode()

    outside = text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in outside
    assert "https:" not in outside
    assert "innerHTML" not in text
    assert Path(page.__file__).with_name("page.html").is_file()
