"""Each death of a node by itself is one record: how it died, and how it came back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from swarm_event_listener.core.model.death import DeathCause, OutOfMemory
from swarm_event_listener.core.model.events import (
    Closed,
    Closing,
    ExitRead,
    GroupRemoved,
    Measured,
    Note,
    ProcessState,
    ReadExit,
    Reported,
    RollOrdered,
    Surveyed,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.node import Node
from tests.simulation import POLICY, World, report

P = ProcessState
N0 = "swarm:node_0"
IN_FLIGHT = ("orders/3@7", "orders/4@1")


def world(**changed: Any) -> World:
    """Return a swarm whose first node has work in flight."""
    made = World(node_count=2, policy=replace(POLICY, **changed))
    made.processes[N0].report = {"in_flight": IN_FLIGHT}
    return made.run(3.0)


def node(swarm: World) -> Node:
    """Return what is known of the first node."""
    assert swarm.swarm is not None
    return swarm.swarm.nodes[N0]


def the(records: list[Record]) -> Record:
    """Return the only record."""
    (record,) = records
    return record


def test_a_death_is_on_record_once_the_node_works_again() -> None:
    """With all that was known of the process that died."""
    swarm = world()
    swarm.tell(Measured(name=N0, pid=swarm.pid(0) or 0, memory_bytes=300 * 2**20))
    pid, at_s = swarm.pid(0), swarm.now_s
    swarm.die(N0)
    assert swarm.of(ReadExit) == [ReadExit(name=N0, pid=pid, at_s=at_s)]
    assert swarm.deaths == []

    swarm.run(3.0)
    record = the(swarm.deaths)
    assert (record.cause, record.pid, record.status) == (Cause.DIED, pid, None)
    assert (record.in_flight, record.rss_mb) == (IN_FLIGHT, 300)
    assert record.said == f"pid {pid} was ended by SIGKILL"
    assert record.new_pid == swarm.pid(0)
    assert record.started_at_s == at_s + 0.5
    assert (record.recovered_at_s or 0.0) > at_s
    assert swarm.records == []
    assert len(swarm.said("node_died")) == 1


@pytest.mark.parametrize(
    ("end", "cause", "said"),
    [
        ({"exit_code": 9}, DeathCause.EXIT, "exited with 9"),
        ({"exit_code": 0}, DeathCause.EXIT, "exited with 0"),
        ({"signal": "SIGSEGV"}, DeathCause.SIGNAL, "was ended by SIGSEGV"),
        ({"signal": "SIGKILL"}, DeathCause.KILL, "was ended by SIGKILL"),
        (
            {"signal": "SIGKILL", "out_of_memory": OutOfMemory.PERHAPS},
            DeathCause.KILL,
            "was ended by SIGKILL, perhaps since memory was short",
        ),
        (
            {"signal": "SIGKILL", "out_of_memory": OutOfMemory.YES},
            DeathCause.OOM,
            "was ended by SIGKILL, since memory was short (OOM)",
        ),
        ({}, DeathCause.UNKNOWN, "ended, cause not known"),
    ],
)
def test_what_ended_it_is_told_and_counted(
    end: dict[str, Any], cause: DeathCause, said: str
) -> None:
    """An exit code, a signal, the kernel; or nothing, where the log tells nothing."""
    swarm = world()
    swarm.logged_end = end
    pid = swarm.pid(0)
    swarm.die(N0)
    swarm.run(3.0)

    record = the(swarm.deaths)
    assert record.said == f"pid {pid} {said}"
    assert record.as_json(lambda _: "then")["death"] == {
        "pid": pid,
        "cause": cause.value,
        "exit_code": end.get("exit_code"),
        "signal": end.get("signal"),
        "out_of_memory": end.get("out_of_memory", "no"),
    }
    assert node(swarm).deaths == {cause: 1}


def test_nobody_waits_for_a_log_that_is_not_read() -> None:
    """supervisord may not answer: after two seconds the cause is not known."""
    swarm = world()
    swarm.reads_log = False
    swarm.die(N0)
    swarm.run(1.5)
    assert swarm.deaths == []

    swarm.run(1.5)
    death = the(swarm.deaths).death
    assert death is not None
    assert death.cause is DeathCause.UNKNOWN
    late = ExitRead(name=N0, pid=death.pid, exit_code=9)
    swarm.tell(late)
    assert node(swarm).deaths == {DeathCause.UNKNOWN: 1}


def test_an_answer_about_another_process_is_not_taken() -> None:
    """It may come late, when the next one has died, too."""
    swarm = world()
    swarm.reads_log = False
    swarm.die(N0)
    swarm.tell(ExitRead(name=N0, pid=1, exit_code=9))
    swarm.tell(ExitRead(name="swarm:unknown", pid=1, exit_code=9))

    assert node(swarm).deaths == {}


def test_a_second_answer_counts_nothing() -> None:
    """A list of processes and the log may both have told."""
    swarm = world()
    swarm.is_born_silent = True
    pid = swarm.pid(0)
    swarm.die(N0)
    swarm.tell(ExitRead(name=N0, pid=pid, exit_code=9))

    assert node(swarm).deaths == {DeathCause.KILL: 1}


@pytest.mark.parametrize("state", [P.STOPPED, P.STOPPING])
def test_a_stop_is_no_death(state: ProcessState) -> None:
    """Also one that ends in supervisord's KILL after stopwaitsecs."""
    swarm = world()
    swarm.processes[N0].ignores_term = state is P.STOPPING
    swarm.stop(N0)
    swarm.run(10.0)

    assert swarm.processes[N0].state is P.STOPPED
    assert (swarm.deaths, swarm.of(ReadExit)) == ([], [])


def test_restarts_of_ours_are_no_deaths() -> None:
    """By a rule, by TERM where nothing can be written, and in a roll."""
    swarm = world()
    swarm.processes[N0].report = {"consume_age_ms": 9_000}
    swarm.run(10.0)
    swarm.disk_is_full = True
    swarm.processes[N0].report = {"consume_age_ms": 9_000}
    swarm.run(10.0)
    swarm.disk_is_full = False
    swarm.tell(RollOrdered(group="swarm"))
    swarm.run(30.0)

    assert len(swarm.records) == 4
    assert (swarm.deaths, swarm.of(ReadExit)) == ([], [])


def test_a_death_before_the_stop_is_a_death_and_no_restart() -> None:
    """Nothing was stopped; and the process had broken a rule all the same."""
    swarm = world()
    swarm.lost_calls = 99
    pid = swarm.pid(0) or 0
    hung = report(pid=pid, consume_age_ms=9_000)
    swarm.tell(Reported(name=N0, pid=pid, report=hung))
    assert node(swarm).restart is not None
    swarm.die(N0)
    swarm.run(4.0)

    assert swarm.records == []
    assert the(swarm.deaths).pid == pid


def test_a_process_that_dies_before_it_works_ends_the_record_before_it() -> None:
    """Both are told: the restart that did not help, and the death."""
    swarm = world()
    swarm.processes[N0].report = {"consume_age_ms": 9_000}
    swarm.is_born_silent = True
    swarm.run(4.0)
    assert node(swarm).restart is not None
    pid = swarm.pid(0)
    swarm.is_born_silent = False
    swarm.die(N0)
    swarm.run(3.0)

    assert the(swarm.records).recovered_at_s is None
    assert the(swarm.deaths).pid == pid


def test_a_node_that_dies_again_before_it_works_has_two_records() -> None:
    """The first one did not come back."""
    swarm = world()
    swarm.is_born_silent = True
    swarm.die(N0)
    swarm.run(1.0)
    swarm.die(N0)
    swarm.is_born_silent = False
    swarm.run(3.0)

    first, second = swarm.deaths
    assert (first.new_pid, first.recovered_at_s) == (second.pid, None)
    assert second.recovered_at_s is not None
    assert node(swarm).deaths == {DeathCause.KILL: 2}


def test_a_node_that_never_works_again_has_its_record_after_a_minute() -> None:
    """Its process lives, and does not poll."""
    swarm = world(limits=replace(POLICY.limits, report_timeout_s=None))
    swarm.is_born_silent = True
    swarm.die(N0)
    swarm.run(60.0)
    assert swarm.deaths == []

    swarm.run(2.0)
    assert the(swarm.deaths).recovered_at_s is None


def test_one_that_an_operator_stops_then_has_its_record_at_once() -> None:
    """Nobody brings it back."""
    swarm = world()
    swarm.is_born_silent = True
    swarm.die(N0)
    swarm.run(1.0)
    swarm.stop(N0)
    swarm.run(2.0)

    assert the(swarm.deaths).new_pid is not None


@pytest.mark.parametrize("logged_end", [{"exit_code": 78}, {}, None])
def test_an_exit_that_is_for_a_person_is_told_by_log_or_survey(
    logged_end: dict[str, Any] | None,
) -> None:
    """supervisord leaves it down, so its list of processes has the code."""
    swarm = world()
    swarm.reads_log = logged_end is not None
    swarm.logged_end = logged_end or {}
    swarm.processes[N0].exit_code = 78
    swarm.die(N0)
    swarm.run(3.0)

    record = the(swarm.deaths)
    assert record.death is not None
    assert (record.death.exit_code, record.started_at_s) == (78, None)
    assert "cannot work" in record.said


def test_the_tries_of_a_node_that_cannot_work_are_one_death() -> None:
    """Every five minutes for days: they would take the place of what happened once."""
    swarm = world()
    swarm.born_exit_code = 78
    swarm.logged_end = {"exit_code": 78}
    swarm.processes[N0].exit_code = 78
    swarm.die(N0)
    swarm.run(200.0)

    assert len(swarm.deaths) == 1
    assert node(swarm).deaths == {DeathCause.EXIT: 1}


def test_a_node_that_is_kept_down_tells_how_it_died() -> None:
    """The restart is one record, and the death that has led to it is part of it."""
    swarm = world()
    pid = None
    for _ in range(6):
        pid = swarm.pid(0)
        swarm.processes[N0].report = {"in_flight": IN_FLIGHT}
        swarm.run(1.0)
        swarm.die(N0)
        swarm.run(1.0)
    swarm.run(6.0)

    record = the(swarm.records)
    assert len(swarm.deaths) == 5
    assert record.death is not None
    assert (record.cause, record.death.pid) == (Cause.EXITED, pid)
    assert record.said == (
        f"died again: 6 failures in 600 s; pid {pid} was ended by SIGKILL"
    )
    assert record.in_flight == IN_FLIGHT
    assert record.suspect == IN_FLIGHT[0]
    assert record.recovered_at_s is not None
    assert sum(node(swarm).deaths.values()) == 6


def test_while_it_is_kept_down_its_health_says_how_it_died() -> None:
    """And the journal has nothing of it that an older listener would stumble over."""
    swarm = world()
    for _ in range(6):
        swarm.die(N0)
        swarm.run(1.0)
    assert swarm.swarm is not None
    health = swarm.swarm.health(node(swarm), now_s=swarm.now_s)

    assert health.why.endswith("was ended by SIGKILL")
    assert "death" not in json.loads(swarm.intents[N0])["record"]


def test_a_node_that_is_restarted_before_it_works_has_both_records() -> None:
    """It died, and its successor did not report."""
    swarm = world()
    swarm.is_born_silent = True
    swarm.die(N0)
    swarm.run(3.0)
    swarm.is_born_silent = False
    swarm.run(10.0)

    assert (the(swarm.deaths).recovered_at_s, the(swarm.records).status) == (None, -1)
    assert the(swarm.records).death is None


def test_a_death_whose_back_off_is_dropped_is_on_record_all_the_same() -> None:
    """The journal cannot be written, so its new process goes on."""
    swarm = world()
    for _ in range(5):
        swarm.die(N0)
        swarm.run(1.0)
    swarm.disk_is_full = True
    swarm.die(N0)
    swarm.run(8.0)

    assert swarm.said("restart_dropped")
    assert (len(swarm.deaths), swarm.records) == (6, [])
    assert sum(node(swarm).deaths.values()) == 6


def test_the_next_process_tells_what_was_in_flight() -> None:
    """It stands in the slot's file, also where no report came before the death."""
    swarm = world()
    swarm.processes[N0].report = {}
    swarm.run(1.0)
    swarm.born_report = {"died_in_flight": ("orders/9@4",)}
    swarm.die(N0)
    swarm.run(3.0)

    assert the(swarm.deaths).in_flight == ("orders/9@4",)


def test_the_message_that_it_tells_of_each_time_is_the_suspect() -> None:
    """No report may ever have come with it in flight."""
    swarm = world()
    swarm.processes[N0].report = {}
    swarm.run(1.0)
    swarm.born_report = {"died_in_flight": ("orders/9@4",)}
    for _ in range(5):
        swarm.die(N0)
        swarm.run(2.0)

    assert [record.suspect for record in swarm.deaths] == [None] * 4 + ["orders/9@4"]


def test_a_start_that_fails_has_no_process_that_died() -> None:
    """supervisord could not start it, or it ended before its number was told."""
    swarm = world()
    swarm.logged_end = {}
    swarm.stop(N0)
    swarm.run(1.0)
    process = swarm.processes[N0]
    swarm.change(process, P.STARTING)
    swarm.change(process, P.BACKOFF)
    swarm.run(61.0)

    assert the(swarm.deaths).said == (
        "its process ended as it began, or could not be started"
    )


def test_a_removed_group_leaves_its_last_death_on_record() -> None:
    """``supervisorctl update`` came before it was back."""
    swarm = world()
    swarm.is_born_silent = True
    swarm.die(N0)
    swarm.run(1.0)
    swarm.tell(GroupRemoved(group="swarm"))

    assert the(swarm.deaths).node == N0


def test_a_death_that_the_listener_does_not_outlive_is_told_by_the_next() -> None:
    """Its record was noted when it died, and is asked about again."""
    swarm = world()
    swarm.reads_log, swarm.is_born_silent = False, True
    pid = swarm.pid(0)
    swarm.die(N0)
    swarm.run(1.0)
    swarm.kill_listener()
    swarm.reads_log, swarm.is_born_silent = True, False
    swarm.processes[N0].is_silent = False
    swarm.start_listener()
    swarm.run(3.0)

    record = the(swarm.deaths)
    assert record.said == f"pid {pid} was ended by SIGKILL"
    assert (record.in_flight, record.new_pid) == (IN_FLIGHT, swarm.pid(0))
    assert record.recovered_at_s is not None
    assert swarm.of(Note)[-1].deaths == {}


def test_a_death_of_an_hour_ago_says_nothing_of_how_it_came_back() -> None:
    """No listener ran for so long, or an older one that keeps what it cannot read."""
    swarm = world()
    swarm.is_born_silent = True
    swarm.die(N0)
    swarm.run(1.0)
    swarm.kill_listener()
    swarm.processes[N0].is_silent = False
    swarm.run(3_600.0, step_s=60.0)
    swarm.start_listener()
    swarm.report_of(swarm.processes[N0])
    swarm.run(3.0)

    assert the(swarm.deaths).recovered_at_s is None


def test_a_listener_that_closes_notes_the_death_of_just_now() -> None:
    """There may be no tick any more."""
    swarm = world()
    swarm.die(N0)
    swarm.tell(Closing())
    swarm.tell(Closed())

    assert set(swarm.of(Note)[-1].deaths) == {N0}


def test_a_death_while_nobody_listens_is_told_by_the_log() -> None:
    """The next listener finds another process than the last one knew."""
    swarm = world()
    pid = swarm.pid(0)
    swarm.kill_listener()
    swarm.die(N0)
    swarm.run(1.0)
    swarm.start_listener()
    swarm.run(3.0)

    assert swarm.of(ReadExit)[-1] == ReadExit(name=N0, pid=pid, at_s=None)
    assert (the(swarm.deaths).pid, the(swarm.deaths).new_pid) == (pid, swarm.pid(0))


def test_a_restart_by_an_operator_while_nobody_listens_is_no_death() -> None:
    """The log says "stopped", or nothing."""
    swarm = world()
    swarm.logged_end = {}
    swarm.kill_listener()
    swarm.stop(N0)
    swarm.run(1.0)
    swarm.start(N0)
    swarm.start_listener()
    swarm.run(70.0)

    assert (swarm.deaths, node(swarm).deaths) == ([], {})


def test_a_restart_of_ours_that_the_listener_does_not_outlive_is_no_death() -> None:
    """The next one finds another process, and knows why."""
    swarm = world()
    pid = swarm.pid(0) or 0
    hung = report(pid=pid, consume_age_ms=9_000)
    swarm.tell(Reported(name=N0, pid=pid, report=hung))
    swarm.run(0.5)
    assert swarm.processes[N0].state is P.STOPPING
    swarm.kill_listener()
    swarm.run(1.0)
    swarm.start(N0)
    swarm.start_listener()

    assert swarm.pid(0) not in {None, pid}
    assert swarm.of(ReadExit) == []


def test_the_next_listener_knows_the_processes_of_the_last() -> None:
    """Also one that an operator started: nothing is asked about it."""
    swarm = world()
    swarm.stop(N0)
    swarm.run(1.0)
    swarm.start(N0)
    swarm.run(1.0)
    swarm.kill_listener()
    swarm.start_listener()

    assert swarm.of(ReadExit) == []


def test_a_death_whose_event_was_lost_is_told_by_the_log() -> None:
    """A survey finds another process."""
    swarm = world()
    pid = swarm.pid(0)
    swarm.loses_events = True
    swarm.die(N0)
    swarm.run(0.5)
    swarm.loses_events = False
    swarm.tell(Surveyed(processes=swarm.survey()))
    swarm.run(3.0)

    assert the(swarm.deaths).pid == pid


def test_an_operators_restart_that_is_seen_late_is_no_death() -> None:
    """The same survey; the log says "stopped"."""
    swarm = world()
    swarm.logged_end = {}
    swarm.loses_events = True
    swarm.stop(N0)
    swarm.run(1.0)
    swarm.start(N0)
    swarm.loses_events = False
    swarm.tell(Surveyed(processes=swarm.survey()))
    swarm.run(70.0)

    assert (swarm.deaths, node(swarm).deaths) == ([], {})
