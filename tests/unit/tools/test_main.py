"""The runner of all tests: what it makes of the files that pytest writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.__main__ import PARTS, judge
from tests.results import Results, read, summary, together, with_second_try
from tests.tools import excuse_of

ROOT = Path(__file__).parents[3]

FILE = """\
<testsuites><testsuite>
<testcase classname="tests.kafka.test_a" name="passes"/>
<testcase classname="tests.kafka.test_a" name="fails"><failure message="x"/></testcase>
<testcase classname="tests.kafka.test_a" name="fails"><error message="x"/></testcase>
<testcase classname="tests.kafka.test_a" name="ends badly"><error/></testcase>
<testcase classname="tests.kafka.test_a" name="is left out">
<skipped type="pytest.skip" message="no\njava">x</skipped></testcase>
</testsuite></testsuites>
"""


def test_each_test_counts_once_as_the_worst_that_is_said_of_it(tmp_path: Path) -> None:
    """One that fails and cannot be torn down is one failure, not two."""
    file = tmp_path / "a.xml"
    file.write_text(FILE, "utf-8")

    assert read(file) == Results(
        passed=frozenset({"tests/kafka/test_a.py::passes"}),
        failed=frozenset(
            {"tests/kafka/test_a.py::fails", "tests/kafka/test_a.py::ends badly"}
        ),
        skipped={"tests/kafka/test_a.py::is left out": "no java"},
    )


@pytest.mark.parametrize("text", [None, "", FILE[:200]])
def test_without_a_whole_file_nothing_is_known(
    tmp_path: Path, text: str | None
) -> None:
    """Of a process that was killed, or that a test has ended."""
    file = tmp_path / "a.xml"
    if text is not None:
        file.write_text(text, "utf-8")

    assert read(file) is None


PASSED = Results(passed=frozenset("ab"))
FAILED = Results(passed=frozenset("a"), failed=frozenset("b"))


@pytest.mark.parametrize(
    ("told", "exit_code", "is_broken"),
    [
        (PASSED, 0, False),
        (FAILED, 1, False),
        (Results(skipped={"a": "no java"}), 0, False),
        (None, 0, True),  # a test called os._exit(0)
        (None, 1, True),  # pytest-timeout did, by its thread
        (None, -9, True),
        (PASSED, 1, True),
        (PASSED, 2, True),
        (PASSED, 3, True),
        (FAILED, 0, True),
        (FAILED, 2, True),  # interrupted, or not all could be collected
        (Results(), 5, True),
        (Results(), 0, True),
    ],
)
def test_a_part_is_broken_where_its_end_does_not_suit_its_tests(
    told: Results | None, exit_code: int, *, is_broken: bool
) -> None:
    """Whatever it told: it may have had more tests."""
    judged = judge("part", exit_code, told)

    assert bool(judged.broken) is is_broken
    assert judged.is_success is (exit_code == 0 and not is_broken)


def test_a_second_try_is_for_what_failed_alone() -> None:
    """What fails again, is skipped then, or has gone, has failed."""
    first = Results(passed=frozenset("a"), failed=frozenset("bcde"))
    second = Results(
        passed=frozenset("bx"), failed=frozenset("c"), skipped={"d": "not now"}
    )

    assert with_second_try(first, second) == Results(
        passed=frozenset("ab"), failed=frozenset("cde"), second=frozenset("b")
    )
    assert not with_second_try(first, Results(broken=("part: killed",))).is_success


def test_the_last_line_says_what_the_counts_do_not() -> None:
    """The counts stand alone on the line before it, as build servers want them."""
    part = Results(
        passed=frozenset({"a", "t/b.py::c"}),
        failed=frozenset("d"),
        skipped={"e": "no java", "f": "no promtool", "g": "no java"},
        second=frozenset({"t/b.py::c"}),
    )
    crashed = judge("kafka", -9, None)

    assert summary(together([part, crashed])) == (
        "2 passed, 2 failed, 3 skipped\n"
        "PASSED ONLY IN A SECOND TRY: 1 (t/b.py::c); "
        "NOT RUN: 3 (1 because no promtool, 2 because no java); "
        "BROKEN: 1 (kafka: no results, exit code -9)\n"
    )
    assert summary(PASSED) == (
        "2 passed, 0 failed, 0 skipped\nPASSED ONLY IN A SECOND TRY: 0; NOT RUN: 0\n"
    )


def test_each_module_of_tests_is_in_one_part() -> None:
    """One in no part would never be run."""
    parts: Counter[str] = Counter()
    for arguments in PARTS.values():
        left_out = {part.removeprefix("--ignore=") for part in arguments}
        left_out -= set(arguments)
        for path in set(arguments) - {f"--ignore={path}" for path in left_out}:
            found = [ROOT / path] if path.endswith(".py") else modules(ROOT / path)
            parts.update({str(file.relative_to(ROOT)) for file in found} - left_out)

    assert parts == {str(file.relative_to(ROOT)): 1 for file in modules(ROOT / "tests")}


def modules(folder: Path) -> list[Path]:
    """Return the modules in which pytest looks for tests."""
    return [*folder.rglob("test_*.py"), *folder.rglob("*_test.py")]


@pytest.mark.parametrize(
    ("environ", "excuse"),
    [
        ({}, ""),
        ({"CI": "true"}, None),
        ({"CI": "true", "TOOLS_NOT_INSTALLED": ""}, None),
        ({"CI": "true", "TOOLS_NOT_INSTALLED": "no apt-get"}, "no apt-get"),
        ({"TOOLS_NOT_INSTALLED": "no apt-get"}, "no apt-get"),
    ],
)
def test_a_tool_must_be_there_in_ci_unless_it_cannot_be_had(
    environ: dict[str, str], excuse: str | None
) -> None:
    """A required job cannot pass by leaving tests out, but for a reason."""
    assert excuse_of(environ) == excuse
