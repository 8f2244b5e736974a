"""The event-listener protocol: every event of supervisord, every kind of nonsense."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.events import RemoteCommunicationEvent
from supervisor.process import EventListenerPool

from swarm_event_listener.core.model.events import (
    GroupAdded,
    GroupRemoved,
    ProcessState,
    StateChanged,
    SupervisorChanged,
)
from swarm_event_listener.supervisord.protocol import (
    HEADER_MAX_CHARS,
    PAYLOAD_MAX_CHARS,
    Communication,
    Envelope,
    EventStream,
    Heard,
    ProtocolError,
    RemoteCommand,
    Serials,
    Unknown,
    full_name,
    is_output,
    parse_event,
)


def frame(
    event_name: str, payload: str, *, serial: int = 21, server: str = "supervisor"
) -> bytes:
    """Return an event as supervisord writes it."""
    header = (
        f"ver:3.0 server:{server} serial:{serial} pool:swarm poolserial:{serial + 1} "
        f"eventname:{event_name} len:{len(payload)}\n"
    )
    return (header + payload).encode()


def heard(event_name: str, payload: str) -> Heard:
    """Return what a new stream makes of one event."""
    (envelope,) = EventStream().feed(frame(event_name, payload))
    return envelope.event


# --- payloads, as supervisor 4.3 writes them ------------------------------------------


@pytest.mark.parametrize(
    ("state", "rest", "pid", "expected"),
    [
        ("STARTING", "from_state:STOPPED tries:0", None, None),
        ("BACKOFF", "from_state:STARTING tries:1", None, None),
        ("RUNNING", "from_state:STARTING pid:4711", 4711, None),
        ("STOPPING", "from_state:RUNNING pid:4711", 4711, None),
        ("STOPPED", "from_state:STOPPING pid:4711", 4711, None),
        ("STOPPED", "from_state:STOPPING pid:0", None, None),
        ("EXITED", "from_state:RUNNING expected:0 pid:4711", 4711, False),
        ("EXITED", "from_state:RUNNING expected:1 pid:4711", 4711, True),
        ("FATAL", "from_state:BACKOFF", None, None),
        ("UNKNOWN", "from_state:STOPPING", None, None),
    ],
)
def test_each_process_state_is_read(
    state: str,
    rest: str,
    pid: int | None,
    expected: bool | None,  # noqa: FBT001 - a column of the table
) -> None:
    """Names, pid and expectedness are read where supervisord gives them."""
    payload = f"processname:w_01 groupname:w {rest}"

    assert heard(f"PROCESS_STATE_{state}", payload) == StateChanged(
        name="w:w_01", state=ProcessState(state), pid=pid, expected=expected
    )


def test_a_report_is_delivered_whole() -> None:
    """Everything after the first line is the node's, line breaks and colons too."""
    payload = 'processname:w_01 groupname:w pid:7\n{"a": 1}\npid:8\n'

    assert heard("PROCESS_COMMUNICATION_STDOUT", payload) == Communication(
        name="w:w_01", pid=7, text='{"a": 1}\npid:8\n'
    )


def test_what_a_node_prints_on_stderr_is_no_report() -> None:
    """Prints land on stderr: even captured there they cannot pass for a report."""
    payload = "processname:w_01 groupname:w pid:7\n{}"

    assert heard("PROCESS_COMMUNICATION_STDERR", payload) == Unknown(
        "PROCESS_COMMUNICATION_STDERR"
    )


@pytest.mark.parametrize(
    ("event_name", "payload", "event"),
    [
        ("TICK_5", "when:1201063880", Unknown("TICK_5")),
        ("TICK_60", "when:1201063860", Unknown("TICK_60")),
        ("PROCESS_GROUP_ADDED", "groupname:cat\n", GroupAdded(group="cat")),
        ("PROCESS_GROUP_REMOVED", "groupname:a b\n", GroupRemoved(group="a b")),
        ("PROCESS_GROUP_ADDED", "cat", Unknown("PROCESS_GROUP_ADDED")),
        ("SUPERVISOR_STATE_CHANGE_RUNNING", "", SupervisorChanged(state="RUNNING")),
        ("SUPERVISOR_STATE_CHANGE_STOPPING", "", SupervisorChanged(state="STOPPING")),
        ("REMOTE_COMMUNICATION", "type:t\na\nb", RemoteCommand("t", "a\nb")),
        ("REMOTE_COMMUNICATION", "type:\n", RemoteCommand("", "")),
        ("PROCESS_LOG_STDOUT", "processname:a", Unknown("PROCESS_LOG_STDOUT")),
        ("SOMETHING_NEW", "x", Unknown("SOMETHING_NEW")),
        ("PROCESS_STATE_NEW", "x", Unknown("PROCESS_STATE_NEW")),
    ],
)
def test_each_other_event_is_read(event_name: str, payload: str, event: Heard) -> None:
    """Ticks, groups, supervisord's own state, commands; the rest is unknown."""
    assert heard(event_name, payload) == event


@pytest.mark.parametrize("process", ["a b:c", "x groupname", "ö€😀", "a.b-c_1"])
def test_odd_names_are_read_as_they_are(process: str) -> None:
    """supervisord checks names before it expands them, so they may hold anything."""
    payload = f"processname:{process} groupname:w from_state:RUNNING pid:7"

    event = heard("PROCESS_STATE_STOPPING", payload)

    assert isinstance(event, StateChanged)
    assert event.name == f"w:{process}"


@pytest.mark.parametrize(
    ("group", "process"), [("w", "*"), ("w", ""), ("", "w"), ("a:b", "c")]
)
def test_names_that_mean_something_else_to_rpc_are_not_used(
    group: str, process: str
) -> None:
    """A process called ``*`` must never become a stop of its whole group."""
    payload = f"processname:{process} groupname:{group} from_state:RUNNING pid:7"

    assert full_name(group, process) is None
    assert heard("PROCESS_STATE_STOPPING", payload) == Unknown("PROCESS_STATE_STOPPING")


# --- frames ---------------------------------------------------------------------------


def test_the_real_supervisord_agrees_on_the_frame() -> None:
    """The envelope that supervisor's own code builds is read back."""
    pool = EventListenerPool.__new__(EventListenerPool)
    pool.config = SimpleNamespace(
        name="swarm", options=SimpleNamespace(identifier="super visor")
    )
    text = pool._eventEnvelope(  # type: ignore[no-untyped-call]
        RemoteCommunicationEvent, 5, 7, "type:1€\nx"
    )

    (envelope,) = EventStream().feed(text.encode())

    assert envelope == Envelope(7, RemoteCommand("1€", "x"))


@given(st.data())
def test_however_the_bytes_arrive_the_events_are_the_same(data: st.DataObject) -> None:
    """Cut anywhere, also inside a character, the stream yields the same events."""
    texts = data.draw(st.lists(st.text(max_size=40), min_size=1, max_size=5))
    payloads = [f"processname:ä groupname:€ pid:7\n{text}" for text in texts]
    frames = [
        frame("PROCESS_COMMUNICATION_STDOUT", payload, serial=serial)
        for serial, payload in enumerate(payloads)
    ]
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = EventStream()

    pieces = [
        stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]
    envelopes = [envelope for piece in pieces for envelope in reader.feed(piece)]

    assert [e.event for e in envelopes] == [
        Communication(name="€:ä", pid=7, text=text) for text in texts
    ]
    assert [e.pool_serial for e in envelopes] == [*range(1, len(texts) + 1)]


def test_length_counts_characters() -> None:
    """supervisord counts characters, not bytes: the next event is still found."""
    first = frame("REMOTE_COMMUNICATION", "type:café€😀\nx")

    envelopes = EventStream().feed(first + frame("TICK_5", "when:1"))

    assert [e.event for e in envelopes] == [
        RemoteCommand("café€😀", "x"),
        Unknown("TICK_5"),
    ]


@pytest.mark.parametrize("server", ["a b", "x serial:9 pool:p", "len:3"])
def test_a_server_name_with_spaces_does_not_confuse(server: str) -> None:
    """supervisord accepts ``identifier=a b``; numbers are read from the end."""
    (envelope,) = EventStream().feed(frame("TICK_5", "when:1", serial=4, server=server))

    assert envelope.pool_serial == 5


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"hello\n",
        b"ver:3.0 server:s serial:1 pool:p poolserial:1 eventname:TICK_5\n",
        b"ver:3.0 server:s serial:1 pool:p poolserial:1 eventname:TICK_5 len:-1\n",
        b"ver:3.0 server:s serial:x pool:p poolserial:1 eventname:TICK_5 len:1\n",
        "ver:3.0 server:s serial:1 pool:p poolserial:1 eventname:T len:\u0661\n".encode(
            "utf-8"
        ),
        b"ver:3.0 server:s serial:1 pool:p poolserial:1 eventname:T len:9999999999\n",
        b"\xff\xfe",
        b"x" * (HEADER_MAX_CHARS + 1),
    ],
)
def test_a_broken_frame_is_a_protocol_error(data: bytes) -> None:
    """Where the place in the stream is lost only a fresh listener helps."""
    with pytest.raises(ProtocolError):
        EventStream().feed(data)


def test_a_long_payload_is_cut_and_the_stream_goes_on() -> None:
    """Another program's megabyte costs no memory and loses nothing that follows."""
    payload = "processname:a groupname:b pid:7\n" + "x" * (3 * PAYLOAD_MAX_CHARS)
    stream = EventStream()
    data = frame("PROCESS_COMMUNICATION_STDOUT", payload) + frame("TICK_5", "when:1")

    envelopes = []
    longest = 0
    for begin in range(0, len(data), 1000):
        envelopes += stream.feed(data[begin : begin + 1000])
        longest = max(longest, len(stream._text) + len(stream._payload))

    long, beat = (e.event for e in envelopes)
    assert isinstance(long, Communication)
    assert len(long.text) < PAYLOAD_MAX_CHARS
    assert beat == Unknown("TICK_5")
    assert longest <= PAYLOAD_MAX_CHARS + 2000


@given(st.binary(max_size=300))
def test_any_bytes_give_events_or_a_protocol_error(data: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    try:
        EventStream().feed(data)
    except ProtocolError:
        return


_EVENT_NAMES = st.sampled_from(
    ["PROCESS_STATE_RUNNING", "PROCESS_COMMUNICATION_STDOUT", "TICK_5"]
) | st.text(max_size=30)


@given(_EVENT_NAMES, st.text(max_size=200))
def test_any_payload_gives_an_event(event_name: str, payload: str) -> None:
    """A payload that makes no sense is an unknown event, never an error."""
    assert isinstance(parse_event(event_name, payload), Heard)


def test_nonsense_is_read_in_linear_time() -> None:
    """A long payload of repeated keys is turned down before it is matched."""
    payload = "processname:" + " groupname:" * 5_000

    assert parse_event("PROCESS_STATE_RUNNING", payload) == Unknown(
        "PROCESS_STATE_RUNNING"
    )


# --- serials --------------------------------------------------------------------------


def taken(*pool_serials: int) -> list[int | None]:
    """Return what each number comes to."""
    serials = Serials()
    return [serials.lost(pool_serial) for pool_serial in pool_serials]


@pytest.mark.parametrize(
    ("came", "lost"),
    [
        ((7, 8, 9), [0, 0, 0]),
        ((7, 9, 10), [0, 1, 0]),
        ((7, 8, 7, 9), [0, 0, None, 0]),  # repeated
        ((7, 8, 8), [0, 0, None]),
        ((7, 10, 12, 13, 11), [0, 2, 1, 0, None]),
    ],
)
def test_what_is_not_above_the_last_is_repeated(
    came: tuple[int, ...], lost: list[int | None]
) -> None:
    """And what is skipped is lost."""
    assert taken(*came) == lost


@pytest.mark.parametrize("forged", [10, 50, 5_000, 10**6, 10**18])
@pytest.mark.parametrize("repeated", [(), (7,), (7, 7)])
def test_a_forged_number_does_not_make_the_real_ones_old(
    forged: int, repeated: tuple[int, ...]
) -> None:
    """Near or far; a repetition beside it is still none."""
    real = [8, 9, 10, 11, 12]

    told = taken(6, 7, forged, *repeated, *real)

    assert told[-len(real) :] == [0] * len(real)
    assert told[3 : 3 + len(repeated)] == [None] * len(repeated)


def test_a_jump_that_goes_on_is_a_loss() -> None:
    """However far; what came before it is old by then."""
    told = taken(7, 5_000_000, 5_000_001, 8)

    assert told == [0, 1, 0, None]


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("PROCESS_LOG_STDOUT", True),
        ("PROCESS_LOG_STDERR", True),
        ("PROCESS_COMMUNICATION_STDERR", False),
        ("PROCESS_STATE_NEW", False),
        ("TICK_5", False),
    ],
)
def test_what_processes_print_is_told_from_other_events(
    name: str, *, is_one: bool
) -> None:
    """They may fill the listener's buffer, and it needs none of them."""
    assert is_output(parse_event(name, "x")) is is_one
