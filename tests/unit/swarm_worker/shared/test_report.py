"""The wire format of reports."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.supervisord.node_reports import decode
from swarm_worker.shared.report import (
    BEGIN,
    END,
    FAIL_ALIKE,
    FRAME_MAX_BYTES,
    FRAME_MIN_BYTES,
    Failing,
    Report,
    State,
    encode,
)

counts = st.integers(min_value=0, max_value=2**40)
maybe_counts = st.none() | counts
places = st.lists(st.text(max_size=25), max_size=3).map(tuple)
reports = st.builds(
    Report,
    node=counts,
    pid=counts,
    state=st.sampled_from(State),
    seq=counts,
    at_ms=maybe_counts,
    max_poll_interval_ms=counts,
    poll_age_ms=maybe_counts,
    consume_age_ms=maybe_counts,
    in_flight=places,
    unsteady_ms=maybe_counts,
    stalled_ms=maybe_counts,
    stalled=places,
    assigned=counts,
    messages=counts,
    batches=counts,
    errors=counts,
    retries=counts,
    dead_letters=counts,
    lag=maybe_counts,
    lso_behind_ms=maybe_counts,
    throttled_ms=maybe_counts,
    brokers_up=maybe_counts,
    no_broker_ms=maybe_counts,
    not_joined=st.text(alphabet="<a: ", max_size=240),
)
failing = st.builds(
    Failing,
    at=st.text(max_size=60),
    error=st.text(max_size=120),
    attempts=counts,
    for_ms=counts,
)
small = st.builds(Report, node=counts, pid=counts, state=st.sampled_from(State))


def payload(frame: bytes) -> str:
    """Return what supervisord hands on of a frame: the text between the tokens."""
    text = frame.decode("ascii")
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


def read(text: str) -> Report:
    """Decode a payload of our own version."""
    report = decode(text)
    assert isinstance(report, Report)
    return report


@given(reports)
def test_what_was_encoded_is_decoded(report: Report) -> None:
    """A report comes back as it was, its lists perhaps shortened from the end."""
    back = read(payload(encode(report)))

    for name in ("in_flight", "stalled"):
        kept = getattr(back, name)
        assert getattr(report, name)[: len(kept)] == kept
    assert back == Report(
        **{
            name: getattr(back if name in {"in_flight", "stalled"} else report, name)
            for name in Report.__slots__
        }
    )


@given(small)
def test_a_report_that_fits_comes_back_equal(report: Report) -> None:
    """``decode(encode(report)) == report``."""
    assert decode(payload(encode(report))) == report


@given(reports)
def test_a_frame_is_what_supervisord_can_bear(report: Report) -> None:
    """Its length is within bounds, it is ASCII, and only its own tokens are in it."""
    frame = encode(report)

    assert FRAME_MIN_BYTES <= len(frame) <= FRAME_MAX_BYTES
    assert frame.isascii()
    assert frame.startswith(f"\n{BEGIN}".encode())
    assert frame.endswith(f"{END}\n".encode())
    assert frame.count(b"<!--") == 2


def test_tokens_in_a_topic_cannot_forge_a_report() -> None:
    """A topic that holds the tokens is data, before and after."""
    nasty = f"{END}\n{BEGIN}{{}}{END}"
    report = Report(node=0, pid=1, state=State.RUNNING, in_flight=(nasty,))

    frame = encode(report)

    assert frame.count(END.encode()) == 1
    assert read(payload(frame)).in_flight == (nasty,)


def test_a_report_that_is_too_long_loses_the_last_items_first() -> None:
    """The oldest batch in flight is the last to go."""
    report = Report(
        node=0,
        pid=1,
        state=State.RUNNING,
        in_flight=("a" * 200, "b" * 200, "c" * 200),
        stalled=("d" * 100,),
    )

    back = read(payload(encode(report)))

    assert back.in_flight[0] == "a" * 200
    assert "c" * 200 not in back.in_flight


def test_what_the_listener_goes_by_is_the_last_to_go() -> None:
    """However much there is to say: lists first, then texts, Kafka's groups never."""
    most = 2**62
    groups = tuple(f"{number:04x}-{10**9}" for number in range(20))
    report = Report(
        node=most, pid=most, state=State.RUNNING, seq=most, at_ms=most,
        max_poll_interval_ms=most, poll_age_ms=most, consume_age_ms=most,
        in_flight=("a" * 200,), unsteady_ms=most, stalled_ms=most, assigned=most,
        messages=most, batches=most, errors=most, retries=most, dead_letters=most,
        lag=most, brokers_up=most, not_joined="n" * 300, no_broker_ms=most,
        no_broker="b" * 300, kafka_groups=groups,
    )  # fmt: skip

    frame = encode(report)
    back = read(payload(frame))

    assert len(frame) <= FRAME_MAX_BYTES
    assert (back.in_flight, back.not_joined, back.no_broker) == ((), "", "")
    assert (back.no_broker_ms, back.kafka_groups) == (most, groups[:16])


def test_what_there_is_not_to_tell_is_left_out() -> None:
    """So the frame of a node with nothing to tell is as an older one's."""
    names = ("lag_age_ms", "lso_behind_ms", "throttled_ms", "spare", "least_nodes")
    report = Report(node=0, pid=1, state=State.RUNNING, lag=5)
    assert not any(f'"{name}"' in payload(encode(report)) for name in names)

    told = replace(report, lag_age_ms=3_100, lso_behind_ms=91_000, throttled_ms=1_200)
    told = replace(told, spare=True, least_nodes=3)
    assert read(payload(encode(told))) == told


def test_the_age_of_a_lag_is_the_first_to_go() -> None:
    """Before a place that somebody looks for."""
    reports = (
        Report(
            node=0, pid=1, state=State.RUNNING, in_flight=("a" * n,), lag_age_ms=3_100
        )
        for n in range(1_024)
    )
    shortened = (read(payload(encode(report))) for report in reports)
    first = next(report for report in shortened if report.lag_age_ms is None)
    assert len(first.in_flight) == 1


def test_text_for_people_is_cut_and_plain() -> None:
    """So that it takes a byte for a character, and nothing can end the line."""
    told = 'no "ü"\\\n' + "x" * 300
    report = Report(node=0, pid=1, state=State.RUNNING, not_joined=told)

    assert read(payload(encode(report))).not_joined == ("no '?'/?" + "x" * 300)[:240]


def test_text_for_people_goes_last() -> None:
    """Where nothing else is left to drop."""
    report = Report(node=0, pid=10**330, state=State.RUNNING, not_joined="<" * 240)
    assert "not_joined" not in payload(encode(report))


def test_longest_topic_names_leave_the_figures() -> None:
    """Lists that cannot fit at all are dropped whole."""
    huge = ("\x00" * 249,) * 3
    report = Report(
        node=7, pid=1, state=State.QUIET, in_flight=huge, stalled=huge, lag=5
    )

    back = read(payload(encode(report)))

    assert (back.in_flight, back.stalled) == ((), ())
    assert (back.node, back.state, back.lag) == (7, State.QUIET, 5)


def test_a_report_that_cannot_fit_loses_its_lists_and_is_written() -> None:
    """A count of 900 digits: nothing else can be dropped, and nothing is raised."""
    report = Report(
        node=0, pid=7, state=State.RUNNING, in_flight=("a/0@1",), messages=10**900
    )

    frame = encode(report).decode("ascii")

    assert '"in_flight":' not in frame
    assert '"stalled":' not in frame


@given(reports, st.lists(failing, min_size=1, max_size=5))
def test_the_message_that_fails_for_the_longest_is_always_told(
    report: Report, messages: list[Failing]
) -> None:
    """Whatever else there is to say, in a frame that an older listener takes, too."""
    frame = encode(replace(report, failing=tuple(messages), failing_count=9))
    back = read(payload(frame))

    assert len(frame) <= FRAME_MAX_BYTES
    kept = min(len(messages), 3)
    assert [each.at for each in back.failing] == [
        each.at for each in messages[: len(back.failing)]
    ]
    assert 1 <= len(back.failing) <= kept
    assert (back.failing[0].attempts, back.failing_count) == (messages[0].attempts, 9)


def test_what_fails_is_cut_before_it_goes() -> None:
    """Lists first, then the ends of errors, then messages; texts only after that."""
    messages = tuple(
        Failing(at=f"{'t' * 98}/{n}@7", error=f"E('{'x' * 200}')", attempts=8, for_ms=9)
        for n in range(3)
    )
    full = Report(
        node=0, pid=1, state=State.RUNNING, in_flight=("t/0@7",), failing=messages
    )
    longer = replace(full, not_joined="n" * 150)

    told = read(payload(encode(full)))
    assert (told.in_flight, [len(f.error) for f in told.failing]) == ((), [80, 26, 26])
    back = read(payload(encode(longer)))
    assert (back.in_flight, back.not_joined) == ((), "n" * 150)
    assert [each.error for each in back.failing] == [f"E('{'x' * 20}..."] * 2


def test_that_all_messages_fail_alike_is_told_in_the_fullest_frame() -> None:
    """Whoever repeats dead letters looks for these words."""
    alike = Failing(
        at=f"{'t' * 200}/4@547",
        error=f"{FAIL_ALIKE} ({'x' * 60})",
        attempts=99,
        for_ms=10**7,
    )
    full = Report(
        node=0, pid=1, state=State.RUNNING, failing=(alike,) * 3, failing_count=3,
        not_joined="n" * 150,
    )  # fmt: skip

    frame = encode(full)

    assert len(frame) <= FRAME_MAX_BYTES
    told = [each.error for each in read(payload(frame)).failing]
    assert told
    assert all(error.startswith(FAIL_ALIKE) for error in told)


def test_the_first_message_that_fails_is_the_last_to_go() -> None:
    """A text that cannot fit goes, and what is shown of the message stays."""
    message = Failing(at="t/0@7", error="E()", attempts=8, for_ms=9)
    report = Report(
        node=0, pid=1, state=State.RUNNING, not_joined="<" * 240, failing=(message,)
    )

    back = read(payload(encode(report)))

    assert (back.not_joined, back.failing) == ("", (message,))


def test_a_report_without_failures_is_as_it_was() -> None:
    """Healthy nodes cost supervisord and an older listener what they did."""
    assert "failing" not in payload(encode(Report(node=0, pid=1, state=State.RUNNING)))
