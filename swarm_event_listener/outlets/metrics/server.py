"""Serves the last snapshot over HTTP from a thread of its own.

The loop hands over what is known and goes on; no lock is held, and nothing that a
client does is waited for. Connections are few and short-lived: where all are taken, the
oldest one, which has had the most time, makes room. So a crowd of half-open ones keeps
nobody out, and costs a bounded amount of memory.
"""

from __future__ import annotations

import logging
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from swarm_event_listener.config.config import METRICS_EXTRA

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text
CONNECTIONS_MAX: Final = 32
REQUEST_MAX_BYTES: Final = 8_192
CONNECTION_MAX_S: Final = 5.0
STALE_S: Final = 15.0  # a snapshot is made every 2 s, while the loop turns
BIND_AGAIN_S: Final = 5.0
TURN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is served until the next one comes.

    Attributes:
        metrics: Returns the text of a scrape in pieces; None without the extra
            ``[metrics]``.
        trouble: Why the listener is not well; empty while it is.
        made_at_s: When.
        down: A line for each node that is down for good.
        data: What the page draws, as JSON; empty while nobody looked lately.
    """

    metrics: Callable[[], Sequence[bytes]] | None
    trouble: str
    made_at_s: float
    down: str = ""
    data: bytes = b""


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    until_s: float
    request: bytearray = field(default_factory=bytearray)
    answer: memoryview | None = None


class MetricsServer:
    """The thread. It ends with the process, or with `stop`."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        page: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen nowhere yet.

        Args:
            address: Host and port; port 0 takes a free one.
            page: The HTML at ``/``.
            clock: That of the snapshots.
        """
        self._wanted = address
        self._page = page
        self.watched_at_s = -math.inf  # when the page last asked for its data
        self._clock = clock
        self._snapshot: Snapshot | None = None  # replaced as a whole, never changed
        self._connections: dict[int, _Connection] = {}  # by descriptor, oldest first
        self._selector = selectors.DefaultSelector()
        self._listening: socket.socket | None = None
        self._bind_at_s = 0.0
        self._is_said = False
        self._stopping = False
        self._bound = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="swarm-metrics", daemon=True
        )

    def start(self) -> None:
        """Start the thread; a port in use is said there, and tried again."""
        self._thread.start()

    def show(self, snapshot: Snapshot) -> None:
        """Serve this from now on."""
        self._snapshot = snapshot

    def stop(self) -> None:
        """End the thread; waits for one turn."""
        self._stopping = True
        self._thread.join()

    def address(self, *, within_s: float) -> tuple[str, int] | None:
        """Give where it listens, None if it does not within this time."""
        if not self._bound.wait(within_s) or self._listening is None:
            return None
        host, port = self._listening.getsockname()[:2]
        return host, port

    # --- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except OSError as error:  # no descriptors left, for one
                logger.warning("metrics_trouble why=%r", str(error))
                self._close_all()
        self._close_all()

    def _turn(self) -> None:
        now_s = self._clock()
        if self._listening is None and now_s >= self._bind_at_s:
            self._bind_at_s = now_s + BIND_AGAIN_S
            self._bind()
        for key, _ in self._selector.select(TURN_S):
            connection = self._connections.get(key.fd)
            if connection is None:
                self._accept()
            else:
                self._serve(key.fd, connection)
        self._drop_overdue()

    def _bind(self) -> None:
        host, port = self._wanted
        listening = None
        try:
            family, *_, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(CONNECTIONS_MAX)
        except OSError as error:
            if listening is not None:
                listening.close()
            self._say_unbound(error)
            return
        listening.settimeout(0)
        self._listening = listening
        self._selector.register(listening, selectors.EVENT_READ)
        self._bound.set()
        logger.info("metrics_served address=%s:%d", *listening.getsockname()[:2])

    def _say_unbound(self, error: OSError) -> None:
        if not self._is_said:
            logger.error(
                "metrics_not_served address=%s:%d why=%r do=%r",
                *self._wanted,
                str(error),
                "free the port or change metrics; tried again, nodes are supervised",
            )
        self._is_said = True

    def _accept(self) -> None:
        if self._listening is None:
            return
        try:
            client, _ = self._listening.accept()
        except (BlockingIOError, ConnectionError):
            return  # gone again
        client.settimeout(0)
        if len(self._connections) >= CONNECTIONS_MAX:
            self._close(next(iter(self._connections)))
        until_s = self._clock() + CONNECTION_MAX_S
        self._connections[client.fileno()] = _Connection(client, until_s)
        self._selector.register(client, selectors.EVENT_READ)

    def _serve(self, descriptor: int, connection: _Connection) -> None:
        try:
            if connection.answer is None:
                is_over = self._read(descriptor, connection)
            else:
                is_over = self._write(connection, connection.answer)
        except BlockingIOError:
            return
        except OSError:
            is_over = True
        if is_over:
            self._close(descriptor)

    def _read(self, descriptor: int, connection: _Connection) -> bool:
        """Read on; tell whether the connection is over."""
        data = connection.socket.recv(REQUEST_MAX_BYTES)
        connection.request += data
        if b"\r\n\r\n" in connection.request:
            answer = self._answer(bytes(connection.request))
            connection.answer = memoryview(answer)
            self._selector.modify(descriptor, selectors.EVENT_WRITE)
            return self._write(connection, connection.answer)
        return not data or len(connection.request) > REQUEST_MAX_BYTES

    def _write(self, connection: _Connection, answer: memoryview) -> bool:
        sent_bytes = connection.socket.send(answer)
        connection.answer = answer[sent_bytes:]
        if connection.answer:
            return False
        connection.socket.shutdown(socket.SHUT_WR)
        return True

    def _drop_overdue(self) -> None:
        now_s = self._clock()
        for descriptor, connection in list(self._connections.items()):
            if now_s >= connection.until_s:
                self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        connection = self._connections.pop(descriptor)
        self._selector.unregister(descriptor)
        connection.socket.close()

    def _close_all(self) -> None:
        for descriptor in list(self._connections):
            self._close(descriptor)
        if self._listening is not None and self._stopping:
            self._selector.unregister(self._listening)
            self._listening.close()
            self._selector.close()

    # --- answers ----------------------------------------------------------------------

    def _answer(self, request: bytes) -> bytes:
        snapshot = self._snapshot
        is_stale = snapshot is None or self._clock() - snapshot.made_at_s > STALE_S
        if b"/data.json" in request:
            self.watched_at_s = self._clock()
        return answer(request, None if is_stale else snapshot, page=self._page)


def answer(request: bytes, snapshot: Snapshot | None, *, page: bytes) -> bytes:
    """Give the whole response.

    Args:
        request: All up to the empty line.
        snapshot: What is known; None when the listener's loop stands still.
        page: The HTML at ``/``.
    """
    method, path = _method_and_path(request)
    if method not in {"GET", "HEAD"}:
        return _response("405 Method Not Allowed", headers={"Allow": "GET, HEAD"})
    found = _html(page) if path == "/" else _found(path, snapshot)
    if method == "HEAD":
        return found[: found.index(b"\r\n\r\n") + 4]
    return found


def _found(path: str, snapshot: Snapshot | None) -> bytes:
    if path not in {"/metrics", "/healthz", "/data.json"}:
        return _response("404 Not Found", b"there is /, /metrics and /healthz\n")
    if snapshot is None:
        return _response("503 Service Unavailable", b"the listener stands still\n")
    if path == "/metrics":
        return _metrics(snapshot)
    if path == "/data.json":
        return _data(snapshot.data)
    trouble = f"{snapshot.trouble}\n" if snapshot.trouble else ""
    if trouble or snapshot.down:
        body = f"{trouble}{snapshot.down}".encode()
        return _response("503 Service Unavailable", body)
    return _response("204 No Content")


def _metrics(snapshot: Snapshot) -> bytes:
    if snapshot.metrics is None:
        why = f"prometheus-client is not installed: {METRICS_EXTRA}\n"
        return _response("503 Service Unavailable", why.encode())
    return _response(
        "200 OK", b"".join(snapshot.metrics()), headers={"Content-Type": CONTENT_TYPE}
    )


def _data(data: bytes) -> bytes:
    if not data:  # made from now on
        return _response("202 Accepted", b"in a moment\n")
    return _response("200 OK", data, headers={"Content-Type": "application/json"})


def _html(page: bytes) -> bytes:
    """Give the page; whatever came to be in it, it can reach nobody but us."""
    policy = (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
    }
    return _response("200 OK", page, headers=headers)


def _method_and_path(request: bytes) -> tuple[str, str]:
    """Give both of the request line; empty texts for what is none."""
    line = request.partition(b"\r\n")[0].decode("latin-1")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "", ""
    return words[0], words[1].partition("?")[0]


def _response(
    status: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
) -> bytes:
    fields = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    fields |= {"Connection": "close", "Cache-Control": "no-store"}
    fields["X-Content-Type-Options"] = "nosniff"
    if not status.startswith("204"):
        fields["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body
