"""The life of a node, seen from outside: states, signals, what it says."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swarm_worker.kafka.poll_batches import DRAIN_MESSAGES
from swarm_worker.node.main import COLLECT_AFTER
from swarm_worker.processing.backpressure import CAPACITY_MESSAGES
from swarm_worker.shared.report import State
from tests.eventually import eventually
from tests.nodes import ROOT, SETTINGS, SUPERVISED, Bare, node
from tests.signals import HUP, hup_is_heard

TERM = signal.SIGTERM


def test_a_node_tells_its_life(tmp_path: Path) -> None:
    """Booting before the app is imported, then running, then stopping; exit 0."""
    with node(tmp_path, "--node", "3", "--nodes", "4") as it:
        it.await_reported(State.RUNNING)
        assert it.stop_after("handled=3") == 0

    states = list(dict.fromkeys(report.state for report in it.reports))
    # The last may be missing: two reports were written in this second.
    whole = [State.BOOTING, State.RUNNING, State.STOPPING]
    assert states in (whole, whole[:2])
    assert [r.seq for r in it.reports] == list(range(len(it.reports)))
    assert {(r.node, r.pid) for r in it.reports} == {(3, it.process.pid)}


def test_hooks_run_once_around_the_handlers(tmp_path: Path) -> None:
    """on_start before the first handler call, on_stop after the last."""
    with node(tmp_path) as it:
        assert it.stop_after("handled=2") == 0

    order = [word for word in it.log.split() if word.startswith(("now=", "handled="))]
    assert order[:4] == ["now=IMPORT", "now=START", "now=HANDLER", "handled=0"]
    assert order[-1] == "now=STOP"
    assert order.count("now=START") == order.count("now=STOP") == 1


@pytest.mark.parametrize(
    ("mood", "after"), [("calm", COLLECT_AFTER), ("collect_early", 321)]
)
def test_the_collector_leaves_waiting_messages_alone(
    tmp_path: Path, mood: str, after: int
) -> None:
    """It runs after more objects than a node holds messages, or as the app has it.

    What a node has imported before the app it never looks at: an end is quicker.
    """
    assert COLLECT_AFTER > CAPACITY_MESSAGES + DRAIN_MESSAGES
    with node(tmp_path, moods={"IMPORT": mood, "START": "tell_collector"}) as it:
        it.await_logged(f"collects_after={after} frozen=True\n")


@pytest.mark.parametrize("number", [HUP, signal.SIGUSR2, signal.SIGTTOU])
def test_what_others_take_for_reload_is_no_end(
    tmp_path: Path, number: signal.Signals
) -> None:
    """They are ignored in each phase; one WARNING says what to do instead."""
    with node(tmp_path, moods={"IMPORT": "hang_swallowing"}) as booting:
        booting.await_logged("now=IMPORT")
        booting.send(number)
        booting.await_logged("signal_ignored")
    with node(tmp_path) as it:
        it.await_reported(State.RUNNING)
        it.send(number)
        it.send(number)
        assert it.stop_after("handled=3") == 0

    warnings = [line for line in it.log.splitlines() if "signal_ignored" in line]
    assert len(warnings) == 1
    for word in ("WARNING", number.name, "TERM", "swarm roll"):
        assert word in warnings[0]


@hup_is_heard
def test_an_app_keeps_its_own_use_of_hup_and_usr2(tmp_path: Path) -> None:
    """A handler of Python's, and one in C."""
    with node(tmp_path, moods={"IMPORT": "use_reload_signals"}) as it:
        it.await_logged("handled=1")
        it.send(signal.SIGHUP)
        it.await_logged("own use of HUP")
        it.send(signal.SIGUSR2)
        it.await_logged("most recent call first")

    assert "signal_ignored" not in it.log


@hup_is_heard
def test_a_child_of_a_handler_is_ended_by_hup(tmp_path: Path) -> None:
    """What a node ignores is nothing to the processes that its app starts."""
    with node(tmp_path, moods={"HANDLER": "tell_child"}) as it:
        it.await_logged("HUP forked=-1 started=-1")


def test_a_held_gil_is_silent_and_shows_its_stack(tmp_path: Path) -> None:
    """No report can be made; TTIN still prints where it hangs."""
    with node(tmp_path, moods={"HANDLER": "hold_gil"}) as it:
        it.await_logged("now=HANDLER")
        it.send(signal.SIGTTIN)
        it.await_logged("in hold_gil")
        assert it.process.poll() is None


def test_ttin_shows_all_threads_and_changes_nothing(tmp_path: Path) -> None:
    """Also of a node that boots."""
    with node(tmp_path, moods={"IMPORT": "hang"}) as it:
        it.await_logged("now=IMPORT")
        it.send(signal.SIGTTIN)
        it.await_logged("in hang")
        assert it.process.poll() is None
        it.send(TERM)
        assert it.await_end() == 0


def test_quiet_takes_no_new_batch_until_told(tmp_path: Path) -> None:
    """TSTP, then polls without handler calls; CONT takes up work; TERM still stops."""
    with node(tmp_path) as it:
        it.await_logged("handled=1")
        it.send(signal.SIGTSTP)
        seq = it.await_reported(State.QUIET).seq
        later = eventually(
            lambda: next((r for r in it.reports if r.seq == seq + 3), None),
            describe="three more reports",
        )
        # A batch that was in flight may have ended before the second.
        assert {(r.state, r.messages) for r in it.reports[seq + 1 :]} == {
            (State.QUIET, later.messages)
        }
        assert later.poll_age_ms is not None
        assert later.poll_age_ms < 500
        it.send(signal.SIGCONT)
        eventually(
            lambda: it.reports[-1].messages > later.messages, describe="more messages"
        )
        it.send(signal.SIGTSTP)
        assert it.stop_after("node_resumed") == 0


@pytest.mark.parametrize(
    ("signals", "leaves"),
    [
        ([signal.SIGUSR1], True),
        ([signal.SIGUSR1, signal.SIGCONT], False),
        ([signal.SIGTSTP, signal.SIGUSR1], True),
        ([], False),
    ],
)
def test_a_node_that_is_told_to_leave_works_on_and_leaves_at_its_stop(
    tmp_path: Path, signals: list[signal.Signals], *, leaves: bool
) -> None:
    """USR1 ends nothing by itself, and CONT takes it back."""
    with node(tmp_path) as it:
        it.await_logged("handled=1")
        for number in signals:
            it.send(number)
            told = {signal.SIGUSR1: "node_retires", signal.SIGTSTP: "node_quiet"}
            it.await_logged(told.get(number, ""))
        seq = it.reports[-1].seq
        eventually(lambda: it.reports[-1].seq > seq + 1, describe="it reports on")
        it.send(TERM)
        assert it.await_end() == 0

    assert f"standin_stops leave={leaves}" in it.log


def test_a_node_may_be_told_to_leave_while_it_stops(tmp_path: Path) -> None:
    """As long as its handlers are at work."""
    with node(tmp_path, moods={"HANDLER": "hang"}) as it:
        it.await_reported(State.RUNNING)
        it.send(TERM)
        it.await_logged("standin_stops leave=False")
        it.send(signal.SIGUSR1)
        it.await_logged("standin_stops leave=True")
        it.await_end()


def test_a_node_may_be_told_to_leave_while_it_boots(tmp_path: Path) -> None:
    """It is not ended by it, does not forget it, and says what a stop then means."""
    with node(tmp_path, moods={"IMPORT": "hang"}) as it:
        it.await_logged("now=IMPORT")
        it.send(signal.SIGUSR1)
        seq = it.reports[-1].seq
        eventually(lambda: it.reports[-1].seq > seq, describe="it reports on")
        it.send(TERM)
        assert it.await_end() == 0

    assert 'not_left reason="it stopped before it had joined' in it.log


def test_a_node_may_be_told_to_leave_before_it_can_listen(tmp_path: Path) -> None:
    """From its first lines on the signal waits."""
    code = (
        "import os, signal, sys; from swarm_worker import __main__ as first\n"
        "sys.argv = ['swarm-worker', 'moody:app']\n"
        "import swarm_worker.node.main as start; run = start.main\n"
        "def main(*told): os.kill(os.getpid(), signal.SIGUSR1); return run(*told)\n"
        "start.main = main; first.main()"
    )
    (tmp_path / "swarm.toml").write_text(SETTINGS, encoding="utf-8")
    it = Bare(tmp_path, [sys.executable, "-c", code], SUPERVISED)
    try:
        assert it.stop_after("handled=1") == 0
        assert "standin_stops leave=True" in it.log
    finally:
        it.close()


def test_a_node_does_not_age_while_it_is_frozen(tmp_path: Path) -> None:
    """Stopped and continued, it must not be restarted for the time between."""
    with node(tmp_path, moods={"HANDLER": "hang"}) as it:
        before = it.await_reported(State.RUNNING)
        it.send(signal.SIGSTOP)
        thaw_at_s = time.monotonic() + 4.0
        eventually(lambda: time.monotonic() > thaw_at_s, describe="4 s in the freezer")
        it.send(signal.SIGCONT)
        after = eventually(
            lambda: it.reports[-1] if it.reports[-1].seq > before.seq + 1 else None,
            describe="reports after the thaw",
        )

    assert before.consume_age_ms is not None
    assert after.consume_age_ms is not None
    assert before.at_ms is not None
    assert after.at_ms is not None
    passed_ms = after.at_ms - before.at_ms
    assert after.consume_age_ms - before.consume_age_ms <= passed_ms - 3_000


def test_outside_supervisord_stdout_is_the_users(tmp_path: Path) -> None:
    """No reports; prints go where prints go."""
    with node(tmp_path, supervised=False, moods={"HANDLER": "forge"}) as it:
        assert it.stop_after("handled=1") == 0
    assert "66" in it.stdout
    assert "poll_age_ms" not in it.stdout


def test_nothing_reads_stdin(tmp_path: Path) -> None:
    """A closed stdin is no reason to end."""
    it = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m swarm_worker --help <&-"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "exit codes" in it.stdout


def test_what_the_last_process_died_of_is_reported_while_booting(
    tmp_path: Path,
) -> None:
    """As what was in its hands; later reports are of this process's own batches."""
    with node(tmp_path, moods={"HANDLER": "hang"}) as it:
        it.await_logged("now=HANDLER")
        it.send(signal.SIGKILL)
        it.process.wait()
    with node(tmp_path) as successor:
        successor.await_reported(State.RUNNING)
        told = {(each.state, each.died_in_flight) for each in successor.reports}

    assert told == {(State.BOOTING, ("orders/0@0",)), (State.RUNNING, ())}
