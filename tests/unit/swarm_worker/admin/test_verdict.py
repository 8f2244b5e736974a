"""What the listener says of handlers that fail with all that they get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarm_worker.admin.verdict import failing_alike

ALIKE = "all messages fail alike (ConnectionError)"


def node(error: str, *, at: str = "orders/4@7", pid: int | None = 7) -> dict[str, Any]:
    """Return a node with one message that fails, as a status tells of it."""
    failing = {"at": at, "error": error, "attempts": 8, "for_ms": 60_000}
    return {"node": "w:w_00", "pid": pid, "report": {"failing": [failing]}}


def told(folder: Path, *nodes: dict[str, Any], now_s: float = 105.0) -> Any:
    """Return what is read of a status that was written at 100 s."""
    path = folder / "status.json"
    path.write_text(json.dumps({"at_s": 100.0, "nodes": nodes}), "utf-8")
    return failing_alike(path, now_s=now_s)


def test_topics_are_named_whose_messages_all_fail(tmp_path: Path) -> None:
    """Not those with one bad message, nor what a node that is gone had said."""
    gone = node(ALIKE, at="refunds/0@1", pid=None)
    bad = node("ValueError('no price')", at="audit/0@1")

    assert told(tmp_path, node(ALIKE), gone, bad, {"pid": 8, "report": None}) == {
        "orders": ALIKE
    }


@pytest.mark.parametrize("now_s", [99.0, 110.1])
def test_an_old_status_is_not_believed(tmp_path: Path, now_s: float) -> None:
    """Nor one of before the machine started: nothing is known then."""
    assert told(tmp_path, node(ALIKE), now_s=now_s) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at_s": 100, "nodes": [1]}'])
def test_what_is_no_status_tells_nothing(tmp_path: Path, text: str) -> None:
    """It may be another version's."""
    path = tmp_path / "status.json"
    path.write_text(text, "utf-8")

    assert failing_alike(path, now_s=105.0) is None
    assert failing_alike(tmp_path / "absent", now_s=105.0) is None
