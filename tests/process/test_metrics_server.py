"""The endpoint on real sockets, and clients that are no scrapers."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from swarm_event_listener.outlets.metrics import server as metrics_server
from swarm_event_listener.outlets.metrics.files import Files
from swarm_event_listener.outlets.metrics.server import (
    CONNECTIONS_MAX,
    PIECE_BYTES,
    REQUEST_MAX_BYTES,
    STALE_S,
    MetricsServer,
    Snapshot,
)
from swarm_event_listener.supervisord.node_log import NodeLog
from tests.clock import FakeClock
from tests.eventually import eventually

BODY = b"kafka_swarm_up 1\n" * 100_000


class Endpoint:
    """A server on a free port."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.disk = threading.Event()
        self.disk.set()
        self.server = MetricsServer(
            ("127.0.0.1", 0),
            files=Files(self._log_of, directories=[], clock=self.clock),
            clock=self.clock,
        )
        self.server.start()
        address = self.server.address(within_s=10)
        assert address is not None
        self.address = address
        self.show()

    def _log_of(self, name: str) -> NodeLog:
        """Wait for a disk."""
        self.disk.wait()
        return NodeLog(name, "/nowhere/x", lambda _: "")

    def show(self, trouble: str = "", down: str = "") -> None:
        """Hand over a snapshot of now."""
        self.server.show(
            Snapshot(
                metrics=lambda: [BODY],
                trouble=trouble,
                down=down,
                made_at_s=self.clock.now_s,
                restarts=[{"node": "w:w_00", "detected_at": "then", "status": 2}],
            )
        )

    def ask(self, path: str = "/metrics", method: str = "GET") -> tuple[int, bytes]:
        """Return status and body of a response."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Connect, and say nothing yet."""
        return socket.create_connection(self.address, timeout=10)

    def send(self, data: bytes) -> bytes:
        """Send raw bytes, give all that comes until the connection is closed."""
        with self.connect() as client:
            client.sendall(data)
            answered = b""
            while chunk := client.recv(65_536):
                answered += chunk
            return answered


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Yield a running endpoint."""
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.stop()


def test_metrics_are_served_whole(endpoint: Endpoint) -> None:
    """However long they are, and whatever follows the path."""
    assert endpoint.ask() == (200, BODY)
    assert endpoint.ask("/metrics?x=1") == (200, BODY)
    assert endpoint.ask(method="HEAD") == (200, b"")


def test_health_is_told_with_its_reason(endpoint: Endpoint) -> None:
    """204 while the listener sees events and controls nodes."""
    assert endpoint.ask("/healthz") == (204, b"")

    endpoint.show("supervisord gives no answer")
    assert endpoint.ask("/healthz") == (503, b"supervisord gives no answer\n")
    assert endpoint.ask()[0] == 200


def test_a_disk_that_hangs_holds_up_a_story_and_nothing_else(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once the disk answers; nobody else waits for it."""
    monkeypatch.setattr(metrics_server, "FILES_MAX_S", 0.05)
    endpoint.disk.clear()
    hangs = endpoint.ask("/story/w:w_00/then")
    others = endpoint.ask("/healthz"), endpoint.ask()
    endpoint.disk.set()
    monkeypatch.setattr(metrics_server, "FILES_MAX_S", 30.0)

    assert hangs == (503, b"a disk or supervisord does not answer\n")
    assert others == ((204, b""), (200, BODY))
    assert endpoint.ask("/story/w:w_00/then")[0] == 200
    assert endpoint.ask("/story/w:w_00/then", method="HEAD") == (200, b"")
    assert endpoint.ask("/story/w:w_00/now")[0] == 404
    assert endpoint.ask("/story/w:w_00/then", method="POST")[0] == 405


def test_nodes_that_are_down_for_good_are_no_health(endpoint: Endpoint) -> None:
    """They are named, and what is wrong with the listener comes first."""
    endpoint.show(down="w:w_00 is down for good: why\n")
    assert endpoint.ask("/healthz") == (503, b"w:w_00 is down for good: why\n")

    endpoint.show("supervisord gives no answer", down="w:w_00 is down\n")
    told = b"supervisord gives no answer\nw:w_00 is down\n"
    assert endpoint.ask("/healthz") == (503, told)

    endpoint.show()
    assert endpoint.ask("/healthz") == (204, b"")


def test_what_is_old_is_not_served_as_new(endpoint: Endpoint) -> None:
    """A listener whose loop stands still has no metrics and no health."""
    endpoint.clock.advance(STALE_S)
    assert endpoint.ask()[0] == 200

    endpoint.clock.advance(0.1)
    assert endpoint.ask()[0] == 503
    assert endpoint.ask("/healthz")[0] == 503


def test_nothing_else_is_there(endpoint: Endpoint) -> None:
    """Neither another path nor another method."""
    assert endpoint.ask("/../etc/passwd")[0] == 404
    assert endpoint.ask(method="POST")[0] == 405


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"\r\n\r\n",
        b"GET / x y\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(endpoint: Endpoint, request_bytes: bytes) -> None:
    """And the next one is served."""
    assert endpoint.send(request_bytes).startswith(b"HTTP/1.1 405 ")
    assert endpoint.ask()[0] == 200


def test_a_request_without_an_end_is_cut_off(endpoint: Endpoint) -> None:
    """No client makes the listener keep what it sends."""
    with endpoint.connect() as client, pytest.raises(ConnectionError):
        client.sendall(b"x" * REQUEST_MAX_BYTES * 1_000)
    assert endpoint.ask()[0] == 200


def test_two_hundred_half_open_connections_keep_nobody_out(endpoint: Endpoint) -> None:
    """The oldest make room; no more are kept than the limit."""
    with ExitStack() as stack:
        for number in range(200):
            client = stack.enter_context(endpoint.connect())
            if number % 2:
                client.sendall(b"GET /metr")
        assert endpoint.ask() == (200, BODY)
        assert len(endpoint.server._open) <= CONNECTIONS_MAX


def test_clients_that_do_not_read_keep_nobody_out(endpoint: Endpoint) -> None:
    """Each has its own answer pending, of which little is kept and nothing awaited."""
    endpoint.server.show(
        Snapshot(
            metrics=lambda: [BODY * 5],  # the kernel keeps up to 4 MB of each
            trouble="",
            made_at_s=endpoint.clock.now_s,
        )
    )
    with ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            client = stack.enter_context(endpoint.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert endpoint.ask() == (200, BODY * 5)

        kept = [
            writer.transport.get_write_buffer_size()
            for writer in tuple(endpoint.server._open)
        ]
        assert any(kept)
        assert max(kept) <= PIECE_BYTES


def test_a_connection_that_takes_too_long_is_closed(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However alive it is."""
    monkeypatch.setattr(metrics_server, "CONNECTION_MAX_S", 0.05)
    with endpoint.connect() as client:
        client.sendall(b"GET /")
        assert client.recv(1) == b""


def test_a_text_that_cannot_be_written_is_logged_and_the_next_is_served(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """No fault of ours in one answer costs the others theirs."""

    def fail() -> list[bytes]:
        raise ArithmeticError("no such figure")

    endpoint.server.show(
        Snapshot(metrics=fail, trouble="", made_at_s=endpoint.clock.now_s)
    )
    assert endpoint.send(b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    eventually(
        lambda: "metrics_trouble why='no such figure'" in caplog.text,
        describe="the line",
    )
    assert endpoint.ask("/healthz") == (204, b"")


def test_trouble_that_goes_on_is_logged_once_in_a_while(
    endpoint: Endpoint,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without descriptors asyncio tells of it for each connection that waits."""
    monkeypatch.setattr(metrics_server, "TROUBLE_EVERY_S", 3_600.0)
    for _ in range(32):
        endpoint.server._loop.call_exception_handler({"message": "no descriptors"})

    assert caplog.text.count("metrics_trouble why='no descriptors'") == 1


def test_a_port_in_use_is_said_once_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener supervises all the same; the port is taken when it is free."""
    tried: list[tuple[str, int]] = []
    listen = metrics_server._listening

    def listening(address: tuple[str, int]) -> socket.socket:
        tried.append(address)
        return listen(address)

    monkeypatch.setattr(metrics_server, "_listening", listening)
    monkeypatch.setattr(metrics_server, "BIND_AGAIN_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = other.getsockname()[:2]
        server = MetricsServer(address)
        server.start()
        eventually(lambda: len(tried) > 3, describe="more attempts")
        assert caplog.text.count("metrics_not_served") == 1

    assert server.address(within_s=10) == address
    server.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "no..host"])  # nobody has them
def test_an_address_that_is_not_ours_is_no_end(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again like a port in use."""
    server = MetricsServer((host, 0))
    server.start()

    eventually(lambda: "metrics_not_served" in caplog.text, describe="the line")
    assert server.address(within_s=0.0) is None
    server.stop()


def test_the_page_is_served_and_may_reach_nobody_else() -> None:
    """Whatever came to be in it, a browser lets it speak to the listener only."""
    server = MetricsServer(("127.0.0.1", 0), page=b"<!doctype html>")
    server.start()
    address = server.address(within_s=10)
    assert address is not None
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request("GET", "/")
    response = connection.getresponse()

    assert (response.status, response.read()) == (200, b"<!doctype html>")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    connection.close()
    server.stop()


def test_the_pages_data_is_made_once_somebody_looks(endpoint: Endpoint) -> None:
    """It costs the loop 20 ms for 100 nodes: nobody pays for it unseen."""
    assert endpoint.server.watched_at_s < endpoint.clock.now_s - 60
    assert endpoint.ask("/data.json") == (202, b"in a moment\n")
    assert endpoint.server.watched_at_s == endpoint.clock.now_s

    endpoint.server.show(
        Snapshot(metrics=None, trouble="", made_at_s=endpoint.clock.now_s, data=b"{}")
    )
    assert endpoint.ask("/data.json") == (200, b"{}")
