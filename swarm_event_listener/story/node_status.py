"""What the listener's status of a node says to whoever reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarm_event_listener.core.health import Word
from swarm_event_listener.story.durations import duration, duration_ms
from swarm_worker.shared.report import Failing

_FAILING: Final = tuple(field.name for field in dataclasses.fields(Failing))
Plain = Mapping[str, Any]

LAG_OLD_MS: Final = 60_000  # then it is said
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


def age_at_look_ms(about: Plain, reported_ms: int | None) -> int | None:
    """Return how old a figure is that was so old when it was reported."""
    if reported_ms is None:
        return None
    return reported_ms + round((about.get("report_age_s") or 0.0) * 1000)


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


def notes(
    lag_age_ms: int | None, lso_behind_ms: int | None, throttled_ms: int | None
) -> list[str]:
    """Return a line for each thing that keeps a node from messages, and is no failure.

    Args:
        lag_age_ms: How old the oldest end is by now that its lag counts to.
        lso_behind_ms: As reported.
        throttled_ms: As reported.
    """
    lines = []
    if lso_behind_ms is not None:
        lines.append(
            "a transaction hangs: the last stable offset of a partition has stood "
            f"behind its end for {duration_ms(lso_behind_ms)}, and what was "
            "written since is not read; its log says which partition"
        )
    if throttled_ms is not None:
        held_back = duration_ms(throttled_ms)
        lines.append(f"throttled: Kafka held an answer back for {held_back} (quota)")
    if (lag_age_ms or 0) > LAG_OLD_MS:
        ago = duration_ms(lag_age_ms)
        lines.append(f"its lag is as of {ago} ago: the end of a log is not told")
    return lines
