"""The event-listener protocol as a parser without I/O: bytes in, typed events out.

supervisord writes a header line and a payload; its ``len`` counts *characters*, taken
before the text is encoded (supervisor/process.py, EventListenerPool._eventEnvelope).
A reader that counts bytes loses its place with the first non-ASCII name.

Two kinds of fault are told apart. Where the frame is broken the place in the stream is
lost: `ProtocolError`, and only a fresh listener helps. A payload that makes no sense
inside a sound frame is an `Unknown` event: no program of this supervisord can stop the
listener by what it prints.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from swarm_event_listener.core.model.events import (
    GroupAdded,
    GroupRemoved,
    ProcessState,
    StateChanged,
    SupervisorChanged,
)

READY: Final = b"READY\n"
ACKNOWLEDGED: Final = b"RESULT 2\nOK"

HEADER_MAX_CHARS: Final = 4_096
PAYLOAD_MAX_CHARS: Final = 65_536  # of longer payloads the rest is dropped as it comes


class ProtocolError(Exception):
    """The stream is no sequence of events; the place in it is lost."""


# --- what is not for the core as it comes ---------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """A process wrote ``text`` between the tokens; cut at `PAYLOAD_MAX_CHARS`."""

    name: str
    pid: int
    text: str


@dataclass(frozen=True, slots=True)
class RemoteCommand:
    """Somebody called ``sendRemoteCommEvent``."""

    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event that says nothing to a swarm, or whose payload could not be read.

    A TICK says no more than that supervisord lives, as any event does.
    """

    event_name: str


Heard = (
    StateChanged
    | Communication
    | GroupAdded
    | GroupRemoved
    | SupervisorChanged
    | RemoteCommand
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event, and its number over the events meant for this listener."""

    pool_serial: int
    event: Heard


# No buffer of supervisord's holds so many: what jumps farther says nothing of a loss.
LOST_MAX: Final = 1_000_000


class Serials:
    """Which events are new, by their pool serials.

    When any listener dies while busy, supervisord repeats its event to all of equal
    priority, behind later ones (process.py, handle_rejected: "process in procs"
    compares priorities). So what is not above the last number is a repetition, unless
    that number was ahead of its time: a jump counts once its next number has come, and
    until then the events that it has jumped over are new, too.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self._before_jump: int | None = None

    def lost(self, pool_serial: int) -> int | None:
        """Take an event's number; return how many were lost before it.

        None for an event that is repeated.
        """
        last, before = self.last, self._before_jump
        if last is None:
            self.last = pool_serial
            return 0
        if pool_serial == last + 1:
            self._before_jump = None
        elif pool_serial > last:
            self._before_jump = last if before is None else before
        elif before is None or not before < pool_serial < last:
            return None
        else:
            last, self._before_jump = before, None
        self.last = pool_serial
        lost_count = pool_serial - last - 1
        return lost_count if lost_count <= LOST_MAX else 1


# --- frames ---------------------------------------------------------------------------

# Read from its end: the server's identifier and the pool's name may hold spaces.
_HEADER: Final = re.compile(
    r"ver:.* serial:[0-9]{1,19} pool:.* poolserial:(?P<pool_serial>[0-9]{1,19}) "
    r"eventname:(?P<name>\S+) len:(?P<length>[0-9]{1,9})"
)


class EventStream:
    """Cuts supervisord's stream into events. Memory is bounded whatever comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""  # decoded and not yet used
        self._header: re.Match[str] | None = None
        self._payload = ""
        self._missing = 0  # characters of the payload still to come

    def feed(self, data: bytes) -> list[Envelope]:
        """Take what was read; return the events that are complete with it.

        Raises:
            ProtocolError: The header is malformed or too long, or the bytes no UTF-8.
                The stream is of no use afterwards.
        """
        try:
            self._text += self._decoder.decode(data)
        except UnicodeDecodeError as error:
            raise ProtocolError(
                f"expected UTF-8, got {data[:40]!r} ({error})"
            ) from None
        envelopes = []
        while (envelope := self._next()) is not None:
            envelopes.append(envelope)
        return envelopes

    def _next(self) -> Envelope | None:
        header = self._header or self._begin()
        if header is None:
            return None
        self._take()
        if self._missing:
            return None
        self._header = None
        event = parse_event(header["name"], self._payload)
        return Envelope(int(header["pool_serial"]), event)

    def _begin(self) -> re.Match[str] | None:
        line, newline, rest = self._text.partition("\n")
        if len(line) > HEADER_MAX_CHARS:
            raise ProtocolError(
                f"expected an event header of at most {HEADER_MAX_CHARS} characters, "
                f"got {quoted(line)}"
            )
        if not newline:
            return None
        self._header = _HEADER.fullmatch(line)
        if self._header is None:
            raise ProtocolError(
                "expected an event header 'ver:… server:… serial:… pool:… poolserial:… "
                f"eventname:… len:…', got {quoted(line)}"
            )
        self._text = rest
        self._payload = ""
        self._missing = int(self._header["length"])
        return self._header

    def _take(self) -> None:
        piece = self._text[: self._missing]
        self._text = self._text[self._missing :]
        self._missing -= len(piece)
        self._payload += piece[: PAYLOAD_MAX_CHARS - len(self._payload)]


def quoted(text: str) -> str:
    """Quote a text for a message, cut and with its control characters escaped."""
    return ascii(text if len(text) <= 80 else text[:79] + "…")


# --- payloads -------------------------------------------------------------------------

# Names may hold spaces (supervisord checks them before it expands variables), so a
# payload is matched as a whole instead of being split at spaces and colons.
_STATE: Final = re.compile(
    r"processname:(?P<process>.+?) groupname:(?P<group>.+?) from_state:[A-Z]+"
    r"(?: tries:[0-9]+)?(?: expected:(?P<expected>[01]))?(?: pid:(?P<pid>[0-9]{1,19}))?"
)
_COMMUNICATION: Final = re.compile(
    r"processname:(?P<process>.+?) groupname:(?P<group>.+?) pid:(?P<pid>[0-9]{1,19})\n"
)
_GROUP: Final = re.compile(r"groupname:(.+?)\n?")
_REMOTE: Final = re.compile(r"type:([^\n]*)\n")


def parse_event(event_name: str, payload: str) -> Heard:
    """Read one payload. Never raises: what cannot be read is `Unknown`."""
    kind, _, detail = event_name.rpartition("_")
    event: Heard | None
    match kind:
        case "PROCESS_STATE":
            event = _state_changed(detail, payload)
        # Only stdout: what a node prints lands on its stderr, and must not be able to
        # pass for a report where somebody has that captured too.
        case "PROCESS_COMMUNICATION" if detail == "STDOUT":
            event = _communication(payload)
        case "PROCESS_GROUP":
            event = _group_changed(detail, payload)
        case "SUPERVISOR_STATE_CHANGE":
            event = SupervisorChanged(state=detail)
        case "REMOTE":
            event = _remote_command(payload)
        case _:
            event = None
    return event or Unknown(event_name)


def is_output(event: Heard) -> bool:
    """Whether an event is a piece of what a process prints, which we need not hear."""
    return isinstance(event, Unknown) and event.event_name.startswith("PROCESS_LOG")


def full_name(group: str, process: str) -> str | None:
    """Return ``group:process``; None where RPC would take that for something else.

    Source: supervisor/options.py, split_namespec: the first colon ends the group, and
    an empty process or ``*`` means all of them.
    """
    if not group or ":" in group or process in ("", "*"):
        return None
    return f"{group}:{process}"


def _state_changed(state: str, payload: str) -> Heard | None:
    # Names are short; the bound keeps the matching of nonsense short, too.
    match = _STATE.fullmatch(payload) if len(payload) <= HEADER_MAX_CHARS else None
    name = match and full_name(match["group"], match["process"])
    if not match or not name or state not in ProcessState.__members__:
        return None
    return StateChanged(
        name=name,
        state=ProcessState(state),
        pid=int(match["pid"] or 0) or None,
        expected=match["expected"] == "1" if state == "EXITED" else None,
    )


def _communication(payload: str) -> Heard | None:
    match = _COMMUNICATION.match(payload)
    name = match and full_name(match["group"], match["process"])
    if not match or not name:
        return None
    return Communication(name=name, pid=int(match["pid"]), text=payload[match.end() :])


def _group_changed(detail: str, payload: str) -> Heard | None:
    found = _GROUP.fullmatch(payload)
    if found is None:
        return None
    if detail == "ADDED":
        return GroupAdded(group=found[1])
    return GroupRemoved(group=found[1]) if detail == "REMOVED" else None


def _remote_command(payload: str) -> Heard | None:
    match = _REMOTE.match(payload)
    return RemoteCommand(match[1], payload[match.end() :]) if match else None
