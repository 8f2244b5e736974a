"""The life of a node, seen from outside: signals, exit codes, states."""

import fcntl
import os
import shutil
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
from tests.awaits import await_gone
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


@pytest.mark.parametrize("number", [TERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_that_comes_twice_is_one_stop(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The batch in flight ends first; exit 0."""
    with node(tmp_path) as it:
        it.await_logged("handled=1")
        it.send(number)
        it.send(signal.SIGINT)
        it.send(TERM)
        assert it.await_end() == 0

    assert it.log.count("node_stopping") == 1
    assert it.log.count("node_stopped exit_code=0") == 1


@pytest.mark.parametrize(
    ("moods", "seen"),
    [
        ({"IMPORT": "hang"}, "now=IMPORT"),
        ({"START": "hang"}, "now=START"),
        ({"IMPORT": "hang_swallowing"}, "now=IMPORT"),
        ({"IMPORT": "steal_signals"}, "handled=1"),
        ({"STOP": "calm"}, "handled=1"),
    ],
)
def test_a_stop_in_any_phase_ends_in_exit_0(
    tmp_path: Path, moods: dict[str, str], seen: str
) -> None:
    """Boot, a boot that swallows everything, and work, also after a theft."""
    with node(tmp_path, moods=moods) as it:
        assert it.stop_after(seen) == 0


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


def test_a_crash_in_c_leaves_all_stacks(tmp_path: Path) -> None:
    """The thread that crashed, and the one beside it."""
    with node(tmp_path, moods={"HANDLER": "crash_in_c"}) as it:
        assert it.await_end() == -signal.SIGSEGV

    assert "Fatal Python error: Segmentation fault" in it.log
    assert "in crash_in_c" in it.log
    assert "in wait" in it.log


def test_on_stop_follows_an_on_start_that_was_cut_short(tmp_path: Path) -> None:
    """What was begun is ended; what was not begun is not."""
    with node(tmp_path, moods={"START": "hang"}) as it:
        assert it.stop_after("now=START") == 0
    assert "now=STOP" in it.log

    with node(tmp_path, moods={"IMPORT": "hang"}) as it:
        assert it.stop_after("now=IMPORT") == 0
    assert "now=STOP" not in it.log


@pytest.mark.parametrize("moods", [{"HANDLER": "hang"}, {"STOP": "hang"}])
def test_what_outlives_the_shutdown_is_left_with_its_stack(
    tmp_path: Path, moods: dict[str, str]
) -> None:
    """Exit 2; the log shows where it hung, and with which batch."""
    with node(tmp_path, moods=moods) as it:
        assert it.stop_after("now=HANDLER") == 2

    assert "shutdown_timeout_exceeded" in it.log
    assert "in hang" in it.log
    if "HANDLER" in moods:
        assert "in_flight=orders/0@0" in it.log


@pytest.mark.parametrize(("mood", "code"), [("hold_gil", 1), ("hold_gil_for_long", 2)])
def test_a_gil_that_is_taken_while_stopping_does_not_keep_the_node(
    tmp_path: Path, mood: str, code: int
) -> None:
    """A timer in C ends it, with the stacks, before supervisord has to.

    A GIL that is free again after the deadline changes no exit code: the timer leaves
    the thread time to see to the end in order.
    """
    with node(tmp_path, moods={"STOP": mood}) as it:
        assert it.stop_after("handled=1") == code

    assert f"in {mood}" in it.log


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


@pytest.mark.parametrize(
    ("moods", "code", "told"),
    [
        ({"IMPORT": "fail"}, 1, ["app_import_failed app=moody:app", "in a bad mood"]),
        ({"IMPORT": "leave"}, 1, ["app_import_failed", "SystemExit: 7"]),
        ({"START": "fail"}, 1, ["on_start_failed", "in a bad mood"]),
        ({"START": "leave"}, 1, ["on_start_failed", "SystemExit: 7"]),
        (
            {"HANDLER": "kill_poll_thread"},
            1,
            ["thread_crashed", "poll is broken", "poll thread is dead"],
        ),
        ({"HANDLER": "lose_id"}, 5, ["node_failed exit_code=5", "fenced by another"]),
    ],
)
def test_a_node_that_cannot_go_on_says_why(
    tmp_path: Path, moods: dict[str, str], code: int, told: list[str]
) -> None:
    """Exit code and reason; a crash leaves its traceback."""
    with node(tmp_path, moods=moods) as it:
        assert it.await_end() == code
    for text in told:
        assert text in it.log


def test_a_failing_on_stop_is_a_crash_and_does_not_stop_the_stop(
    tmp_path: Path,
) -> None:
    """What it was to do was not done: that must not look like success."""
    with node(tmp_path, moods={"STOP": "fail"}) as it:
        assert it.stop_after("handled=1") == 1
    assert "on_stop_failed" in it.log
    assert "node_stopped" in it.log


def test_threads_that_are_left_behind_do_not_keep_the_process(tmp_path: Path) -> None:
    """All is committed and stopped: exit 0, and their names."""
    with node(tmp_path, moods={"HANDLER": "stubborn_thread"}) as it:
        assert it.stop_after("handled=1") == 0
    assert "threads_left_behind names=" in it.log
    assert "stubborn" in it.log


def test_a_second_process_of_a_slot_boots_and_then_gives_up(tmp_path: Path) -> None:
    """Exit 4 names the holder; the holder is not disturbed."""
    with node(tmp_path) as first, node(tmp_path) as second:
        eventually(
            lambda: "now=IMPORT" in first.log or "now=IMPORT" in second.log,
            describe="one boots",
        )
        holder, late = (first, second) if "now=IMPORT" in first.log else (second, first)
        assert late.await_end(within_s=20.0) == 4
        assert f"held by pid {holder.process.pid}" in late.log
        assert {report.state for report in late.reports} == {State.BOOTING}
        holder.send(TERM)
        assert holder.await_end() == 0


def test_a_slot_is_held_although_its_directory_was_removed(tmp_path: Path) -> None:
    """The node takes it anew and works on; a second process is refused as ever."""
    with node(tmp_path) as first:
        first.await_logged("handled=1")
        shutil.rmtree(tmp_path / "run")
        first.await_logged("slot_taken_again")
        with node(tmp_path) as second:
            assert second.await_end(within_s=20.0) == 4
            assert f"held by pid {first.process.pid}" in second.log
        first.send(TERM)
        assert first.await_end() == 0


def test_a_node_whose_slot_another_has_taken_ends(tmp_path: Path) -> None:
    """Two live processes are never one node, whoever removed the file."""
    with node(tmp_path) as first:
        first.await_logged("handled=1")
        [slot] = (tmp_path / "run").glob("*.slot")
        slot.unlink()
        with slot.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert first.await_end(within_s=20.0) == 4
    assert "node_failed exit_code=4" in first.log


def test_a_forked_child_can_be_stopped_and_keeps_nothing(tmp_path: Path) -> None:
    """The slot is free and the report channel closed though a child lives on."""
    with node(tmp_path, moods={"HANDLER": "fork_child"}) as it:
        it.await_logged("handled=1")
        child = int((tmp_path / "child").read_text())
        try:
            it.send(signal.SIGKILL)
            it.process.wait()
            with node(tmp_path) as successor:
                successor.await_reported(State.RUNNING)
        finally:
            os.kill(child, TERM)
        await_gone(child)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("mood", ["calm", "hold_gil"])
def test_a_node_dies_with_its_supervisor(tmp_path: Path, mood: str) -> None:
    """Whatever it is doing, and although its pipes are still read."""
    parent = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-m', 'swarm_worker', 'moody:app']);"
        "print('child', p.pid, file=sys.stderr, flush=True); p.wait()"
    )
    (tmp_path / "swarm.toml").write_text(SETTINGS)
    environ = {**SUPERVISED, "MOOD_HANDLER": mood}
    it = Bare(tmp_path, [sys.executable, "-c", parent], environ)
    try:
        it.await_logged("now=HANDLER")
        pid = int(it.log.split("child ")[1].split()[0])
    finally:
        it.close()

    await_gone(pid, within_s=5.0)


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
