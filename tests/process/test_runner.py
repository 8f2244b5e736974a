"""The runner of all tests, on parts that are made for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.__main__ import ONCE, run_all

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert False\n"
FAILS_ONCE = """
from pathlib import Path
def test_fails_once():
    tries = Path(__file__).with_suffix(".tries")
    is_first = not tries.exists()
    tries.touch()
    assert not is_first
"""
SKIPS = """
import pytest
def test_skips(): pytest.skip("no java")
"""
ENDS = "import os\ndef test_ends(): os._exit({})\n"
UNFIT = "import nothing_of_this_name\n"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Run parts of one module each; return the exit code and the last two lines."""
    monkeypatch.chdir(tmp_path)

    def run(**modules: str) -> tuple[int, str, str]:
        for name, text in modules.items():
            (tmp_path / f"test_{name}.py").write_text(text, "utf-8")
        code = run_all({name: [f"test_{name}.py"] for name in modules})
        *_, counts, rest = capfd.readouterr().out.splitlines()
        return code, counts, rest

    return run


def test_what_passes_only_in_a_second_try_is_counted_and_named(run: Run) -> None:
    """The run is a success; one such test does not vouch for the next."""
    code, counts, rest = run(kafka=PASSES + FAILS_ONCE, process=PASSES)

    assert (code, counts) == (0, "3 passed, 0 failed, 0 skipped")
    assert rest.startswith(
        "PASSED ONLY IN A SECOND TRY: 1 (test_kafka.py::test_fails_once); NOT RUN: 0"
    )

    code, counts, rest = run(chaos=PASSES + FAILS_ONCE + FAILS)

    assert (code, counts) == (1, "2 passed, 1 failed, 0 skipped")
    assert rest.startswith("PASSED ONLY IN A SECOND TRY: 1 (")


def test_unit_tests_have_no_second_try(run: Run) -> None:
    """What fails there once is a failure."""
    assert {"unit"} == ONCE
    code, counts, rest = run(unit=PASSES + FAILS_ONCE, process=PASSES)

    assert (code, counts) == (1, "2 passed, 1 failed, 0 skipped")
    assert rest.startswith("PASSED ONLY IN A SECOND TRY: 0;")


@pytest.mark.parametrize(
    "module",
    [ENDS.format(0), ENDS.format(1), UNFIT, "# no test\n"],
    ids=["ends with 0", "ends with 1", "cannot be imported", "is empty"],
)
def test_a_part_that_breaks_is_a_failure(run: Run, module: str) -> None:
    """Beside those of other parts; a test that ends pytest hides all behind it."""
    code, counts, rest = run(kafka=module, process=PASSES)

    assert code == 1
    assert counts.startswith("1 passed, ")
    assert ", 0 failed" not in counts
    assert "BROKEN: 1 (kafka: " in rest


def test_what_is_not_run_is_told_with_the_reason(run: Run) -> None:
    """Skipped is not passed."""
    code, counts, rest = run(kafka=SKIPS, process=PASSES + FAILS_ONCE)

    assert (code, counts) == (0, "2 passed, 0 failed, 1 skipped")
    assert rest.endswith("; NOT RUN: 1 (1 because no java)")
