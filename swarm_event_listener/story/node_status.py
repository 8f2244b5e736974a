"""What the listener's status of a node says to whoever reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarm_event_listener.core.health import Word
from swarm_event_listener.story.durations import duration
from swarm_worker.shared.report import Failing

_FAILING: Final = tuple(field.name for field in dataclasses.fields(Failing))
Plain = Mapping[str, Any]

SILENT_S: Final = 30.0  # where the listener has no rule for silence


def age_now_ms(about: Plain, reported_ms: int | None) -> int | None:
    """Return an age as it is now: a silent node would look busy otherwise.

    Reports come three times in ``node_report_timeout`` at least.
    """
    report_age_s = about.get("report_age_s") or 0.0
    timeout_s = about.get("report_timeout_s") or 2 * SILENT_S
    if reported_ms is None or report_age_s <= timeout_s / 2:
        return reported_ms
    return reported_ms + round(report_age_s * 1000)


def next_try(node: Plain) -> str:
    """Return when a node that backs off is started again."""
    restart: Plain = node.get("restart") or {}
    pause_s, age_s = restart.get("pause_s"), restart.get("phase_age_s")
    if node.get("health") != Word.BACKING_OFF or pause_s is None or age_s is None:
        return ""
    return f"started again in {duration(max(0.0, pause_s - age_s))}"


def failure_text(message: Plain) -> str:
    """Return a message that fails, as a report has it, as people read it."""
    return str(Failing(**{name: message[name] for name in _FAILING}))


def failures(messages: Sequence[Plain], count: int) -> list[str]:
    """Return a line for each message that fails, and one for those not reported.

    Args:
        messages: As a report has them.
        count: How many partitions wait for such a message.
    """
    lines = [failure_text(message) for message in messages]
    more = count - len(lines)
    if lines and more > 0:
        lines.append(f"and {more} partition{'s' * (more > 1)} more")
    return lines
