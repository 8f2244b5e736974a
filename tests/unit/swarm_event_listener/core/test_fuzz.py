"""Spoiled envelopes and reports by the thousand: no error, no action, bounded memory.

A million of them::

    from tests.unit.swarm_event_listener.core.test_fuzz import fuzz; fuzz(7, 10**6)
"""

from __future__ import annotations

from random import Random
from typing import Final

from swarm_event_listener.supervisord.node_reports import ReportError
from swarm_event_listener.supervisord.node_reports import decode as decode_report
from swarm_event_listener.supervisord.operator_commands import OrderError
from swarm_event_listener.supervisord.operator_commands import decode as decode_order
from swarm_event_listener.supervisord.protocol import (
    HEADER_MAX_CHARS,
    PAYLOAD_MAX_CHARS,
    Communication,
    EventStream,
    Heard,
    ProtocolError,
    RemoteCommand,
)
from swarm_worker.shared.report import BEGIN, END, Report, State, encode

_REPORT: Final = (
    encode(Report(node=1, pid=7, state=State.RUNNING, in_flight=("a/0@1",)))
    .decode("ascii")
    .partition(BEGIN)[2]
    .partition(END)[0]
)
_NAMES: Final = "processname:w_00 groupname:w"
_EVENTS: Final = (
    ("PROCESS_COMMUNICATION_STDOUT", f"{_NAMES} pid:7\n{_REPORT}"),
    ("PROCESS_STATE_EXITED", f"{_NAMES} from_state:RUNNING expected:0 pid:7"),
    ("PROCESS_STATE_STARTING", f"{_NAMES} from_state:STOPPED tries:0"),
    ("REMOTE_COMMUNICATION", 'type:swarm.hold\n["w:w_00"]'),
    ("PROCESS_GROUP_ADDED", "groupname:w\n"),
    ("TICK_5", "when:1"),
)
_PIECES: Final = (
    *("", " ", "\n", ":", "\x00", "é", "😀", "{", "[" * 2_000, "]", '"', ",", "-1"),
    *("9" * 400, "1e999", "NaN", "null", "true", "\\ud800", "len:", BEGIN, END, "pid:"),
)


def fuzz(seed: int, count: int) -> int:
    """Feed ``count`` spoiled events; give how many streams had to be given up.

    Raises:
        AssertionError: Something was kept that is beyond the bounds.
    """
    random = Random(seed)
    stream, given_up = EventStream(), 0
    for serial in range(count):
        data = _spoiled_frame(random, serial)
        try:
            envelopes = stream.feed(data)
        except ProtocolError:
            stream, given_up = EventStream(), given_up + 1
            continue
        for envelope in envelopes:
            _read(envelope.event)
        kept_chars = len(stream._text) + len(stream._payload)
        assert kept_chars <= HEADER_MAX_CHARS + PAYLOAD_MAX_CHARS
    return given_up


def _read(event: Heard) -> None:
    try:
        if isinstance(event, Communication):
            decode_report(event.text)
        elif isinstance(event, RemoteCommand):
            decode_order(event)
    except (ReportError, OrderError):
        return


def _spoiled_frame(random: Random, serial: int) -> bytes:
    event_name, payload = random.choice(_EVENTS)
    for _ in range(random.randrange(4)):
        payload = _spoiled(random, payload)
    length = len(payload) if random.random() < 0.99 else random.randrange(2_000)
    header = (
        f"ver:3.0 server:s serial:{serial} pool:p poolserial:{serial} "
        f"eventname:{event_name} len:{length}\n"
    )
    if random.random() < 0.02:
        header = _spoiled(random, header)
    data = (header + payload).encode("utf-8")
    if random.random() < 0.02:
        data = data[: random.randrange(len(data))] + random.randbytes(3)
    return data


def _spoiled(random: Random, text: str) -> str:
    """Cut a piece out of a text and put another in its place."""
    begin = random.randrange(len(text) + 1)
    end = min(len(text), begin + random.choice((0, 0, 1, 5, 200)))
    return text[:begin] + random.choice(_PIECES) + text[end:]


def test_whatever_comes_nothing_is_raised_and_nothing_kept() -> None:
    """Sound and spoiled events of every kind, in one stream after the other."""
    assert fuzz(7, 8_000) > 8
