"""XML-RPC and its HTTP frame as supervisord speaks them, without I/O.

The standard library's ``xmlrpc.client`` would do, at 9 MB of memory for http, email
and ssl that a unix socket has no use for; this costs the parser, 0.2 MB.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.parsers import expat

Param = str | bool | int


class AnswerError(ValueError):
    """An answer that is no XML-RPC; the message says what came."""


class SupervisorFault(Exception):  # noqa: N818 - XML-RPC's own word
    """supervisord answered with a fault.

    Attributes:
        code: supervisord's number for it.
        text: supervisord's words.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"fault {code}: {text}")
        self.code = code
        self.text = text


# --- HTTP -----------------------------------------------------------------------------


def http_request(
    method: str, params: tuple[Param, ...], *, host: str, credentials: str | None
) -> bytes:
    """Give the bytes of one call, after whose answer the server closes.

    Args:
        method: Name of the remote method.
        params: Its parameters.
        host: For the Host header.
        credentials: ``user:password`` for basic authentication.
    """
    body = encode_call(method, params)
    authorization = ""
    if credentials is not None:
        token = b2a_base64(credentials.encode(), newline=False).decode("ascii")
        authorization = f"Authorization: Basic {token}\r\n"
    # HTTP/1.0: supervisord then neither keeps the connection nor sends in chunks.
    head = (
        f"POST /RPC2 HTTP/1.0\r\nHost: {host}\r\nContent-Type: text/xml\r\n"
        f"Content-Length: {len(body)}\r\n{authorization}\r\n"
    )
    return head.encode("latin-1", "replace") + body


_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*([0-9]{1,10})[ \t]*\r?$")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")


def is_complete(received: bytes | bytearray) -> bool:
    """Tell whether an HTTP answer is all there, by its Content-Length.

    Without one only the closing of the connection ends an answer.
    """
    head = _HEAD_END.search(received)
    length = head and _LENGTH.search(received, 0, head.end())
    return bool(head and length and len(received) - head.end() >= int(length[1]))


def http_body(received: bytes) -> bytes:
    """Give the body of a whole HTTP answer.

    Raises:
        AnswerError: It is no HTTP, or its status is not 200.
    """
    status = _STATUS_LINE.match(received)
    head = _HEAD_END.search(received)
    if status is None or head is None:
        raise AnswerError(f"expected an HTTP answer, got {received[:80]!r}")
    code = int(status[1])
    if code == 401:
        raise AnswerError(
            "HTTP 401: supervisord asks for a password; set SUPERVISOR_USERNAME and "
            "SUPERVISOR_PASSWORD in the environment= of this program"
        )
    if code != 200:
        reason = (status[2] or b"").decode("latin-1")
        raise AnswerError(f"expected HTTP 200, got {code} {reason!r}")
    return received[head.end() :]


# --- XML-RPC --------------------------------------------------------------------------

# What XML 1.0 cannot hold: supervisord answers 400 to it, and sends it itself where a
# process name or an error text has it.
_ILLEGAL_CHARS: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
)
_PIECE_BYTES: Final = 65_536
_ILLEGAL_BYTES: Final = bytes(
    code for code in range(32) if code not in (0x09, 0x0A, 0x0D)
)


def encode_call(method: str, params: tuple[Param, ...]) -> bytes:
    """Give the XML of a call; characters that XML cannot hold become ``?``."""
    values = "".join(f"<param>{_encode(param)}</param>" for param in params)
    return (
        f"<?xml version='1.0'?>\n<methodCall><methodName>{method}</methodName>"
        f"<params>{values}</params></methodCall>"
    ).encode()


def _encode(param: Param) -> str:
    match param:
        case bool():
            return f"<value><boolean>{int(param)}</boolean></value>"
        case int():
            return f"<value><int>{param}</int></value>"
        case str():
            text = _ILLEGAL_CHARS.sub("?", param)
            text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            return f"<value><string>{text}</string></value>"


def decode_answer(body: bytes) -> Any:  # noqa: ANN401 - each method has its own type
    """Read the result of a call.

    Raises:
        SupervisorFault: The method failed.
        AnswerError: It is no XML-RPC answer.
    """
    reader = _Reader()
    try:
        reader.read(body)
    except (expat.ExpatError, ValueError, LookupError, TypeError) as error:
        raise AnswerError(
            f"expected an XML-RPC answer ({error}), got {body[:80]!r}"
        ) from None
    if reader.is_fault:
        raise _fault(reader.values)
    if len(reader.values) != 1:
        raise AnswerError(f"expected one value, got {len(reader.values)}")
    return reader.values[0]


def _fault(values: list[Any]) -> SupervisorFault | AnswerError:
    match values:
        case [{"faultCode": int(code), "faultString": str(text)}]:
            return SupervisorFault(code, text)
        case _:
            return AnswerError(
                f"expected a code and a text of the fault, got {values!r:.80}"
            )


_SCALARS: Final[Mapping[str, Callable[[str], Any]]] = {
    "boolean": lambda text: bool(int(text)),
    "dateTime.iso8601": str,
    "double": float,
    "i4": int,
    "i8": int,
    "int": int,
    "name": str,
    "nil": lambda _text: None,
    "string": str,
}


class _Reader:
    """Builds the values of one answer while the XML is parsed."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.is_fault = False
        self._begins: list[int] = []  # where the open arrays and structs begin
        self._text: list[str] = []
        self._is_untyped = False  # a <value> without an element is a string

    def read(self, xml: bytes) -> None:
        """Read all of it, a piece at a time: copies of a megabyte would stay."""
        text_of = getincrementaldecoder("utf-8")("replace").decode
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        for begin in range(0, len(xml), _PIECE_BYTES):
            piece = xml[begin : begin + _PIECE_BYTES].translate(None, _ILLEGAL_BYTES)
            parser.Parse(text_of(piece))
        parser.Parse(text_of(b"", final=True), True)  # noqa: FBT003 - expat's own

    def _refuse_doctype(self, *_args: object) -> None:
        raise ValueError("a DOCTYPE, which could declare entities")

    def _start(self, tag: str, _attributes: object) -> None:
        if tag in ("array", "struct"):
            self._begins.append(len(self.values))
        self._is_untyped = tag == "value"
        self.is_fault = self.is_fault or tag == "fault"
        self._text.clear()

    def _end(self, tag: str) -> None:
        if tag in _SCALARS:
            self.values.append(_SCALARS[tag]("".join(self._text)))
        elif tag == "value" and self._is_untyped:
            self.values.append("".join(self._text))
        elif tag == "array":
            self._close(list)
        elif tag == "struct":
            self._close(lambda items: dict(zip(items[::2], items[1::2], strict=True)))
        self._is_untyped = False

    def _close(self, build: Callable[[list[Any]], Any]) -> None:
        begin = self._begins.pop()
        self.values[begin:] = [build(self.values[begin:])]
