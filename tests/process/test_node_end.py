"""The end of a node, seen from outside: stops, deadlines, exit codes."""

import fcntl
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from swarm_worker.shared.report import State
from tests.awaits import await_gone
from tests.eventually import eventually
from tests.nodes import SETTINGS, SUPERVISED, TOKEN_SETTINGS, Bare, node

TERM = signal.SIGTERM


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


def test_a_stop_while_a_client_waits_for_a_token_ends_in_exit_0(tmp_path: Path) -> None:
    """Its constructor would wait for ten seconds."""
    (tmp_path / "untold.py").write_text(
        "import sys\n"
        "from swarm_worker import App\n"
        "app = App(group='g')\n"
        "app.topic('orders')(print)\n"
        "def token(_):\n"
        "    print('token asked for', file=sys.stderr, flush=True)\n"
        "    raise OSError('503')\n"
        "app.configure_consumer(lambda: {'oauth_cb': token})\n"
    )
    (tmp_path / "swarm.toml").write_text(TOKEN_SETTINGS)
    with node(tmp_path, app="untold:app") as it:
        assert it.stop_after("token asked for") == 0

    assert "Traceback" not in it.log


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
