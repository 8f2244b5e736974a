"""Readers of single settings."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.shared import parsers as values
from swarm_worker.shared.parsers import Reader

READERS: dict[str, Reader] = {
    "duration_ms": values.duration_ms,
    "memory_mb": values.memory_mb,
    "count": values.count(1),
    "flag": values.flag,
    "text": values.text,
    "choice": values.choice("rss", "pss"),
    "texts": values.texts,
    "table": values.table,
    "statuses": values.statuses,
    "address": values.address,
    "rule": values.rule(values.duration_ms),
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(READERS)), anything)
def test_a_reader_gives_a_value_or_raises_value_error(name: str, value: object) -> None:
    """Whatever a file says, nothing but ValueError comes out of a reader."""
    with suppress(ValueError):
        READERS[name](value)


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (0, 0),
        (60_000, 60_000),
        ("250", 250),
        ("90s", 90_000),
        ("1.5s", 1_500),
        ("5min", 300_000),
        ("2 h", 7_200_000),
        ("10ms", 10),
        ("5m", 300_000),
        ("0.5d", 43_200_000),
    ],
)
def test_durations(written: object, ms: int) -> None:
    """Whole milliseconds, or a text with a unit."""
    assert values.duration_ms(written) == ms


@pytest.mark.parametrize("written", [-1, 1.5, True, "5w", "", "s", "-5s", "2.5", None])
def test_what_is_no_duration(written: object) -> None:
    """Negative, fractional and unknown units are refused, with an example."""
    with pytest.raises(ValueError, match="90s"):
        values.duration_ms(written)


@pytest.mark.parametrize(
    ("written", "mb"), [(1, 1), (2048, 2048), ("2GB", 2048), ("512MB", 512)]
)
def test_memory(written: object, mb: int) -> None:
    """Whole MB, or a text with a unit."""
    assert values.memory_mb(written) == mb


@pytest.mark.parametrize("written", [0, "0.2MB", -5, "2TB", True])
def test_what_is_no_memory(written: object) -> None:
    """At least 1 MB, in a known unit."""
    with pytest.raises(ValueError, match="expected"):
        values.memory_mb(written)


def test_false_turns_a_rule_off() -> None:
    """``false`` is None, and only it."""
    read = values.rule(values.duration_ms)

    assert read(False) is None  # noqa: FBT003 - the value that is tried
    assert read(0) == 0
    with pytest.raises(ValueError, match="expected"):
        read(True)  # noqa: FBT003 - the value that is tried


def test_texts_are_a_list_or_stand_between_commas() -> None:
    """A flag's ``A,B`` is the file's ``["A", "B"]``."""
    assert values.texts("a, b") == values.texts(["a", "b"]) == ("a", "b")
    for empty in ("", "a,", ["a", " "]):
        with pytest.raises(ValueError, match="empty"):
            values.texts(empty)


def test_statuses_are_the_known_ones() -> None:
    """Only statuses that a rule has can be left to a dry run."""
    assert values.statuses([3, -1]) == (3, -1)
    for wrong in ([5], [True], 3, "3", [0]):
        with pytest.raises(ValueError, match="statuses"):
            values.statuses(wrong)


def test_addresses() -> None:
    """HOST:PORT, with an IPv6 host in brackets."""
    assert values.address("127.0.0.1:9464") == ("127.0.0.1", 9464)
    assert values.address("[::1]:80") == ("::1", 80)
    for wrong in ("9464", "localhost:", "localhost:99999", "a b:1", None):
        with pytest.raises(ValueError, match="HOST:PORT"):
            values.address(wrong)


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (values.count(1), 0),
        (values.count(1), True),
        (values.flag, "true"),
        (values.text, " "),
        (values.choice("rss", "pss"), "vms"),
        (values.texts, 7),
        (values.texts, ["a", " "]),
        (values.table, []),
    ],
)
def test_a_value_of_another_kind_is_refused(reader: Reader, value: object) -> None:
    """Saying what was expected."""
    with pytest.raises(ValueError, match="expected"):
        reader(value)


def test_what_environments_and_files_write_is_read() -> None:
    """Digits, a list with commas, one of the words."""
    assert values.count(1)("12") == 12
    assert values.flag(value=False) is False
    assert values.text("a") == "a"
    assert values.choice("rss", "pss")("pss") == "pss"
    assert values.texts("a, b") == values.texts(["a", " b"]) == ("a", "b")
    assert values.table({"a": 1}) == {"a": 1}
