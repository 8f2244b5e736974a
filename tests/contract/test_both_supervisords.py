"""Facts of supervisord that the core relies on, true of both."""

from __future__ import annotations

from swarm_event_listener.core.model.events import (
    Answer,
    Answered,
    FaultCode,
    ProcessState,
    Signal,
    Start,
    Stop,
)
from tests.contract.daemons import NODE, STUBBORN, Daemon

P = ProcessState


def pid_of(daemon: Daemon, name: str) -> int:
    """Return the pid of a process that has one."""
    pid = daemon.processes()[name].pid
    assert pid is not None
    return pid


def is_in(daemon: Daemon, name: str, state: ProcessState) -> bool:
    """Whether a process is in a state, and the event for it has come."""
    moments = daemon.moments(name)
    return (
        daemon.processes()[name].state is state
        and bool(moments)
        and moments[-1][0] is state
    )


def outcome(answered: Answered) -> tuple[Answer, int]:
    """Return what is known of a call."""
    return answered.answer, answered.fault


DONE = (Answer.DONE, 0)


def test_a_stop_is_answered_at_once_and_told_step_by_step(daemon: Daemon) -> None:
    """STOPPING and STOPPED carry the pid; there is no process afterwards."""
    pid = pid_of(daemon, NODE)
    before = len(daemon.moments(NODE))

    assert outcome(daemon.do(Stop(name=NODE, pid=pid))) == DONE

    daemon.await_fact(lambda: is_in(daemon, NODE, P.STOPPED), "node_0 STOPPED")
    assert daemon.moments(NODE)[before:] == [(P.STOPPING, pid), (P.STOPPED, pid)]
    assert daemon.processes()[NODE].pid is None


def test_what_was_stopped_stays_so_until_it_is_started(daemon: Daemon) -> None:
    """A start of a stopped process gives it a new pid; STARTING carries none."""
    pid = pid_of(daemon, NODE)
    daemon.do(Stop(name=NODE, pid=pid))
    daemon.await_fact(lambda: is_in(daemon, NODE, P.STOPPED), "node_0 STOPPED")
    before = len(daemon.moments(NODE))

    assert outcome(daemon.do(Start(name=NODE))) == DONE

    daemon.await_fact(lambda: is_in(daemon, NODE, P.RUNNING), "node_0 RUNNING")
    new_pid = pid_of(daemon, NODE)
    assert new_pid != pid
    assert daemon.moments(NODE)[before:] == [(P.STARTING, None), (P.RUNNING, new_pid)]


def test_a_stop_while_stopping_is_refused(daemon: Daemon) -> None:
    """70: so a stop that got no answer can be asked for again."""
    pid = pid_of(daemon, STUBBORN)
    daemon.do(Stop(name=STUBBORN, pid=pid))

    again = daemon.do(Stop(name=STUBBORN, pid=pid))

    assert outcome(again) == (Answer.FAULT, FaultCode.NOT_RUNNING)


def test_a_start_while_stopping_is_answered_well_and_starts_nothing(
    daemon: Daemon,
) -> None:
    """Why the state is looked at after a start."""
    pid = pid_of(daemon, STUBBORN)
    daemon.do(Stop(name=STUBBORN, pid=pid))

    assert outcome(daemon.do(Start(name=STUBBORN))) == DONE

    daemon.await_fact(lambda: is_in(daemon, STUBBORN, P.STOPPED), "node_1 STOPPED")
    assert daemon.processes()[STUBBORN].pid is None


def test_a_start_of_what_runs_is_refused(daemon: Daemon) -> None:
    """60: which is success for whoever wanted it to run."""
    pid = pid_of(daemon, NODE)

    answered = daemon.do(Start(name=NODE))

    assert outcome(answered) == (Answer.FAULT, FaultCode.ALREADY_STARTED)
    assert pid_of(daemon, NODE) == pid


def test_what_ignores_term_is_killed_by_supervisord(daemon: Daemon) -> None:
    """Nobody need ask again."""
    pid = pid_of(daemon, STUBBORN)

    daemon.do(Stop(name=STUBBORN, pid=pid))

    daemon.await_fact(lambda: is_in(daemon, STUBBORN, P.STOPPED), "node_1 STOPPED")
    assert daemon.moments(STUBBORN)[-2:] == [(P.STOPPING, pid), (P.STOPPED, pid)]


def test_a_death_is_told_and_the_process_brought_back(daemon: Daemon) -> None:
    """EXITED with the old pid, STARTING without one, RUNNING with the new one."""
    pid = pid_of(daemon, NODE)
    before = len(daemon.moments(NODE))

    daemon.kill(NODE)

    daemon.await_fact(
        lambda: (
            is_in(daemon, NODE, P.RUNNING) and len(daemon.moments(NODE)) > before + 2
        ),
        "node_0 RUNNING again",
    )
    assert daemon.moments(NODE)[before:] == [
        (P.EXITED, pid),
        (P.STARTING, None),
        (P.RUNNING, pid_of(daemon, NODE)),
    ]


def test_a_signal_by_rpc_ends_the_process_without_a_stop(daemon: Daemon) -> None:
    """To supervisord this is a death: it brings the process back by itself."""
    pid = pid_of(daemon, NODE)

    assert outcome(daemon.do(Signal(name=NODE, pid=pid, signal="TERM"))) == DONE

    daemon.await_fact(
        lambda: (
            is_in(daemon, NODE, P.RUNNING)
            and daemon.processes()[NODE].pid not in {pid, None}  # it may end just now
        ),
        "node_0 under another pid",
    )
    assert (P.EXITED, pid) in daemon.moments(NODE)
    assert P.STOPPING not in [state for state, _ in daemon.moments(NODE)]


def test_nothing_is_done_to_another_process_than_the_one_meant(daemon: Daemon) -> None:
    """The pid is compared just before a stop or a signal."""
    pid = pid_of(daemon, NODE)
    wrong = pid + 100_000

    stopped = daemon.do(Stop(name=NODE, pid=wrong))
    signalled = daemon.do(Signal(name=NODE, pid=wrong, signal="KILL"))

    assert outcome(stopped) == outcome(signalled) == (Answer.OTHER_PID, 0)
    assert daemon.processes()[NODE].state is P.RUNNING
    assert pid_of(daemon, NODE) == pid
