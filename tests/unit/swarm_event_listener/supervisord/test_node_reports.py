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
