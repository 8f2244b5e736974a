"""What the witness of children must not let pass, and what it must."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.offspring import Child, Ends, Offspring, wrongs
from tests.process.lives import Life, started

LIVES = {"w:w_00": [Life("w:w_00", 7, 1, 0.0, 10.0), Life("w:w_00", 8, 2, 11.0)]}


def found(kind: str = "child", *, is_over: bool = False, **facts: Any) -> list[str]:
    """Return what is wrong with a child of pid 7, which went at 10 s."""
    ends: dict[str, Any] = {"abrupt": set(), "at_deadline": set()}
    ends |= {name: facts.pop(name) for name in list(facts) if name in ends}
    child = Child(
        node_pid=facts.pop("node_pid", 7),
        kind=kind,
        pid=9,
        started_ticks=3,
        **facts,
    )
    return list(wrongs([child], LIVES, Ends(is_over=is_over, **ends)))


@pytest.mark.parametrize(
    "facts",
    [
        {"alive_at_s": 14.1, "gone_at_s": 14.2},
        {"alive_at_s": 10.4, "gone_at_s": 10.5, "at_deadline": {7}},
        {"alive_at_s": 26.1, "gone_at_s": 26.2, "abrupt": {7}},
        {"alive_at_s": 12.0, "abrupt": {7}, "is_over": True},
    ],
    ids=["in order", "deadline", "killed", "for good"],
)
def test_who_outlives_his_node_is_named(facts: dict[str, Any]) -> None:
    """By the way in which that has ended."""
    (told,) = found(**facts)

    assert told.startswith("it outlived its node by ")


@pytest.mark.parametrize(
    "facts",
    [
        {"alive_at_s": 13.9, "gone_at_s": 14.0},
        {"alive_at_s": 10.2, "gone_at_s": 10.3, "at_deadline": {7}},
        {"alive_at_s": 25.9, "gone_at_s": 26.0, "abrupt": {7}},
        {"alive_at_s": 99.0, "gone_at_s": 99.2, "abrupt": {7, 8}},
        {"alive_at_s": 99.0, "node_pid": 8, "is_over": True},
        {"alive_at_s": 99.0, "kind": "own_session", "is_over": True},
    ],
    ids=[
        "in order",
        "deadline",
        "killed",
        "the next too",
        "its node lives",
        "own session",
    ],
)
def test_who_ends_in_time_is_in_order(facts: dict[str, Any]) -> None:
    """And whoever is nobody's business lives on."""
    assert found(**facts) == []


def test_nobody_ends_a_child_with_a_session_of_its_own() -> None:
    """It is nobody's business."""
    (told,) = found("own_session", alive_at_s=9.0, gone_at_s=9.5)

    assert "session of its own was ended" in told


def test_children_are_read_as_they_are_told_of(tmp_path: Path) -> None:
    """A line that is not whole is read later; whoever has the number now is another."""
    own = os.getpid()
    path = tmp_path / "offspring"
    offspring = Offspring(path=path)
    offspring.look()
    path.write_text(f"7 child {own} {started(own)}\n7 child {own} 1\n8 chi", "ascii")

    offspring.look()

    living, other = offspring.of(7)
    assert (living.gone_at_s, offspring.of(8)) == (None, [])
    assert living.alive_at_s > 0
    assert other.gone_at_s is not None
