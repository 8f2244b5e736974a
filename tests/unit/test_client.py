"""What a client is made with: commits in time, and callbacks."""

from __future__ import annotations

from typing import Any

import pytest

from swarm_worker.client import commit_early, with_callbacks


@pytest.mark.parametrize(
    ("told_ms", "set_ms", "bound_s"),
    [(1_000, 600, 1.0), (100, 60, 1.0), (1, 1, 1.0), (60_000, 36_000, 60.0)],
)
def test_commits_come_well_within_what_is_promised(
    told_ms: int, set_ms: int, bound_s: float
) -> None:
    """That is a second, or the interval that is asked for where it is longer."""
    properties: dict[str, Any] = {"auto.commit.interval.ms": told_ms}

    assert commit_early(properties) == bound_s
    assert properties == {"auto.commit.interval.ms": set_ms}


def test_a_callback_that_the_app_has_brought_is_called_too() -> None:
    """From a hook of `configure_consumer`: ours first, and none is put aside."""
    called: list[tuple[str, object]] = []
    made = with_callbacks(
        {"on_commit": lambda *facts: called.append(("app", facts)), "client.id": "c"},
        {
            "on_commit": lambda *facts: called.append(("node", facts)),
            "error_cb": lambda *facts: called.append(("error", facts)),
        },
    )

    made["on_commit"](None, [])
    made["error_cb"]("e")

    assert called == [
        ("node", (None, [])),
        ("app", (None, [])),
        ("error", ("e",)),
    ]
    assert made["client.id"] == "c"
