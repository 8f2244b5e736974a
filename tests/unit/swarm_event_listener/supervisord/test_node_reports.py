"""Reports of nodes, and what only looks like them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.supervisord.node_reports import ReportError, decode
from swarm_worker.shared.report import BEGIN, END, ForeignReport, Report, State, encode

REPORT = Report(node=3, pid=4711, state=State.RUNNING, in_flight=("orders/0@17",))
LEAST = {"swarm": 1, "node": 0, "pid": 7, "state": "running"}


def fields(**changes: object) -> str:
    """Return the payload of `REPORT`, with other fields."""
    text = encode(REPORT).decode("ascii").partition(BEGIN)[2].partition(END)[0]
    return json.dumps(json.loads(text) | changes)


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(json.dumps)
    | st.dictionaries(
        st.sampled_from([*Report.__slots__, "swarm"]),
        st.none() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    ).map(lambda made: json.dumps({**LEAST, **made}))
)
def test_whatever_comes_is_decoded_or_refused(text: str) -> None:
    """`decode` of any text gives a report or raises `ReportError`, nothing else."""
    told = ""
    try:
        decode(text)
    except ReportError as error:
        told = str(error)
    assert len(told) < 1000
    assert told.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "1",
        "null",
        "{}",
        "[" * 1000,
        '{"swarm": true}',
        fields(swarm=True),
        '{"swarm": 1}',
        "x" * 2000,
        "Undecodable: b'caf\\xe9'",
        fields(state="dead"),
        fields(node=-1),
        fields(pid=True),
        fields(poll_age_ms="5"),
        fields(poll_age_ms=1.5),
        fields(lag=2**70),
        fields(in_flight="orders/0@1"),
        fields(in_flight=[1]),
        fields(at_ms=None).replace("null", "NaN", 1),
    ],
)
def test_what_is_no_report_is_refused(text: str) -> None:
    """Empty, deep, long, foreign and wrongly typed payloads are refused."""
    with pytest.raises(ReportError):
        decode(text)


def test_what_was_wrong_is_told_in_a_line_that_nothing_can_forge() -> None:
    """By the field, and what came is cut and escaped."""
    with pytest.raises(ReportError, match=r"\.lag` in '\{") as known:
        decode(fields(lag="7"))
    with pytest.raises(ReportError) as forged:
        decode(json.dumps({**LEAST, "state": "\x1b[2J" * 90}))

    assert len(str(known.value)) < 200
    assert len(str(forged.value)) < 400
    assert str(forged.value).isprintable()


@pytest.mark.parametrize("name", ["weather", "", "\0", "\ud800"])
def test_unknown_fields_are_ignored(name: str) -> None:
    """A newer node may say more, under whatever name."""
    assert decode(fields(**{name: "fine"})) == REPORT


def test_another_version_is_proof_of_life() -> None:
    """A report of another format version is told apart from garbage."""
    assert decode('{"swarm": 2, "node": "?"}') == ForeignReport(2)


def test_output_before_the_report_does_not_hide_it() -> None:
    """A BEGIN token in a program's output opens the capture early."""
    noise = f"some output {BEGIN} more of it"

    assert decode(noise + BEGIN + fields()) == REPORT


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("messages", 3.0, 3),
        ("lag", None, None),
        ("stalled", ["a/0", "a/1", "a/2", "a/3"], ("a/0", "a/1", "a/2")),
    ],
)
def test_what_other_writers_may_mean_is_read(
    field: str, value: object, read: object
) -> None:
    """A whole number as a float, and lists that are too long."""
    assert getattr(decode(json.dumps({**LEAST, field: value})), field) == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", 1.5),
        ("messages", True),
        ("awaits_id", 1),
        ("stalled", "a/0"),
        ("not_joined", None),
    ],
)
def test_what_nobody_can_mean_is_refused(field: str, value: object) -> None:
    """By the field's name."""
    with pytest.raises(ReportError, match=field):
        decode(json.dumps({**LEAST, field: value}))


def test_a_later_node_may_say_more_than_ours() -> None:
    """Frames of up to 3 500 bytes are read; ours are shorter, for older listeners."""
    long = fields(no_broker="x" * 3_000)

    told = decode(long)

    assert isinstance(told, Report)
    assert len(told.no_broker) == 3_000
    with pytest.raises(ReportError, match="at most 3500 bytes"):
        decode(fields(no_broker="x" * 3_500))


MESSAGE = {"at": "t/0@7", "error": "E()", "attempts": 2, "for_ms": 1}


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": -1}, {"for_ms": 2**63}, {"at": None}, {"error": 7}],
)
def test_a_failing_message_is_checked_like_the_rest(wrong: dict[str, object]) -> None:
    """And what it has beyond what we know is ignored."""
    told = decode(fields(failing=[MESSAGE | {"new": 1}] * 5, failing_count=5))
    assert isinstance(told, Report)
    assert [each.at for each in told.failing] == ["t/0@7"] * 3

    with pytest.raises(ReportError):
        decode(fields(failing=[MESSAGE | wrong]))
