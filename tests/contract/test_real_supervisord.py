"""Facts of supervisord 4.3 that the shells rely on; only the real one can tell them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from swarm_event_listener.core.model.events import (
    GroupAdded,
    ProcessState,
    StateChanged,
)
from swarm_event_listener.supervisord.node_reports import decode
from swarm_event_listener.supervisord.protocol import Communication, RemoteCommand
from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)
from swarm_worker.shared.report import Report, State
from tests.awaits import await_state
from tests.contract.daemons import recorded
from tests.eventually import eventually
from tests.supervisord import running_supervisord

_RECORDER = """
[eventlistener:recorder]
command = {python} -m tests.recorder {folder}/events.jsonl
events = EVENT
buffer_size = 1000
startsecs = 0
stderr_logfile = {folder}/recorder.log
"""
_SLEEPER = "command = sleep 300\nstartsecs = 0\n"


def fault_of(rpc: Supervisor, call: str, name: str, *rest: str) -> int:
    """Return the code of the fault that a call is answered with; 0 without one."""
    try:
        getattr(rpc, call)(name, *rest)
    except SupervisorFault as fault:
        return fault.code
    return 0


def test_each_state_answers_as_the_table_says() -> None:
    """Stop, start and signal in STARTING, BACKOFF, FATAL, EXITED and STOPPED."""
    sections = """
[program:starting]
command = sleep 300
startsecs = 300

[program:backoff]
command = false
startsecs = 5
startretries = 1000

[program:fatal]
command = false
startsecs = 5
startretries = 0

[program:exited]
command = true
startsecs = 0
autorestart = false

[program:stopped]
command = sleep 300
autostart = false
"""
    with running_supervisord(sections) as daemon:
        rpc = daemon.rpc
        await_state(daemon, "starting:starting", "STARTING")
        await_state(daemon, "fatal:fatal", "FATAL")
        await_state(daemon, "exited:exited", "EXITED")
        await_state(daemon, "backoff:backoff", "BACKOFF")

        assert daemon.pid("backoff:backoff") is daemon.pid("fatal:fatal") is None
        assert fault_of(rpc, "start", "backoff:backoff") == 60
        assert fault_of(rpc, "signal", "backoff:backoff", "TERM") == 70
        assert fault_of(rpc, "stop", "backoff:backoff") == 0
        assert daemon.state("backoff:backoff") == "STOPPED"

        assert fault_of(rpc, "start", "starting:starting") == 60
        assert fault_of(rpc, "signal", "starting:starting", "CONT") == 0
        assert fault_of(rpc, "stop", "starting:starting") == 0

        for name in ("fatal:fatal", "exited:exited", "stopped:stopped"):
            assert fault_of(rpc, "stop", name) == 70
            assert fault_of(rpc, "signal", name, "TERM") == 70
        assert fault_of(rpc, "start", "fatal:fatal") == 0
        assert fault_of(rpc, "start", "stopped:stopped") == 0
        assert fault_of(rpc, "start", "no:such") == 10
        assert fault_of(rpc, "signal", "stopped:stopped", "NOPE") == 11


def test_a_report_is_delivered_whole_with_the_name_and_pid_of_its_sender() -> None:
    """Through supervisord's capture and envelope, odd names included."""
    sections = (
        _RECORDER
        + """
[group:gröup]
programs = node

[program:node]
command = {python} -m tests.contract.reports_once
process_name = nöde %(process_num)s
numprocs = 1
startsecs = 0
stdout_capture_maxbytes = 64KB
stderr_logfile = {folder}/node.log
"""
    ).replace("nöde %(process_num)s", "nöde_%(process_num)s")
    with running_supervisord(sections) as daemon:
        name = "gröup:nöde_0"
        pid = await_state(daemon, name, "RUNNING")
        (said,) = eventually(
            lambda: [e for e in recorded(daemon) if isinstance(e, Communication)],
            describe="a report",
        )

        assert (said.name, said.pid) == (name, pid)
        assert decode(said.text) == Report(
            node=0, pid=said.pid, state=State.BOOTING, in_flight=("a/0@1<",)
        )


def test_a_command_comes_through_as_it_was_sent() -> None:
    """Text beyond ASCII, lines and brackets; what XML cannot hold is replaced."""
    with running_supervisord(_RECORDER) as daemon:
        await_state(daemon, "recorder:recorder", "RUNNING")
        daemon.rpc.send_event("swarm.hold", '["ö <b>&"]\nx\x01')

        def commands() -> list[object]:
            return [e for e in recorded(daemon) if isinstance(e, RemoteCommand)]

        assert eventually(commands, describe="the command") == [
            RemoteCommand("swarm.hold", '["ö <b>&"]\nx?')
        ]


def test_configuration_tells_what_the_checks_need() -> None:
    """stopwaitsecs, capture and redirection, for programs and listeners alike."""
    sections = (
        _RECORDER
        + """
[program:a]
command = sleep 300
stopwaitsecs = 77
stdout_capture_maxbytes = 64KB
redirect_stderr = true
"""
    )
    with running_supervisord(sections) as daemon:
        configs = {config.name: config for config in daemon.rpc.configs()}

        a = configs["a:a"]
        assert (a.group, a.stop_wait_s) == ("a", 77.0)
        assert (a.capture_max_bytes, a.redirect_stderr) == (65_536, True)
        assert "recorder:recorder" in configs


def test_an_added_group_is_told() -> None:
    """``update`` after a change of the file."""
    with running_supervisord(_RECORDER) as daemon:
        await_state(daemon, "recorder:recorder", "RUNNING")
        config = daemon.folder / "supervisord.conf"
        text = config.read_text("utf-8") + "\n[program:late]\n" + _SLEEPER
        config.write_text(text, "utf-8")

        daemon.rpc._call("supervisor.reloadConfig")
        daemon.rpc._call("supervisor.addProcessGroup", "late")

        eventually(
            lambda: GroupAdded(group="late") in recorded(daemon), describe="GroupAdded"
        )


def test_supervisord_is_named_by_pid_start_and_boot() -> None:
    """The same while it lives; another one is another."""
    with running_supervisord("") as daemon:
        identity = daemon.rpc.identity()

        assert identity.pid == daemon.process.pid
        assert identity.started_ticks is not None
        assert identity.boot_id
        assert daemon.rpc.identity() == identity
    with running_supervisord("") as other:
        assert other.rpc.identity() != identity


def test_a_frozen_supervisord_is_not_waited_for() -> None:
    """The kernel accepts the connection, nobody answers; later all is well again."""
    with running_supervisord("") as daemon:
        impatient = Supervisor(daemon.url, timeout_s=0.3)
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(SupervisorUnreachable, match="timed out"):
                impatient.identity()
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)

        assert daemon.rpc.identity().pid == daemon.process.pid


def test_credentials_are_asked_for_and_taken() -> None:
    """Without them the message says where to set them."""
    with running_supervisord("", password="p:w") as daemon:
        assert daemon.rpc.identity().pid == daemon.process.pid
        for rpc in (
            Supervisor(daemon.url),
            Supervisor(daemon.url, username="u", password="p"),
        ):
            with pytest.raises(SupervisorUnreachable, match="SUPERVISOR_USERNAME"):
                rpc.identity()


def test_the_last_words_of_a_process_come_before_its_exit() -> None:
    """What a node reports just before it dies is heard, and in order."""
    sections = (
        _RECORDER
        + """
[program:node]
command = {python} -m tests.contract.reports_once exit
startsecs = 0
autorestart = false
stdout_capture_maxbytes = 64KB
"""
    )
    with running_supervisord(sections) as daemon:
        await_state(daemon, "node:node", "EXITED")

        def story() -> list[str]:
            return [
                "REPORT" if isinstance(event, Communication) else event.state.value
                for event in recorded(daemon)
                if isinstance(event, Communication | StateChanged)
                and event.name == "node:node"
            ]

        eventually(lambda: ProcessState.EXITED in story(), describe="EXITED told")
        assert story() == ["STARTING", "RUNNING", "REPORT", "EXITED"]


def test_nothing_is_kept_open_by_many_calls() -> None:
    """Each call closes its connection: supervisord's descriptors do not grow."""
    with running_supervisord("") as daemon:
        folder = Path(f"/proc/{daemon.process.pid}/fd")
        daemon.rpc.processes()
        before = len(list(folder.iterdir()))

        for _ in range(50):
            daemon.rpc.processes()

        eventually(
            lambda: len(list(folder.iterdir())) <= before + 1,
            describe="as few as before",
        )
