"""Whether a topic's handlers fail with all that they get, as the listener knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.report import FAIL_ALIKE

STALE_S: Final = 10.0  # the listener writes every 2 s
READ_MAX_BYTES: Final = 64 * 1024 * 1024


def failing_alike(status: Path, *, now_s: float) -> dict[str, str] | None:
    """Return what is failing, by topic, where it is not for a message of its own.

    Args:
        status: The listener's ``status.json``.
        now_s: CLOCK_MONOTONIC, which all programs of a machine share.

    None where that is not known: it cannot be read, or no listener writes it.
    """
    try:
        with status.open("rb") as file:
            told = json.loads(file.read(READ_MAX_BYTES))
        if not 0 <= now_s - told["at_s"] <= STALE_S:
            return None
        return dict(
            _alike(message)
            for node in told["nodes"]
            if node.get("pid")
            for message in (node.get("report") or {}).get("failing", ())
            if str(message["error"]).startswith(FAIL_ALIKE)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _alike(message: dict[str, Any]) -> tuple[str, str]:
    return str(message["at"]).rpartition("/")[0], str(message["error"])
