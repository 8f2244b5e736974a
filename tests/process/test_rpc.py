"""Calls to supervisord: bounded in time, whatever is at the other end."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from swarm_event_listener.core.model.events import ProcessInfo, ProcessState
from swarm_event_listener.supervisord.node_log import log_of
from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
    started_ticks,
)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """Yield a directory whose paths fit into a socket address."""
    with TemporaryDirectory(prefix="sw", dir="/tmp") as folder:
        yield Path(folder)


@contextlib.contextmanager
def server(
    folder: Path,
    serve: Callable[[socket.socket], None],
    *,
    timeout_s: float = 2.0,
    requests: list[bytes] | None = None,
) -> Iterator[Supervisor]:
    """Run ``serve`` for each connection; give a supervisor that talks to it.

    What was asked is added to ``requests``.
    """
    heard = [] if requests is None else requests
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "s"))
    listening.listen()

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                heard.append(connection.recv(65_536))
                serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield Supervisor(f"unix://{folder}/s", timeout_s=timeout_s)
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def answering(value: Any) -> Callable[[socket.socket], None]:
    """Return a server that answers each call with a value or a fault."""
    xml = (
        xmlrpc.client.dumps(value)
        if isinstance(value, xmlrpc.client.Fault)
        else xmlrpc.client.dumps((value,), methodresponse=True)
    )
    body = xml.encode()

    def serve(connection: socket.socket) -> None:
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    return serve


def info(**changes: object) -> dict[str, object]:
    """Return what supervisord says of one process."""
    return {
        "name": "w_00",
        "group": "w",
        "statename": "RUNNING",
        "pid": 7,
        "exitstatus": 0,
        "start": 0,
        "now": 1_700_000_060,
        **changes,
    }


def test_a_process_is_read(short_dir: Path) -> None:
    """Name, state, pid, exit code and age; pid 0 and start 0 are none."""
    running = info(start=1_700_000_000)
    with server(short_dir, answering([running, info(pid=0, statename="FATAL")])) as rpc:
        assert rpc.processes() == (
            ProcessInfo(
                name="w:w_00", state=ProcessState.RUNNING, pid=7, started_ago_s=60
            ),
            ProcessInfo(name="w:w_00", state=ProcessState.FATAL, pid=None),
        )


@pytest.mark.parametrize(
    "bad",
    [
        info(name="*"),
        info(name=""),
        info(group="a:b"),
        info(statename="ODD"),
        info(pid="x"),
        {},
        7,
    ],
)
def test_a_bad_process_is_skipped(short_dir: Path, bad: object) -> None:
    """One strange process does not blind the listener to the others."""
    with server(short_dir, answering([bad, info()])) as rpc:
        assert [process.name for process in rpc.processes()] == ["w:w_00"]


def test_the_log_of_a_process_is_found(short_dir: Path) -> None:
    """In its file; without one that can be read supervisord gives its end."""
    file = short_dir / "w.log"
    file.write_text("of the file")
    with server(short_dir, answering(info(stderr_logfile=str(file)))) as rpc:
        assert log_of("w:w_00", rpc).tail() == "of the file"


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ((info(stderr_logfile="/nowhere/x"), "its end"), "its end"),
        ((info(), xmlrpc.client.Fault(20, "NO_FILE")), ""),
        (2 * (xmlrpc.client.Fault(10, "BAD_NAME"),), ""),
        ((7, "its end"), "its end"),
    ],
)
def test_a_log_that_cannot_be_read_is_asked_for(
    short_dir: Path, answers: tuple[Any, ...], text: str
) -> None:
    """One that is nowhere is empty, whatever supervisord answers."""
    left = iter(answers)

    def serve(connection: socket.socket) -> None:
        answering(next(left))(connection)

    with server(short_dir, serve) as rpc:
        assert log_of("w:w_00", rpc).tail() == text


def test_a_fault_is_an_answer(short_dir: Path) -> None:
    """It is raised with supervisord's code."""
    fault = xmlrpc.client.Fault(70, "NOT_RUNNING: w:w_00")
    with (
        server(short_dir, answering(fault)) as rpc,
        pytest.raises(SupervisorFault) as caught,
    ):
        rpc.stop("w:w_00")

    assert caught.value.code == 70


@pytest.mark.parametrize("name", ["w:*", "w:", "w", ":x", ""])
def test_a_name_of_a_whole_group_is_never_sent(name: str) -> None:
    """A mistake here would stop all nodes."""
    rpc = Supervisor("unix:///nowhere")

    with pytest.raises(ValueError, match="group:process"):
        rpc.stop(name)


def _trickling(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        threading.Event().wait(0.02)


def _trickling_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: ")
    while True:
        connection.sendall(b"1")
        threading.Event().wait(0.02)


def _closing(_connection: socket.socket) -> None:
    return


def _nonsense(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH\r\n")


def _error(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 500 Internal Server Error\r\n\r\n")


def _cut(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n<method")


@pytest.mark.parametrize(
    "serve", [_trickling, _trickling_head, _closing, _nonsense, _error, _cut]
)
def test_whatever_answers_the_call_ends(
    short_dir: Path, serve: Callable[[socket.socket], None]
) -> None:
    """Also an answer that trickles in for ever: the time is that of the whole call."""
    with (
        server(short_dir, serve, timeout_s=0.3) as rpc,
        pytest.raises(SupervisorUnreachable),
    ):
        rpc.processes()


def test_a_supervisord_that_says_nothing_is_not_waited_for() -> None:
    """A connection that is accepted by the kernel alone ends after the timeout."""
    with TemporaryDirectory(prefix="sw", dir="/tmp") as folder:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(f"{folder}/s")
        listening.listen()
        with listening, pytest.raises(SupervisorUnreachable, match="timed out"):
            Supervisor(f"unix://{folder}/s", timeout_s=0.2).identity()


def test_nobody_there_is_said_with_the_address() -> None:
    """The message names call, address and cause."""
    rpc = Supervisor("unix:///nowhere/s")

    with pytest.raises(
        SupervisorUnreachable, match=r"getPID at unix:///nowhere/s: .*2"
    ):
        rpc.identity()


def test_a_call_after_an_error_works(short_dir: Path) -> None:
    """No connection is kept, so none can be poisoned."""
    answers = iter([_nonsense, answering([info()])])

    def serve(connection: socket.socket) -> None:
        next(answers)(connection)

    with server(short_dir, serve) as rpc:
        with pytest.raises(SupervisorUnreachable):
            rpc.processes()

        assert len(rpc.processes()) == 1


def test_an_event_type_stays_on_one_line(short_dir: Path) -> None:
    """A line break would end the event's header."""
    requests: list[bytes] = []
    with server(short_dir, answering(1), requests=requests) as rpc:
        rpc.send_event("a\nb", "x\ny\x00")

    assert b"<string>a b</string>" in requests[0]
    assert b"<string>x\ny?</string>" in requests[0]


@pytest.mark.parametrize(
    "url", ["", "x", "unix://", "http://host", "ftp://a:1", "http://:1"]
)
def test_a_strange_address_is_refused(url: str) -> None:
    """The message names both forms."""
    with pytest.raises(ValueError, match="unix:///path or http://host:port"):
        Supervisor(url)


def test_no_address_says_how_to_run_it() -> None:
    """Outside supervisord the listener cannot work."""
    with pytest.raises(ValueError, match="SUPERVISOR_SERVER_URL"):
        Supervisor.from_environment({})


def test_a_process_is_named_by_pid_and_start() -> None:
    """The start is known for a living process and not for one that is gone."""
    assert started_ticks(os.getpid()) == started_ticks(os.getpid()) != None  # noqa: E711
    assert started_ticks(2**22 + 1) is None
