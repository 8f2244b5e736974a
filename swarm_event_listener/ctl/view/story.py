"""Records of restarts as people read them: a table, or the story of one node."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from swarm_event_listener.core.model.record import Cause, headline
from swarm_event_listener.ctl.sources.state import Plain
from swarm_event_listener.ctl.view.table import Row, duration, table
from swarm_worker.shared.parsers import duration_ms

STORIES: Final = 3  # of the last restarts, unless more are asked for


def since(text: str) -> timedelta:
    """Read how far to look back, such as ``1h``.

    Raises:
        ValueError: It is no such text.
    """
    # A number alone is one of milliseconds in a file: hardly meant here.
    with suppress(ValueError, OverflowError):
        if not text.strip().isdecimal():
            return timedelta(milliseconds=duration_ms(text))
    raise ValueError(f"expected a duration such as 90s, 30m, 1h or 2d, got {text!r}")


def recent(
    records: Iterable[Plain], *, now: datetime, back: timedelta | None
) -> tuple[Plain, ...]:
    """Give the records that are not older than ``back``; all without one."""
    if back is None:
        return tuple(records)
    return tuple(
        record
        for record in records
        if (moment := _moment(record.get("detected_at"))) and now - moment <= back
    )


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.astimezone()


def _local(text: object) -> str:
    """Give a moment as people of this machine read it."""
    moment = _moment(text)
    return str(text) if moment is None else f"{moment.astimezone():%m-%d %H:%M:%S}"


# --- a table --------------------------------------------------------------------------


def history(records: Sequence[Plain], *, width: int) -> str:
    """Give the records as text, oldest first, two lines each."""
    if not records:
        return "no restarts on record"
    lines = table([_cells(record) for record in records])
    return "\n".join(
        [
            lines[0],
            *(
                f"{line}\n{_wrapped(str(record.get('reason', '')), width)}"
                for line, record in zip(lines[1:], records, strict=True)
            ),
        ]
    )


def _cells(record: Plain) -> dict[str, str]:
    seconds = record.get("seconds", {})
    status = record.get("status")
    return {
        "NODE": str(record.get("node")),
        "WHEN": _local(record.get("detected_at")),
        "STATUS": str(record.get("cause") if status is None else status),
        "STOP": duration(seconds.get("stop")),
        "TOTAL": duration(seconds.get("total")),
        "OUTCOME": outcome(record),
    }


def outcome(record: Plain) -> str:
    """Give how a restart ended, in a word or two."""
    if record.get("dry_run"):
        return "dry run"
    ended = "recovered" if record.get("recovered_at") else "not recovered"
    if not (record.get("started_at") or record.get("recovered_at")):
        ended = "not started"
    return f"KILLed, {ended}" if record.get("killed") else ended


def _wrapped(text: str, width: int) -> str:
    return "\n".join(
        textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
    )


# --- a story --------------------------------------------------------------------------


def why(
    node: str,
    row: Row | None,
    records: Sequence[Plain],
    *,
    stacks: str | None,
    last_words: Sequence[str] = (),
    width: int,
) -> str:
    """Tell the last restarts of a node as a story, the last one last.

    Args:
        node: ``group:process``.
        row: How it is now; None when it is not known.
        records: Its records, oldest first.
        stacks: What it last wrote of its threads; None where nothing was found.
        last_words: The end of the log of a node that is down.
        width: Columns of the terminal.
    """
    parts = [_now(node, row, width)]
    parts += [_story(record, width) for record in records]
    if not records:
        parts.append("no restarts on record")
    if stacks is not None:
        indented = textwrap.indent(stacks, "    ")
        parts.append(f"the last stacks in its log:\n{indented}")
    if last_words:
        parts.append("\n".join(["the end of its log:", *last_words]))
    return "\n\n".join(parts)


def _now(node: str, row: Row | None, width: int) -> str:
    if row is None:
        return f"{node}: unknown"
    pid = "" if row.pid is None else f", pid {row.pid}, up {duration(row.uptime_s)}"
    head = f"{node}: {row.state}, {row.health}{pid}"
    return f"{head}\n{_wrapped(row.why, width)}" if row.why else head


def _story(record: Plain, width: int) -> str:
    lines = [f"{_local(record.get('detected_at'))}  {headline(record)}"]
    if record.get("reason") and record.get("cause") != Cause.ROLL:
        lines.append(_wrapped(str(record["reason"]), width))
    if record.get("in_flight"):
        lines.append(_wrapped("in flight: " + ", ".join(record["in_flight"]), width))
    if record.get("suspect"):
        said = f"suspect: {record['suspect']} was in flight each time it failed"
        lines.append(_wrapped(said, width))
    if record.get("rss_mb") is not None:
        lines.append(f"  memory: {record['rss_mb']} MB")
    if record.get("dry_run"):
        lines.append("  dry run: it would have been restarted, and was left alone")
    else:
        lines += [_wrapped(step, width) for step in _steps(record)]
    return "\n".join(lines)


def _steps(record: Plain) -> list[str]:
    seconds: dict[str, Any] = record.get("seconds", {})
    steps = []
    if "stop" in seconds:
        how = "KILLed after" if record.get("killed") else "stopped within"
        steps.append(f"pid {record.get('pid')} {how} {duration(seconds['stop'])}")
    if "down" in seconds:
        steps.append(f"down for {duration(seconds['down'])}")
    if record.get("started_at") and record.get("new_pid"):
        steps.append(f"started as pid {record['new_pid']}")
    if record.get("recovered_at"):
        took = duration(seconds.get("recovery"))
        total = duration(seconds.get("total"))
        steps.append(f"polled again {took} later; {total} in all")
    elif record.get("started_at"):
        steps.append("was not back at work: it died, was stopped, or took over 60 s")
    else:
        steps.append("was not started: an operator held it, or the listener ended")
    return steps
