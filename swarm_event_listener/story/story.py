"""Records of restarts as people read them: a table, or the story of one node."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarm_event_listener.core.model.record import Cause, headline
from swarm_event_listener.story import stacks
from swarm_event_listener.story.durations import NONE, duration
from swarm_event_listener.story.moments import moment_of
from swarm_event_listener.story.stack_dumps import Dump
from swarm_event_listener.story.text import columns, wrapped

Plain = Mapping[str, Any]

MOMENT: Final = "%m-%d %H:%M:%S"  # the zone stands beside it


def _local(text: object) -> str:
    """Return a moment as people of this machine read it, and others can."""
    moment = moment_of(text)
    return str(text) if moment is None else f"{moment.astimezone():{MOMENT}%z}"


# --- a table --------------------------------------------------------------------------


def history(records: Sequence[Plain], *, width: int) -> str:
    """Return the records as text, oldest first, two lines each."""
    if not records:
        return "no restarts on record"
    title, whens = _whens(records)
    lines = columns(
        [
            _cells(record, title, when)
            for record, when in zip(records, whens, strict=True)
        ]
    )
    return "\n".join(
        [
            lines[0],
            *(
                f"{line}\n{wrapped(str(record.get('reason', '')), width)}"
                for line, record in zip(lines[1:], records, strict=True)
            ),
        ]
    )


def _whens(records: Sequence[Plain]) -> tuple[str, list[str]]:
    """Return the title and the cells of the moments, all in the zone of the last."""
    moments = [moment_of(record.get("detected_at")) for record in records]
    last = next((m.astimezone() for m in reversed(moments) if m), None)
    if last is None:
        return "WHEN", [str(record.get("detected_at")) for record in records]
    return f"WHEN ({last:%z})", [
        f"{moment.astimezone(last.tzinfo):{MOMENT}}" if moment else NONE
        for moment in moments
    ]


def _cells(record: Plain, title: str, when: str) -> dict[str, str]:
    seconds = record.get("seconds", {})
    status = record.get("status")
    return {
        "NODE": str(record.get("node")),
        title: when,
        "STATUS": str(record.get("cause") if status is None else status),
        "STOP": NONE if _is_backoff(record) else duration(seconds.get("stop")),
        "TOTAL": duration(seconds.get("total")),
        "OUTCOME": outcome(record),
    }


def outcome(record: Plain) -> str:
    """Return how a restart ended, in a word or two."""
    if record.get("dry_run"):
        return "dry run"
    ended = "recovered" if record.get("recovered_at") else "not recovered"
    if not (record.get("started_at") or record.get("recovered_at")):
        ended = "not started"
    return f"KILLed, {ended}" if record.get("killed") else ended


# --- a story --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of a restart.

    Attributes:
        record: As it is shown.
        dump: The stacks that its process wrote for it.
        why_none: What is said without them; nothing is where it is None.
    """

    record: Plain
    dump: Dump | None = None
    why_none: str | None = None


def restart(told: Told, width: int) -> str:
    """Return the story of a restart, its stacks below it.

    Args:
        told: What is known of it.
        width: Columns of the terminal.
    """
    text = _story(told.record, width) + _stacks(told)
    if told.dump is None and told.why_none:
        text += "\n" + wrapped(told.why_none, width)
    return text


def _stacks(told: Told) -> str:
    """Return the stacks of a restart, below its story."""
    dump = told.dump
    if dump is None:
        return ""
    at = f"written {_local(dump.at)}" if dump.at else "when Python ran no more"
    lines = "\n".join(stacks.render(dump))
    return f"\n  its stacks, {at}:\n{textwrap.indent(lines, '    ')}"


def _story(record: Plain, width: int) -> str:
    lines = [f"{_local(record.get('detected_at'))}  {headline(record)}"]
    if record.get("reason") and record.get("cause") != Cause.ROLL:
        lines.append(wrapped(str(record["reason"]), width))
    if record.get("in_flight"):
        lines.append(wrapped("in flight: " + ", ".join(record["in_flight"]), width))
    if record.get("suspect"):
        said = f"suspect: {record['suspect']} was in flight each time it failed"
        lines.append(wrapped(said, width))
    if record.get("rss_mb") is not None:
        lines.append(f"  memory: {record['rss_mb']} MB")
    if record.get("dry_run"):
        lines.append("  dry run: it would have been restarted, and was left alone")
    else:
        lines += [wrapped(step, width) for step in _steps(record)]
    return "\n".join(lines)


def _steps(record: Plain) -> list[str]:
    seconds: dict[str, Any] = record.get("seconds", {})
    steps = []
    if _is_backoff(record):
        steps.append(f"pid {record.get('pid')}, its successor, was stopped at its boot")
    elif "stop" in seconds:
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
    elif record.get("cause") == Cause.DIED:
        steps.append("was not started: supervisord left it down, or was told to")
    else:
        steps.append("was not started: an operator held it, or the listener ended")
    return steps


def _is_backoff(record: Plain) -> bool:
    """Whether what was stopped is only the successor of the process that had died."""
    return record.get("cause") == Cause.EXITED and bool(record.get("death"))
