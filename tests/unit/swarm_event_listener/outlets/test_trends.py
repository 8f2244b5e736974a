"""What the page draws: half an hour of each node, in bounded memory."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from swarm_event_listener.core.model.events import (
    Measured,
    ProcessInfo,
    ProcessState,
    Reported,
    RollOrdered,
    Surveyed,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.restart.restart import Phase, Restart
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics import page
from swarm_event_listener.outlets.metrics.page import Page
from swarm_event_listener.outlets.metrics.trends import EVERY_S, POINTS, SERIES, Trends
from swarm_event_listener.outlets.status import nodes_of
from swarm_worker.shared.report import Failing, Report, State

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


def look(trends: Trends, swarm: Swarm, now_s: float) -> None:
    """Let it look at a swarm at a moment."""
    trends.look(lambda: nodes_of(swarm, now_s=now_s), now_s=now_s)


def shown_of(shown: Page, swarm: Swarm, *, now_s: float = NOW_S) -> Any:
    """Return what the page shows of the only node."""
    return json.loads(shown.data(swarm, now_s=now_s, trouble=""))["nodes"][0]


def test_points_are_taken_at_their_time_and_the_oldest_go() -> None:
    """However often it is looked, and for however long."""
    trends, swarm = Trends(), swarm_of_one()
    for tick in range(int(3 * POINTS * EVERY_S)):
        trends.look(lambda: nodes_of(swarm, now_s=NOW_S), now_s=NOW_S + tick)

    told = trends.of(NAME)
    assert set(told) == set(SERIES)
    assert [len(values) for values in told.values()] == [POINTS] * len(SERIES)
    assert (told["memory_mb"][-1], told["lag"][-1]) == (3, 5)
    assert (told["poll_s"][-1], told["consume_s"][-1]) == (0.2, 0)
    assert told["messages_per_s"][-1] is None


def test_a_node_that_goes_is_forgotten_and_one_without_a_process_has_gaps() -> None:
    """Neither leaves old figures standing as new ones."""
    trends = Trends()
    look(trends, swarm_of_one(), NOW_S)
    down = swarm_of_one()
    info = ProcessInfo(name=NAME, state=ProcessState.STOPPED, pid=None)
    down.handle(Surveyed(processes=(info,)), now_s=NOW_S)
    look(trends, down, NOW_S + EVERY_S)
    assert trends.of(NAME)["memory_mb"] == [3, None]
    assert trends.of(NAME)["lag"] == [5, None]

    trends.look(list, now_s=NOW_S + 2 * EVERY_S)
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


def test_a_card_shows_the_last_report_not_the_last_point_of_a_curve() -> None:
    """A point comes every 20 s; the clock of the page is two seconds old."""
    swarm, shown = swarm_of_one(), Page([], wall=str, uptime=lambda _: 61.0)
    shown.look(swarm, now_s=NOW_S)
    later = Report(
        node=0,
        pid=7,
        state=State.RUNNING,
        poll_age_ms=90,
        consume_age_ms=1_500,
        in_flight=("t/0@7",),
        lag=900,
        assigned=3,
    )
    swarm.handle(Reported(name=NAME, pid=7, report=later), now_s=NOW_S + 5)
    shown.look(swarm, now_s=NOW_S + 6)

    node = shown_of(shown, swarm, now_s=NOW_S + 6)
    assert node["trends"]["lag"] == [5]
    assert (node["now"]["lag"], node["now"]["assigned"]) == (900, 3)
    assert (node["now"]["poll_s"], node["now"]["consume_s"]) == (0.09, 1.5)
    assert (node["now"]["in_flight"], node["now"]["uptime_s"]) == (["t/0@7"], 61)
    assert node["report_age_s"] == 1


def test_ages_of_a_silent_node_go_on() -> None:
    """As in swarm status: what hangs would look busy for ever."""
    swarm, shown = swarm_of_one(), Page([], wall=str)

    assert shown_of(shown, swarm, now_s=NOW_S + 29)["now"]["poll_s"] == 0.25
    assert shown_of(shown, swarm, now_s=NOW_S + 40)["now"]["poll_s"] == 40.25


def test_a_node_that_is_down_has_no_figures() -> None:
    """What its last process reported is past."""
    swarm, shown = swarm_of_one(), Page([], wall=str)
    fails = Failing(at="t/0@7", error="E", attempts=8, for_ms=9)
    report = Report(
        node=0,
        pid=7,
        state=State.RUNNING,
        lag=5,
        failing=(fails,),
        failing_count=2,
        throttled_ms=300,
    )
    swarm.handle(Reported(name=NAME, pid=7, report=report), now_s=NOW_S)
    up = shown_of(shown, swarm)
    stopped = ProcessInfo(name=NAME, state=ProcessState.STOPPED, pid=None)
    swarm.handle(Surveyed(processes=(stopped,)), now_s=NOW_S)
    down = shown_of(shown, swarm)

    assert (up["now"]["lag"], len(up["notes"])) == (5, 3)
    assert (down["now"], down["notes"], down["health"]) == (
        None,
        [],
        "stopped by operator",
    )


def test_a_node_that_backs_off_is_told_with_its_next_try_and_its_suspect() -> None:
    """The reason alone leaves open whether somebody has to do something."""
    swarm = swarm_of_one(ProcessState.STOPPED)
    record = Record(
        node=NAME,
        pid=7,
        cause=Cause.RULE,
        status=2,
        reason="hangs",
        suspect="t/0@7",
        pause_s=60.0,
        detected_at_s=NOW_S,
    )
    restart = Restart(record=record, phase=Phase.DOWN, since_s=NOW_S)
    swarm._table.put(replace(swarm.nodes[NAME], restart=restart))

    node = shown_of(Page([], wall=str), swarm, now_s=NOW_S + 23)
    assert node["health"] == "backing off"
    assert node["why"] == "hangs; started again in 37s"
    assert node["suspect"] == "t/0@7"


def test_a_roll_is_told_while_it_is_under_way() -> None:
    """In the words of swarm status; one of nodes that are down is over at once."""

    def rolls(swarm: Swarm) -> object:
        shown = Page([], wall=str).data(swarm, now_s=NOW_S, trouble="")
        return json.loads(shown)["rolls"]

    runs, stopped = swarm_of_one(), swarm_of_one(ProcessState.STOPPED)
    before = rolls(runs)
    for swarm in (runs, stopped):
        order = RollOrdered(group="w", max_unavailable=1, timeout_s=60)
        swarm.handle(order, now_s=NOW_S)

    assert before == {}
    assert rolls(runs) == {"w": "a roll is under way: 0 of 1 done; next is w_00"}
    assert stopped.rolls["w"].is_over
    assert rolls(stopped) == {}


def test_uptime_is_that_of_the_process() -> None:
    """From the kernel's clock of this machine; None where there is no process."""
    own = page.uptime_s(os.getpid())

    assert own is not None
    assert 0 <= own <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert page.uptime_s(2**22 + 1) is None


def test_the_page_asks_nobody_but_the_listener() -> None:
    """One file: it works without a network, and tells nobody who looks."""
    text = page.html().decode()

    outside = text.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in outside
    assert "https:" not in outside
    assert "innerHTML" not in text
    assert Path(page.__file__).with_name("page.html").is_file()
