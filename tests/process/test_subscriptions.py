"""What a slot's next process knows of the topics of the last one."""

from pathlib import Path

import pytest

from swarm_worker.node.subscriptions import Subscriptions


def test_what_was_subscribed_to_is_known_to_the_next_process(tmp_path: Path) -> None:
    """Of each group its own; of a new one nothing."""
    path = tmp_path / "s.subscribed"
    last = Subscriptions(path)
    last.keep("billing", ["orders", "refunds"])
    last.keep("audit", ["orders"])

    told = Subscriptions(path)
    assert told.of("billing") == frozenset({"orders", "refunds"})
    assert told.of("audit") == frozenset({"orders"})
    assert told.of("prices") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"g": 1}', "[" * 100_000])
def test_a_file_that_is_spoiled_says_nothing(tmp_path: Path, text: str) -> None:
    """It is written anew."""
    path = tmp_path / "s.subscribed"
    path.write_text(text)
    told = Subscriptions(path)

    assert told.of("g") is None
    told.keep("g", ["orders"])
    assert told.of("g") == frozenset({"orders"})


def test_a_directory_that_is_gone_costs_the_memory_alone(tmp_path: Path) -> None:
    """As does a disk that is full."""
    told = Subscriptions(tmp_path / "gone" / "s.subscribed")

    told.keep("g", ["orders"])
    assert told.of("g") is None
