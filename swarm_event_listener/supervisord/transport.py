"""XML-RPC by the standard library, over a connection that is bounded in time and size.

The library's own transport, and supervisor's, wait for an answer without end; the
library's also repeats a call whose connection broke, after which supervisord may have
carried it out twice.
"""

from __future__ import annotations

import re
import socket
import xmlrpc.client
from binascii import b2a_base64
from codecs import getincrementaldecoder
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Final
from xml.parsers.expat import ExpatError

from swarm_worker.shared.settings import ConfigError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, SizedBuffer, WriteableBuffer

Connect = Callable[[float], socket.socket]  # within so many seconds

ANSWER_MAX_BYTES: Final = 16 * 2**20  # 1 000 processes are 1.2 MB
_PIECE_BYTES: Final = 65_536  # copies of a whole megabyte would stay
_SHOWN_BYTES: Final = 80

# What XML 1.0 cannot hold: supervisord answers 400 to it, and sends it itself where a
# process name or an error text has it.
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

# The library accepts much that is no XML-RPC, and raises these for the rest.
_MALFORMED: Final = (
    ArithmeticError,
    AttributeError,
    ExpatError,
    HTTPException,
    LookupError,
    TypeError,
    ValueError,
    xmlrpc.client.ResponseError,
)


class AnswerError(Exception):
    """An answer that is no XML-RPC; the message says what came."""


def sendable(param: object) -> object:
    """Return a parameter of a call, in a text ``?`` for what XML cannot hold."""
    return _ILLEGAL.sub("?", param) if isinstance(param, str) else param


class Transport(xmlrpc.client.Transport):
    """Makes each call once, on a connection of its own."""

    def __init__(
        self,
        connect: Connect,
        *,
        credentials: str | None,
        timeout_s: float,
        clock: Callable[[], float],
    ) -> None:
        """Take ``user:password``, and the time for a whole call; connect to nothing."""
        super().__init__()
        self._connect = connect
        self._timeout_s = timeout_s
        self._clock = clock
        self._authorization = ""
        if credentials is not None:
            token = b2a_base64(credentials.encode(), newline=False).decode("ascii")
            self._authorization = f"Authorization: Basic {token}\r\n"

    def request(
        self,
        host: object,
        handler: str,
        request_body: SizedBuffer,
        verbose: bool = False,  # noqa: ARG002, FBT001, FBT002 - xmlrpc.client's
    ) -> tuple[Any, ...]:
        """Make one call; return what it gave.

        Raises:
            xmlrpc.client.Fault: The method failed.
            AnswerError: What came is no answer.
            OSError: Nothing, or not all of it, came in time.
        """
        give_up_at_s = self._clock() + self._timeout_s
        # HTTP/1.0: supervisord then neither keeps the connection nor sends in chunks.
        # In one piece: who answers to the head alone and closes has its answer read.
        head = (
            f"POST {handler} HTTP/1.0\r\nHost: {host}\r\nContent-Type: text/xml\r\n"
            f"Content-Length: {len(request_body)}\r\n{self._authorization}\r\n"
        )
        with _Socket(
            self._connect(self._timeout_s), lambda: self._left_s(give_up_at_s)
        ) as connection:
            connection.sendall(head.encode("ascii") + bytes(request_body))
            with HTTPResponse(connection, method="POST") as response:
                _begin(response)
                return self._values(response)

    def _values(self, response: HTTPResponse) -> tuple[Any, ...]:
        """Return the values of an answer, without what XML forbids."""
        begin = response.peek(_SHOWN_BYTES)[:_SHOWN_BYTES]
        parser, values = self.getparser()
        text_of = getincrementaldecoder("utf-8")("replace").decode
        try:
            while piece := response.read(_PIECE_BYTES):
                parser.feed(_ILLEGAL.sub("", text_of(piece)))
            parser.close()
            return values.close()
        except _MALFORMED as error:
            raise AnswerError(
                f"expected an XML-RPC answer ({error}), got {begin!r}"
            ) from None

    def _left_s(self, give_up_at_s: float) -> float:
        left_s = give_up_at_s - self._clock()
        if left_s <= 0:  # also an answer that trickles in has to end
            raise TimeoutError(f"no whole answer within {self._timeout_s:g} s")
        return left_s


class _Socket(socket.socket):
    """A connection each of whose waits ends with the call."""

    def __init__(self, connected: socket.socket, left_s: Callable[[], float]) -> None:
        super().__init__(fileno=connected.detach())
        self._left_s = left_s
        self._received_count = 0

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        self.settimeout(self._left_s())
        super().sendall(data, flags)

    def recv_into(
        self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0
    ) -> int:
        self.settimeout(self._left_s())
        count = super().recv_into(buffer, nbytes, flags)
        self._received_count += count
        if self._received_count > ANSWER_MAX_BYTES:
            raise AnswerError(f"an answer of over {ANSWER_MAX_BYTES} bytes")
        return count


def _begin(response: HTTPResponse) -> None:
    """Read the head of an answer."""
    try:
        response.begin()
    except OSError:  # RemoteDisconnected is an HTTPException, too
        raise
    except (HTTPException, ValueError) as error:
        raise AnswerError(f"expected an HTTP answer, got {str(error)!r:.80}") from None
    if response.status == 401:
        raise AnswerError(
            "HTTP 401: supervisord asks for a password; set SUPERVISOR_USERNAME and "
            "SUPERVISOR_PASSWORD in the environment= of this program"
        )
    if response.status != 200:
        raise AnswerError(
            f"expected HTTP 200, got {response.status} {response.reason!r}"
        )


# --- where supervisord is -------------------------------------------------------------


def connector(url: str) -> Connect:
    """Return what connects to an address of supervisord.

    Raises:
        ConfigError: The URL is neither ``unix://`` nor ``http://``.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "unix" and rest:
        return lambda timeout_s: _connect_unix(rest, timeout_s)
    if scheme == "http" and rest:
        host, _, port = rest.rstrip("/").rpartition("@")[2].rpartition(":")
        if host and port.isascii() and port.isdigit():
            address = (host.strip("[]"), int(port))
            return lambda timeout_s: socket.create_connection(address, timeout_s)
    raise ConfigError(
        f"expected unix:///path or http://host:port as the address of supervisord, "
        f"got {url!r}"
    )


def _connect_unix(path: str, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_s)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
