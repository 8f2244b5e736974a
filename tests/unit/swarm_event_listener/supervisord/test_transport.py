"""XML-RPC: what supervisord's own marshaller writes is read back, nonsense refused."""

from __future__ import annotations

import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.supervisord.transport import (
    AnswerError,
    Param,
    SupervisorFault,
    decode_answer,
    encode_call,
    http_body,
    http_request,
    is_complete,
)

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
    st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | _TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_answers_of_the_standard_library_are_read_back(value: Any) -> None:
    """supervisord marshals with xmlrpc.client: every value comes through."""
    body = xmlrpc.client.dumps((value,), methodresponse=True)

    assert decode_answer(body.encode()) == value


@given(st.lists(st.booleans() | st.integers(-(2**31), 2**31 - 1) | _TEXTS, max_size=4))
def test_calls_are_read_back_by_the_standard_library(params: list[Param]) -> None:
    """Names, numbers and flags arrive as they were given."""
    body = encode_call("supervisor.stopProcess", tuple(params))

    read, method = xmlrpc.client.loads(body.decode())

    assert method == "supervisor.stopProcess"
    assert read == tuple(params)


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    """supervisord would answer 400 to them."""
    body = encode_call("m", ("a\x00b\ud800c<&>",))

    assert xmlrpc.client.loads(body.decode())[0] == ("a?b?c<&>",)


def test_a_fault_is_raised_with_its_code() -> None:
    """A fault is an answer: code and text are kept."""
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(70, "NOT_RUNNING: w:w_01"))

    with pytest.raises(SupervisorFault) as caught:
        decode_answer(body.encode())

    assert (caught.value.code, caught.value.text) == (70, "NOT_RUNNING: w:w_01")


def test_one_bad_text_does_not_spoil_all_processes() -> None:
    """Control characters and broken UTF-8 in an error text are dropped, not fatal."""
    body = xmlrpc.client.dumps((["good", "XX"],), methodresponse=True)

    read = decode_answer(body.encode().replace(b"XX", b"a\x01\x1bb\xff"))

    assert read == ["good", "ab\ufffd"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"not xml",
        b"<methodResponse/>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><value>&a;</value>",
        b"<value><int>x</int></value>",
        b"<value><struct><name>a</name></struct></value>",
        b"<fault><value>1</value></fault>",
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    """One kind of error, with what came."""
    with pytest.raises(AnswerError):
        decode_answer(body)


@given(st.binary(max_size=200))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    """Nothing but the two errors of this module is raised."""
    try:
        decode_answer(http_body(body))
    except (AnswerError, SupervisorFault):
        return


def test_an_answer_is_complete_with_its_content_length() -> None:
    """Neither sooner nor later; without a length only the end of the stream tells."""
    head = b"HTTP/1.0 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n"

    assert not is_complete(head[:-1])
    assert not is_complete(head + b"1234")
    assert is_complete(head + b"12345")
    assert not is_complete(b"HTTP/1.0 200 OK\r\n\r\nContent-Length: 0\r\n\r\n")
    assert http_body(head + b"12345") == b"12345"


def test_a_refused_password_says_where_to_set_it() -> None:
    """supervisord passes no credentials on, so people meet this."""
    with pytest.raises(AnswerError, match="SUPERVISOR_USERNAME"):
        http_body(b"HTTP/1.0 401 Unauthorized\r\n\r\n")


def test_credentials_go_into_the_header() -> None:
    """Basic authentication, as supervisord asks for it."""
    request = http_request("m", (), host="localhost", credentials="a:b")

    assert b"\r\nAuthorization: Basic YTpi\r\n" in request
