"""Serves the last snapshot over HTTP from a thread of its own, by asyncio.

The loop hands over what is known and goes on; no lock is held, and nothing that a
client does is waited for. Connections are few and short-lived: where all are taken, the
oldest one, which has had the most time, makes room. So a crowd of half-open ones keeps
nobody out, and costs a bounded amount of memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from swarm_event_listener.config.config import METRICS_EXTRA
from swarm_event_listener.outlets.metrics.aside import Aside
from swarm_event_listener.outlets.metrics.files import (
    PARTITIONS,
    STORY,
    Files,
    Found,
    Holder,
)

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text
CONNECTIONS_MAX: Final = 32
REQUEST_MAX_BYTES: Final = 8_192
PIECE_BYTES: Final = 65_536  # of an answer; what a client does not read is buffered
CONNECTION_MAX_S: Final = 5.0
FILES_MAX_S: Final = 3.0
STALE_S: Final = 15.0  # a snapshot is made every 2 s, while the loop turns
BIND_AGAIN_S: Final = 5.0
TROUBLE_EVERY_S: Final = 5.0

Pieces = Sequence[bytes]  # of a text: 400 nodes have 1 MB, in one piece it would stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What is served until the next one comes.

    Attributes:
        metrics: Returns the text of a scrape; None without the extra ``[metrics]``.
        trouble: Why the listener is not well; empty while it is.
        made_at_s: When.
        down: A line for each node that is down for good.
        failing: A line for each node that is well but for a message that fails.
        data: What the page draws, as JSON; empty while nobody looked lately.
        restarts: Those that the page shows.
        holders: The nodes, which may hold partitions.
    """

    metrics: Callable[[], Pieces] | None
    trouble: str
    made_at_s: float
    down: str = ""
    failing: str = ""
    data: bytes = b""
    restarts: Sequence[Mapping[str, Any]] = ()
    holders: Sequence[Holder] = ()


class MetricsServer:
    """The thread. It ends with the process, or with `stop`."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        page: bytes = b"",
        files: Files | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen nowhere yet.

        Args:
            address: Host and port; port 0 takes a free one.
            page: The HTML at ``/``.
            files: What it shows out of files.
            clock: That of the snapshots.
        """
        self._wanted = address
        self._page = page
        self._files = files
        self._aside = Aside()
        self.watched_at_s = -math.inf  # when the page last asked for its data
        self._clock = clock
        self._snapshot: Snapshot | None = None  # replaced as a whole, never changed
        self._open: list[asyncio.StreamWriter] = []  # oldest first
        self._address: tuple[str, int] | None = None
        self._bound = threading.Event()
        self._silent_until_s = -math.inf
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._thread = threading.Thread(
            target=self._run, name="swarm-metrics", daemon=True
        )

    def start(self) -> None:
        """Start the thread; a port in use is logged there, and tried again."""
        self._loop = self._runner.get_loop()
        self._loop.set_exception_handler(self._log_trouble)
        self._serving = self._loop.create_task(self._serve())
        self._thread.start()

    def show(self, snapshot: Snapshot) -> None:
        """Serve this from now on."""
        self._snapshot = snapshot

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join()

    def address(self, *, within_s: float) -> tuple[str, int] | None:
        """Return where it listens, None if it does not within this time."""
        self._bound.wait(within_s)
        return self._address

    # --- the thread -------------------------------------------------------------------

    def _run(self) -> None:
        with self._runner, suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)

    async def _serve(self) -> None:
        with await self._listen() as listening:
            server = await asyncio.start_server(
                self._answer_one,
                sock=listening,
                limit=REQUEST_MAX_BYTES,
                backlog=CONNECTIONS_MAX,
            )
            self._address = listening.getsockname()[:2]
            self._bound.set()
            logger.info("metrics_served address=%s:%d", *self._address)
            await server.serve_forever()

    async def _listen(self) -> socket.socket:
        is_logged = False
        while True:
            try:
                return _listening(self._wanted)
            except (OSError, UnicodeError) as error:  # the latter: no name of a host
                if not is_logged:
                    self._log_unbound(error)
            is_logged = True
            await asyncio.sleep(BIND_AGAIN_S)

    def _log_trouble(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Log what asyncio goes on after: no descriptors left, for one."""
        if loop.time() < self._silent_until_s:  # it tells of that 32 times a second
            return
        self._silent_until_s = loop.time() + TROUBLE_EVERY_S
        why = context.get("exception", context["message"])
        logger.warning("metrics_trouble why=%r", str(why))

    def _log_unbound(self, error: Exception) -> None:
        logger.error(
            "metrics_not_served address=%s:%d why=%r do=%r",
            *self._wanted,
            str(error),
            "free the port or change metrics; tried again, nodes are supervised",
        )

    async def _answer_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open.append(writer)
        if len(self._open) > CONNECTIONS_MAX:
            self._open.pop(0).transport.abort()
        writer.transport.set_write_buffer_limits(high=0)  # drained once all is sent
        try:
            async with asyncio.timeout(CONNECTION_MAX_S):
                request = await reader.readuntil(b"\r\n\r\n")
                for piece in await self._answer(request):
                    for at in range(0, len(piece), PIECE_BYTES):
                        writer.write(piece[at : at + PIECE_BYTES])
                        await writer.drain()
        except (EOFError, OSError, asyncio.LimitOverrunError):
            pass  # the client is gone, too slow, or no HTTP client
        finally:
            writer.transport.abort()
            if writer in self._open:
                self._open.remove(writer)

    async def _answer(self, request: bytes) -> Pieces:
        if b"/data.json" in request:
            self.watched_at_s = self._clock()
        snapshot = self._snapshot
        if snapshot is None or self._clock() - snapshot.made_at_s > STALE_S:
            return answer(request, None, page=self._page)
        path = _method_and_path(request)[1]
        if self._files is None or not path.startswith((STORY, PARTITIONS)):
            return answer(request, snapshot, page=self._page)
        find = partial(self._files.find, path, snapshot.restarts, snapshot.holders)
        try:
            found = await self._aside.do(find, within_s=FILES_MAX_S)
        except TimeoutError:
            body = b"a disk or supervisord does not answer\n"
            return _response("503 Service Unavailable", body)
        return answer(request, snapshot, page=self._page, found=found)


def _listening(address: tuple[str, int]) -> socket.socket:
    family, *_, local = socket.getaddrinfo(
        *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(local)
        listening.listen(CONNECTIONS_MAX)
    except OSError:
        listening.close()
        raise
    return listening


# --- answers --------------------------------------------------------------------------


def answer(
    request: bytes,
    snapshot: Snapshot | None,
    *,
    page: bytes,
    found: Found | None = None,
) -> Pieces:
    """Return the whole response, its head first.

    Args:
        request: All up to the empty line.
        snapshot: What is known; None when the listener's loop stands still.
        page: The HTML at ``/``.
        found: What was read for this request.
    """
    method, path = _method_and_path(request)
    if method not in {"GET", "HEAD"}:
        return _response("405 Method Not Allowed", headers={"Allow": "GET, HEAD"})
    if found is not None:
        headers = {"Content-Type": found.content_type}
        pieces = _response("200 OK", found.body, headers=headers)
    else:
        pieces = _html(page) if path == "/" else _known(path, snapshot)
    return pieces[:1] if method == "HEAD" else pieces


def _known(path: str, snapshot: Snapshot | None) -> Pieces:
    if path not in {"/metrics", "/healthz", "/data.json"}:
        return _response("404 Not Found", b"there is /, /metrics and /healthz\n")
    if snapshot is None:
        return _response("503 Service Unavailable", b"the listener stands still\n")
    if path == "/metrics":
        return _metrics(snapshot)
    if path == "/data.json":
        return _data(snapshot.data)
    return _health(snapshot)


def _health(snapshot: Snapshot) -> Pieces:
    trouble = f"{snapshot.trouble}\n" if snapshot.trouble else ""
    if trouble or snapshot.down:
        body = f"{trouble}{snapshot.down}{snapshot.failing}".encode()
        return _response("503 Service Unavailable", body)
    if snapshot.failing:  # no 503: what restarts us from outside cures no message
        return _response("200 OK", snapshot.failing.encode())
    return _response("204 No Content")


def _metrics(snapshot: Snapshot) -> Pieces:
    if snapshot.metrics is None:
        why = f"prometheus-client is not installed: {METRICS_EXTRA}\n"
        return _response("503 Service Unavailable", why.encode())
    return _response(
        "200 OK", *snapshot.metrics(), headers={"Content-Type": CONTENT_TYPE}
    )


def _data(data: bytes) -> Pieces:
    if not data:  # made from now on
        return _response("202 Accepted", b"in a moment\n")
    return _response("200 OK", data, headers={"Content-Type": "application/json"})


def _html(page: bytes) -> Pieces:
    """Return the page; whatever came to be in it, it can reach nobody but us."""
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
    """Return both of the request line; empty texts for what is none."""
    line = request.partition(b"\r\n")[0].decode("latin-1")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "", ""
    return words[0], words[1].partition("?")[0]


def _response(
    status: str, *body: bytes, headers: Mapping[str, str] | None = None
) -> Pieces:
    fields = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    fields |= {"Connection": "close", "Cache-Control": "no-store"}
    fields["X-Content-Type-Options"] = "nosniff"
    if not status.startswith("204"):
        fields["Content-Length"] = str(sum(map(len, body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return [f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1"), *body]
