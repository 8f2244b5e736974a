"""What ``make figures`` counts, on a module made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.figures import Lengths, code_lines, figures_of, function_lengths, room

MODULE = '''"""About it,
in two lines."""

import os  # one

# a comment alone
TEXT = """text
# no comment"""


class A:
    """Doc."""

    def f(self) -> int:
        """Doc."""
        return 1

    async def g(self) -> None: ...
'''


def test_comments_docstrings_and_blanks_are_no_code() -> None:
    """A text that is used is, and so is a line with a comment behind the code."""
    assert sorted(code_lines(MODULE)) == [4, 7, 8, 11, 14, 16, 18]


def test_methods_are_functions_with_their_docstrings() -> None:
    """From ``def`` to the last line."""
    assert sorted(function_lengths(MODULE)) == [1, 3]


def test_lengths_are_median_ninth_decile_and_longest() -> None:
    """Of one to eleven, which has them in it."""
    assert Lengths.of(range(1, 12)) == Lengths(6, 10, 11)


@pytest.mark.parametrize(
    ("module", "its"),
    [
        ("swarm_worker.kafka.client.properties", "swarm_worker.kafka"),
        ("swarm_event_listener.core.model.rules", "swarm_event_listener.core"),
        ("swarm_worker.kafka", "swarm_worker.kafka"),
        ("swarm_worker", "swarm_worker"),
    ],
)
def test_a_module_is_in_a_room(module: str, its: str) -> None:
    """Rooms within a room are that room's."""
    assert room(module) == its


def test_the_figures_of_this_checkout_fit_together() -> None:
    """The core imports no shell, and nothing of the node but what is shared."""
    figures = figures_of(Path(__file__).resolve().parents[3])

    assert 0 < figures.comment_lines < figures.code_lines < figures.lines
    assert figures.modules["swarm_event_listener/core/model"] == 6
    assert figures.imports["swarm_event_listener.core"].keys() == {
        "swarm_worker.shared"
    }
