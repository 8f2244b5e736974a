"""XML-RPC over a socket: what supervisord writes is read, nonsense refused in time."""

from __future__ import annotations

import socket
import threading
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm_event_listener.supervisord.transport import (
    ANSWER_MAX_BYTES,
    AnswerError,
    Transport,
    sendable,
)
from tests.clock import FakeClock

_OK = b"HTTP/1.0 200 OK\r\n\r\n"

# What XML 1.0 can carry unchanged: a carriage return is read back as a newline.
_TEXTS = st.text(
    st.characters(
        exclude_categories=("Cc", "Cs"),
        exclude_characters="\ufffe\uffff",
        include_characters="\n\t",
    ),
    max_size=30,
)
_VALUES = st.recursive(
    st.booleans() | st.integers(-(2**31), 2**31 - 1) | _TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


def proxy(
    connect: Callable[[float], socket.socket], *, credentials: str | None = None
) -> Any:
    """Return what calls over a connection, with a clock that stands still."""
    transport = Transport(
        connect, credentials=credentials, timeout_s=2.0, clock=FakeClock()
    )
    return xmlrpc.client.ServerProxy("http://localhost/RPC2", transport)


def called(*answer: bytes, params: tuple[object, ...] = ()) -> Any:
    """Return the result of a call that gets this answer."""
    ours, theirs = socket.socketpair()
    with theirs:
        serving = threading.Thread(target=_send, args=(theirs, answer))
        serving.start()
        try:
            return proxy(lambda _s: ours).method(*params)
        finally:
            serving.join()


def _send(connection: socket.socket, answer: tuple[bytes, ...]) -> None:
    try:
        for piece in answer:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return  # it has heard enough


def asked(*params: object, credentials: str | None = None) -> bytes:
    """Return the bytes of a call."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(_OK + xmlrpc.client.dumps((1,), methodresponse=True).encode())
        theirs.shutdown(socket.SHUT_WR)
        proxy(lambda _s: ours, credentials=credentials).method(*params)
        return theirs.recv(65_536)


@settings(deadline=None)
@given(_VALUES)
def test_what_supervisord_answers_is_read(value: Any) -> None:
    """It marshals with xmlrpc.client: every value comes through."""
    body = xmlrpc.client.dumps((value,), methodresponse=True)

    assert called(_OK, body.encode()) == value


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    """supervisord would answer 400 to them."""
    body = asked(sendable("a\x00b\ud800c<&>"), 7)

    read, _ = xmlrpc.client.loads(body.partition(b"\r\n\r\n")[2].decode())
    assert read == ("a?b?c<&>", 7)


def test_one_bad_text_does_not_spoil_all_processes() -> None:
    """Control characters and broken UTF-8 in an error text are dropped, not fatal."""
    body = xmlrpc.client.dumps((["good", "XX"],), methodresponse=True).encode()

    read = called(_OK, body.replace(b"XX", b"a\x01\x1b\xef\xbf\xbeb\xff\xed\xa0\x80"))

    assert read == ["good", "ab" + "\ufffd" * 4]


def test_a_long_answer_is_read_in_pieces() -> None:
    """A character whose bytes come in two pieces is one."""
    text = "\u20ac" * 100_000

    assert (
        called(_OK, xmlrpc.client.dumps((text,), methodresponse=True).encode()) == text
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"not xml",
        b"<methodResponse/>",
        b"<value><int>x</int></value>",
        b"<value><struct><name>a</name></struct></value>",
        b"<fault><value>1</value></fault>",
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    """One kind of error, with what came."""
    with pytest.raises(AnswerError, match="expected an XML-RPC answer"):
        called(_OK, body)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.0 ", _OK]))
def test_any_answer_is_read_or_refused(rest: bytes, head: bytes) -> None:
    """No other error than these is raised."""
    try:
        called(head + rest)
    except (AnswerError, OSError, xmlrpc.client.Fault):
        return


def test_an_answer_ends_with_its_content_length() -> None:
    """The connection may stay open."""
    body = xmlrpc.client.dumps((7,), methodresponse=True).encode()
    ours, theirs = socket.socketpair()
    with theirs:
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        theirs.sendall(head.encode() + body)

        assert proxy(lambda _s: ours).method() == 7


@pytest.mark.parametrize(
    "head", [_OK, b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n"]
)
def test_an_answer_that_does_not_end_is_refused(head: bytes) -> None:
    """Whatever length it claims, so much is read at most."""
    head = head.replace(b"%d", str(10**15).encode())
    pieces = [b" " * 65_536] * (ANSWER_MAX_BYTES // 65_536 + 1)

    with pytest.raises(AnswerError, match="an answer of over"):
        called(head, *pieces)


def test_a_call_is_made_once() -> None:
    """supervisord may have carried it out when the connection broke."""
    made: list[float] = []

    def connect(within_s: float) -> socket.socket:
        made.append(within_s)
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours

    with pytest.raises(OSError, match="Broken pipe"):
        proxy(connect).method()

    assert made == [2.0]


def test_a_refused_password_says_where_to_set_it() -> None:
    """supervisord passes no credentials on, so people meet this."""
    with pytest.raises(AnswerError, match="SUPERVISOR_USERNAME"):
        called(b"HTTP/1.0 401 Unauthorized\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.0 500 Oops\r\n\r\n", "expected HTTP 200, got 500 'Oops'"),
        (b"SSH-2.0\r\n", "expected an HTTP answer, got 'SSH-2.0"),
    ],
)
def test_what_came_is_said(answer: bytes, said: str) -> None:
    """A port of another program is found by the message."""
    with pytest.raises(AnswerError, match=said):
        called(answer)


def test_credentials_go_into_the_header() -> None:
    """Basic authentication, as supervisord asks for it."""
    assert b"\r\nAuthorization: Basic YTpi\r\n" in asked(credentials="a:b")
    assert b"Authorization" not in asked()
