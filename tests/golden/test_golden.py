"""What users and other versions rely on is as it was: it may only grow.

The files in ``files/`` are of the version that is meant by "as it was"; see
``__main__.py`` for how they are made.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from swarm_worker.shared.report import BEGIN, END, FRAME_MIN_BYTES
from tests.golden.comparing import is_within, load, lost, lost_words
from tests.golden.readings import READINGS, read
from tests.golden.samples import SAMPLES

_COMPARED_OTHERWISE = {"helps", "lines"}


@pytest.mark.parametrize("name", sorted(SAMPLES.keys() - _COMPARED_OTHERWISE))
def test_what_was_written_is_written_still(name: str) -> None:
    """Each field of files, frames and answers, each metric, each key and default."""
    now = json.loads(json.dumps(SAMPLES[name]()))

    assert list(lost(load(name), now)) == []


@pytest.mark.parametrize("reading", READINGS)
def test_what_was_read_is_read_alike(reading: str) -> None:
    """Also what json takes and a stricter parser would not."""
    for name, case in load("readings")[reading].items():
        now = read(reading, case["given"])

        assert list(lost(case["read"], now, at=name)) == []


def test_each_line_of_the_log_keeps_its_name_and_fields() -> None:
    """Filters and alerts match on them; new fields may stand between the old."""
    now = SAMPLES["lines"]()

    for event, golden in load("lines").items():
        for fields in golden:
            assert any(is_within(fields, each) for each in now.get(event, ())), event


def test_help_only_grows() -> None:
    """Each option, command and paragraph of each help is there still."""
    now = SAMPLES["helps"]()

    for program, golden in load("helps").items():
        assert lost_words(golden, now[program]) == [], program


def test_a_frame_is_what_supervisord_takes() -> None:
    """One line of ASCII between tokens, not too short."""
    for frame in SAMPLES["frames"]().values():
        assert frame.startswith(f"\n{BEGIN}{{")
        assert frame.endswith(f"{END}\n")
        assert frame.isascii()
        assert len(frame) >= FRAME_MIN_BYTES


def test_records_stand_on_lines_of_their_own() -> None:
    """A journal can be read with ``cat`` and ``tail``."""
    _, *lines, _ = SAMPLES["journal"]()["journal.json"].splitlines()

    records = [json.loads(line.removesuffix(",")) for line in lines]
    assert [record["node"] for record in records] == ["w:w_00", "w:w_01"]


@pytest.mark.parametrize(
    ("golden", "now", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"b": 1}, ["/a: is gone"]),
        ({"a": [1, 2]}, {"a": [1]}, ["/a: expected 2 items, got 1"]),
        ({"a": '{"x":1}'}, {"a": '{"y":2,"x":1}'}, []),
        ({"a": '{"x":1}'}, {"a": '{"x":2}'}, ["/a/x: expected 1, got 2"]),
        (float("nan"), float("nan"), []),
    ],
)
def test_what_is_lost_is_found(golden: Any, now: Any, found: list[str]) -> None:
    """And what was added is not."""
    assert list(lost(golden, now)) == found


def test_what_a_help_lost_is_found() -> None:
    """However its lines are wrapped, and wherever a new flag stands."""
    golden = "usage: x [--a A] [--c]\n\noptions:\n  --a A    text of a,\n" + (
        " " * 22 + "in two lines\n  --c      text of c\n"
    )
    grown = golden.replace("[--c]", "[--b]\n  [--c]").replace(
        "text of c", "text of c, and"
    )

    assert lost_words(golden, grown) == []
    assert lost_words(golden, golden.replace("two", "three")) == [
        "--a A text of a, in two lines"
    ]
    assert lost_words(golden, golden.replace("[--a A] ", "")) == ["[--a", "A]"]


def test_a_field_that_is_gone_or_elsewhere_is_found() -> None:
    """The order is that of the text form."""
    assert is_within(["a", "c"], ["a", "b", "c"])
    assert not is_within(["a", "c"], ["a"])
    assert not is_within(["a", "c"], ["c", "a"])
