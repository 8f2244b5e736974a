"""supervisorctl swarm, as an operator runs it: the real one on a real supervisord."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

import pytest

from swarm_event_listener.supervisord.rpc import SupervisorFault
from swarm_worker.process import json_file
from swarm_worker.shared.state_files.partition_figures import path_of
from tests.awaits import await_new_pid, await_reports, await_restarted, await_state
from tests.eventually import eventually
from tests.operators import figures
from tests.process.conftest import ADDED, OBEDIENT, running_swarm
from tests.process.scenes import ctl
from tests.process.swarms import LISTENER, Swarm
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

SUPERVISORCTL: Final = Path(sys.executable).with_name("supervisorctl")

BARE: Final = ("tests.process.scripted", "tests.apps.bare_loop")

StartSwarm = Callable[..., Swarm]


@dataclass
class Answer:
    """What a command answered."""

    status: int
    text: str

    @property
    def plain(self) -> Any:
        """Its data."""
        return json.loads(self.text)


def swarmctl(swarm: Swarm, *words: str) -> Answer:
    """Run ``supervisorctl swarm ...`` in a pipe."""
    done = ctl(swarm, "swarm", *words)
    assert "error: <class" not in done.stdout
    return Answer(done.returncode, done.stdout)


def environ() -> dict[str, str]:
    """Return an environment in which the plugin is found."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}


@pytest.fixture(scope="module")
def obedient() -> Iterator[Swarm]:
    """Run two nodes that obey an operator, for all tests that leave them so."""
    with running_swarm(nodes=2, replace=(ADDED, OBEDIENT)) as swarm:
        yield swarm


@pytest.fixture
def swarm(obedient: Swarm) -> Swarm:
    """Return those nodes, listener and all, in health."""
    for name in (LISTENER, "w:w_00", "w:w_01"):
        with contextlib.suppress(SupervisorFault):  # it runs already
            obedient.daemon.rpc.start(name)

    def are_healthy() -> bool:
        return swarmctl(obedient, "status").status == 0

    eventually(are_healthy, within_s=20.0, describe="two healthy nodes")
    return obedient


def healths(swarm: Swarm) -> dict[str, str]:
    """Return the health of each node."""
    nodes = swarmctl(swarm, "status", "--json").plain["nodes"]
    return {node["node"]: node["health"] for node in nodes}


def await_health(swarm: Swarm, node: str, *health: str) -> None:
    """Wait until a node has one of these healths."""
    eventually(
        lambda: healths(swarm)[node] in health or None,
        within_s=20.0,
        describe=f"{node} {' or '.join(health)}",
    )


def test_status_tells_how_all_are(swarm: Swarm) -> None:
    """0 when all are healthy; 3 with a node that an operator stopped, told as that."""
    well = swarmctl(swarm, "status")
    swarm.daemon.rpc.stop("w:w_00")
    await_state(swarm.daemon, "w:w_00", "STOPPED")
    stopped = swarmctl(swarm, "status", "w")

    assert well.status == 0
    assert re.search(r"^w_00 +RUNNING +healthy +\d+ ", well.text, re.MULTILINE)
    assert all(len(line) <= 80 for line in well.text.splitlines())
    assert stopped.status == 3
    assert "stopped by operator" in stopped.text
    assert swarmctl(swarm, "status", "w:w_01").status == 0
    assert swarmctl(swarm, "status", "nobody").status == 4


def test_status_without_a_listener_is_unknown(swarm: Swarm) -> None:
    """The listener is stopped: what it said last is no longer believed."""
    swarm.daemon.rpc.stop(LISTENER)
    await_state(swarm.daemon, LISTENER, "STOPPED")

    told = swarmctl(swarm, "status")
    held = swarmctl(swarm, "hold", "w:w_00")

    assert told.status == 4
    assert "warning: the listener, pid" in told.text
    assert (held.status, held.text.count("\n")) == (1, 1)
    assert held.text.startswith("ERROR (the listener, pid")

    def is_stale() -> bool:
        answer = swarmctl(swarm, "status")
        return answer.status == 4 and "unknown" in answer.text

    eventually(is_stale, within_s=20.0, describe="a status that is unknown")


def test_partitions_are_those_that_the_processes_of_now_wrote(swarm: Swarm) -> None:
    """Beside their slots; those of a node that wrote none are not known."""
    paths = [path_of(swarm.daemon.folder / "run", swarm.name(node)) for node in (0, 1)]
    for node, lag in ((0, 5), (1, 6236)):  # each reports that it holds three
        held = (f"G orders/{node} {lag}", f"G idle/{node} 0", f"G idle/{node + 2} 0")
        told = figures(*held, pid=swarm.pid(node), at_s=monotonic())
        json_file.replace(paths[node], told.as_json())

    all_known = swarmctl(swarm, "status", "--partitions")
    plain = swarmctl(swarm, "status", "--partitions", "--json", "w_00").plain
    former = swarm.pid(1)
    os.kill(former, signal.SIGKILL)
    await_new_pid(swarm.daemon, swarm.name(1), than=former)
    of_before = swarmctl(swarm, "status", "--partitions")

    assert all_known.status == 0
    lines = all_known.text.splitlines()
    assert lines[0].startswith("G: lag 6241, 6 partitions, as of ")
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["orders/1", "w_01", "6236"],
        ["orders/0", "w_00", "5"],
    ]
    assert all(len(line) <= 80 for line in lines)
    assert [each["lag"] for each in plain["partitions"]] == [5, 0, 0]
    assert of_before.status == 4
    assert f"of {swarm.name(1)} are not known: {paths[1]} is of pid" in of_before.text
    assert "G: lag 5, 3 partitions, " in of_before.text


def test_a_supervisord_that_hangs_is_not_waited_for(swarm: Swarm) -> None:
    """A monitoring check comes to an end: unknown, and why."""
    swarm.daemon.process.send_signal(signal.SIGSTOP)
    try:
        answer = swarmctl(swarm, "status")
    finally:
        swarm.daemon.process.send_signal(signal.SIGCONT)

    assert answer.status == 4
    assert answer.text == "Error: supervisord does not answer (timed out)\n"


def test_quiet_and_resume(swarm: Swarm) -> None:
    """One node is quiet and says so; the other works on."""
    pid = swarm.pid(0)
    quiet = swarmctl(swarm, "quiet", "w:w_00")
    await_health(swarm, "w:w_00", "quiet")

    assert (quiet.status, quiet.text) == (0, "w:w_00: told to be quiet\n")
    assert healths(swarm)["w:w_01"] == "healthy"
    assert swarmctl(swarm, "resume", "w:*").status == 0
    await_health(swarm, "w:w_00", "healthy")
    assert swarm.pid(0) == pid


def test_a_process_without_a_handler_is_not_signalled(start_swarm: StartSwarm) -> None:
    """USR1 would end a scripted node: it knows TSTP, but nothing of groups."""
    swarm = start_swarm(replace=(ADDED,))
    pid = swarm.pid(0)

    answer = swarmctl(swarm, "retire", "w:w_00")

    assert answer.status == 1
    assert "has no handler for SIGUSR1" in answer.text
    assert swarm.daemon.state("w:w_00") == "RUNNING"
    assert swarm.pid(0) == pid


def test_a_loop_that_a_roll_would_suspend_is_refused(start_swarm: StartSwarm) -> None:
    """It has no handler for TSTP; it works on, and nothing is restarted."""
    swarm = start_swarm(replace=(ADDED, BARE))
    pid = swarm.pid(0)

    answer = swarmctl(swarm, "roll", "w")

    assert answer.status == 1
    assert answer.text.startswith("w:w_00: ERROR (its process has no handler for SIGTS")
    assert answer.text.count("\n") == 1
    assert swarm.pid(0) == pid
    assert "swarm.roll" not in str(swarm.events())


def test_hold_survives_the_listener(start_swarm: StartSwarm) -> None:
    """A held node that breaks a rule is left alone, also by the next listener."""
    swarm = start_swarm(replace=(ADDED,))
    assert swarmctl(swarm, "hold", "w:w_00").text == "w:w_00: held\n"
    pid = swarm.tell(0, poll_age_ms=9_000)
    old = swarm.kill_listener()
    await_new_pid(swarm.daemon, LISTENER, than=old)
    await_health(swarm, "w:w_00", "held")

    def is_judged() -> bool:
        return "polling_ttl" in swarmctl(swarm, "status").text

    eventually(is_judged, within_s=20.0, describe="the broken rule in the status")
    assert swarm.pid(0) == pid
    assert swarmctl(swarm, "release", "w:w_00").status == 0
    await_restarted(swarm, 0, than=pid)


def test_why_tells_a_restart_with_its_stacks(start_swarm: StartSwarm) -> None:
    """From the rule to the recovery; the history has it, too."""
    swarm = start_swarm(replace=(ADDED,))
    pid = swarm.tell(0, consume_age_ms=9_000, in_flight=["orders/3@7"])
    new_pid = await_restarted(swarm, 0, than=pid)

    story = swarmctl(swarm, "why", "w:w_00")
    history = swarmctl(swarm, "history", "--since", "1h")
    plain = swarmctl(swarm, "history", "--json").plain

    assert story.status == 0
    for words in (
        "status 2: a batch took too long",
        "consuming_ttl: 9.0 s > 5.0 s",
        "in flight: orders/3@7",
        f"pid {pid} stopped within",
        f"started as pid {new_pid}",
        "polled again",
        "its stacks, written",
        "thread MainThread:",
    ):
        assert words in story.text
    assert "w:w_00" in history.text
    assert [(r["pid"], r["status"]) for r in plain] == [(pid, 2)]
    assert swarmctl(swarm, "why", "w:w_01").text.endswith("no restarts on record\n")


def test_the_page_tells_the_same_story(start_swarm: StartSwarm) -> None:
    """At an address of its own, with the stacks, as plain text."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    swarm = start_swarm(replace=(ADDED,), toml=f'metrics = "127.0.0.1:{port}"')
    pid = swarm.tell(0, consume_age_ms=9_000, in_flight=["<script>/3@7"])
    await_restarted(swarm, 0, than=pid)

    def ask(path: str) -> tuple[str, str]:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with closing(asked):
            asked.request("GET", path)
            answer = asked.getresponse()
            return answer.headers["Content-Type"], answer.read().decode()

    def told() -> list[str] | None:
        kind, text = ask("/data.json")
        if not kind.startswith("application/json"):
            return None
        return [r["detected_at"] for r in json.loads(text)["restarts"]]

    (at,) = eventually(told, describe="the restart on the page")
    kind, story = ask(f"/story/w%3Aw_00/{quote(at)}")
    why = swarmctl(swarm, "why", "w:w_00").text

    assert kind.startswith("text/plain")
    assert "in flight: <script>/3@7" in story
    assert "thread MainThread:" in story
    assert " ".join(story.split()) in " ".join(why.split())

    path = path_of(swarm.daemon.folder / "run", "w:w_01")
    lags = figures("G orders/1 6236", pid=swarm.pid(1), at_s=monotonic())
    json_file.replace(path, lags.as_json())
    (group,) = json.loads(ask("/partitions.json")[1])["kafka_groups"]
    assert (group["lag"], group["worst"][0]["node"]) == (6236, "w:w_01")


def test_dump_shows_stacks(swarm: Swarm) -> None:
    """Of the node's threads, now."""
    first = swarmctl(swarm, "dump", "w:w_00")
    again = swarmctl(swarm, "dump", "--json", "w:w_00")

    assert first.status == 0
    assert "obedient.py" in first.text
    assert again.plain["pid"] == swarm.pid(0)
    assert again.plain["stacks"].count("Current thread") == 1


def test_retire_leaves_the_group_and_stops(swarm: Swarm) -> None:
    """The node is told to leave for good, then stopped; it stays down."""
    records = swarm.records()
    answer = swarmctl(swarm, "retire", "w:w_00")

    assert (answer.status, answer.text) == (0, "w:w_00: retired\n")
    assert swarm.daemon.file("w_00.left") == "left"
    assert swarm.daemon.state("w:w_00") == "STOPPED"
    await_health(swarm, "w:w_00", "stopped by operator")
    assert swarm.records() == records


def test_roll_restarts_all_one_by_one(swarm: Swarm) -> None:
    """Each node has another pid; the records say that it was a roll."""
    pids, count = [swarm.pid(0), swarm.pid(1)], len(swarm.records())
    answer = swarmctl(swarm, "roll", "w:*", "--timeout", "30")

    assert answer.status == 0
    assert answer.text.splitlines()[-1] == "w: roll done; 2 restarted"
    assert not set(pids) & {swarm.pid(0), swarm.pid(1)}
    assert [r["cause"] for r in swarm.records()[count:]] == ["roll", "roll"]


def test_doctor_examines_the_running_configuration(swarm: Swarm) -> None:
    """That of supervisorctl's own file; errors are 2."""
    answer = swarmctl(swarm, "doctor")
    plain = swarmctl(swarm, "doctor", "--json")

    assert answer.status == plain.status == 2
    assert "stopwaitsecs=70" in answer.text
    assert {finding["check"] for finding in plain.plain} >= {"stopwaitsecs", "ttl"}


def test_a_mistake_is_one_line(swarm: Swarm) -> None:
    """And exit status 2."""
    answer = swarmctl(swarm, "stauts")

    assert answer.status == 2
    assert (
        answer.text
        == "Error: no command 'stauts'; did you mean 'status'?; see help swarm\n"
    )


# --- the shell ------------------------------------------------------------------------


@dataclass
class Terminal:
    """supervisorctl's shell in a pseudo-terminal."""

    descriptor: int
    pid: int
    shown: str = ""

    def type(self, line: str) -> None:
        """Type a line, or a key."""
        os.write(self.descriptor, line.encode())

    def await_shown(self, pattern: str) -> str:
        """Wait until something is shown; give it, and forget it."""

        def found() -> re.Match[str] | None:
            ready, _, _ = select.select([self.descriptor], [], [], 0.1)
            if ready:
                try:
                    self.shown += os.read(self.descriptor, 65_536).decode()
                except OSError:  # the program has ended, and said no more
                    match = re.search(pattern, self.shown)
                    assert match, f"expected {pattern!r}, got {self.shown!r}"
            return re.search(pattern, self.shown)

        match = eventually(found, within_s=20.0, describe=f"{pattern!r} on the screen")
        told, self.shown = self.shown[: match.end()], self.shown[match.end() :]
        return told


@contextmanager
def terminal(swarm: Swarm, *words: str) -> Iterator[Terminal]:
    """Run supervisorctl in a pseudo-terminal."""
    master, slave = pty.openpty()
    conf = swarm.daemon.folder / "supervisord.conf"
    process = subprocess.Popen(
        [str(SUPERVISORCTL), "-c", str(conf), *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env=environ(),
    )
    os.close(slave)
    try:
        yield Terminal(master, process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        os.close(master)


def test_the_shell_has_it_and_survives_mistakes(swarm: Swarm) -> None:
    """Command, help and errors in one shell, which goes on."""
    with terminal(swarm) as shell:
        shell.await_shown("supervisor> ")
        shell.type("swarm nonsense\n")
        shell.await_shown("no command 'nonsense'")
        shell.type("swarm status --help\n")
        shell.await_shown("usage: swarm status")
        shell.type("help swarm\n")
        told = shell.await_shown("NAME is a group, group:")
        assert "No help on" not in told
        shell.type("help status\n")
        shell.await_shown("Get status for a single process")
        assert "No help on" not in shell.await_shown("supervisor> ")
        shell.type("swarm status\n")
        shell.await_shown("w_01 +RUNNING +healthy")
        shell.type("status w:w_00\n")
        shell.await_shown("w:w_00 +RUNNING")


@pytest.mark.parametrize(
    "dialogue",
    [
        {"swarm why w:w_00": "w:w_00", "swarm history": "record|NODE"},
        {"swarm dump w:w_00": "Current thread", "swarm doctor": "stopwaitsecs"},
        {"swarm quiet w:w_00": "told to be quiet", "swarm resume w:*": "told to go on"},
        {"swarm hold w:w_00": "w:w_00: held", "swarm release w:w_00": "released"},
        {"swarm retire w:w_00": "w:w_00: retired"},
        {"swarm roll w --timeout 30": "w: roll done; 2 restarted"},
    ],
)
def test_each_command_works_in_a_terminal(
    swarm: Swarm, dialogue: dict[str, str]
) -> None:
    """What it says is on the screen, and the shell goes on."""
    with terminal(swarm) as shell:
        shell.await_shown("supervisor> ")
        for line, shown in dialogue.items():
            shell.type(f"{line}\n")
            shell.await_shown(shown)
            shell.await_shown("supervisor> ")


def test_top_is_live_until_ctrl_c(swarm: Swarm) -> None:
    """It redraws; Ctrl-C gives the shell back."""
    with terminal(swarm) as shell:
        shell.await_shown("supervisor> ")
        shell.type("swarm top\n")
        shell.await_shown("Ctrl-C ends it")
        shell.await_shown("Ctrl-C ends it")
        os.kill(shell.pid, signal.SIGINT)  # what Ctrl-C becomes
        shell.await_shown("supervisor> ")


@pytest.mark.timeout(120)
def test_ctrl_c_ends_a_roll_between_nodes(start_swarm: StartSwarm) -> None:
    """The node whose turn it is comes back; the other is the process that it was."""
    pause = "node_restart_timeout = 6000"  # longer than it takes to press the key
    swarm = start_swarm(replace=(ADDED, OBEDIENT), toml=pause)
    pids = [swarm.pid(0), swarm.pid(1)]

    with terminal(swarm) as shell:
        shell.await_shown("supervisor> ")
        shell.type("swarm roll w --timeout 30\n")
        shell.await_shown("w:w_00: its turn")
        os.kill(shell.pid, signal.SIGINT)
        shell.await_shown("the listener is told: no further node")
        told = shell.await_shown("supervisor> ")

    assert "w: roll ended early; 1 restarted, 1 left as they were" in told
    assert "left as they were: w_01" in told
    assert swarm.pid(0) != pids[0]
    assert swarm.pid(1) == pids[1]


@pytest.mark.timeout(120)
def test_a_roll_is_seen_and_cancelled_from_elsewhere(start_swarm: StartSwarm) -> None:
    """Its state is one line; a second one is refused; the node comes back."""
    pause = "node_restart_timeout = 15000"  # longer than three commands take
    swarm = start_swarm(replace=(ADDED, OBEDIENT), toml=pause)
    pids = [swarm.pid(0), swarm.pid(1)]

    with terminal(swarm, "swarm", "roll", "w") as first:
        first.await_shown("w:w_00: its turn")
        seen = swarmctl(swarm, "status")
        second = swarmctl(swarm, "roll", "w", "--timeout", "5")
        cancelled = swarmctl(swarm, "roll", "w", "--cancel")
        first.await_shown("w: roll ended early; 1 restarted, 1 left as they were")

    assert "w: a roll is under way: 0 of 2 done; turn of w_00 (" in seen.text
    assert second.status == 1
    assert second.text.startswith("w: ERROR (a roll is under way: 0 of 2 done; turn of")
    assert cancelled.status == 0
    assert "left as they were: w_01" in cancelled.text
    assert swarm.pid(0) != pids[0]
    assert swarm.pid(1) == pids[1]
    none = swarmctl(swarm, "roll", "w", "--cancel")
    assert (none.status, none.text) == (1, "w: ERROR (no roll is under way)\n")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("nodes", [1, 3])
def test_an_update_of_the_group_ends_its_roll(
    start_swarm: StartSwarm, nodes: int
) -> None:
    """With the reason; nobody of the new group is restarted, nobody is missed."""
    pause = "node_restart_timeout = 6000"
    swarm = start_swarm(replace=(ADDED, OBEDIENT), toml=pause)
    conf = swarm.daemon.folder / "supervisord.conf"
    text = conf.read_text("utf-8")

    with terminal(swarm, "swarm", "roll", "w") as shell:
        shell.await_shown("w:w_00: its turn")
        conf.write_text(text.replace("numprocs = 2", f"numprocs = {nodes}"), "utf-8")
        assert ctl(swarm, "update").returncode == 0
        shell.await_shown("supervisord removed the group, as supervisorctl update does")
    await_reports(swarm, nodes)
    pids = [swarm.pid(node) for node in range(nodes)]

    assert all(roll["is_over"] for roll in swarm.status()["rolls"])
    eventually(
        lambda: swarmctl(swarm, "status").status == 0,
        within_s=20.0,
        describe="a healthy group",
    )
    assert pids == [swarm.pid(node) for node in range(nodes)]


@pytest.mark.parametrize("key", ["", "config=../swarm.toml\n"])
def test_supervisorctl_may_have_a_configuration_of_its_own(
    swarm: Swarm, key: str
) -> None:
    """supervisord tells how its listener is started; a key of the plugin wins."""
    own = swarm.daemon.folder / "ctl"
    own.mkdir(exist_ok=True)
    (own / "supervisorctl.conf").write_text(
        f"[supervisorctl]\nserverurl=unix://{swarm.daemon.folder}/s\n"
        "[ctlplugin:swarm]\n"
        f"supervisor.ctl_factory=swarm_event_listener.supervisorctl:make_ctl\n{key}",
        "utf-8",
    )

    done = subprocess.run(
        [str(SUPERVISORCTL), "-c", str(own / "supervisorctl.conf"), "swarm", "status"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env=environ(),
    )

    assert "w: 2 healthy" in done.stdout
