"""How a swarm is, as rows and as a table: data in, text out."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarm_event_listener.core.health import Word, health_by_state
from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain

NONE: Final = "-"  # what there is not
SILENT_S: Final = 30.0  # where the listener has no rule for silence


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process as supervisord tells of it.

    Attributes:
        name: ``group:process``.
        state: supervisord's state.
        pid: None without a process.
        uptime_s: None without a process.
        stderr_log: Its file; empty without one.
    """

    name: str
    state: ProcessState
    pid: int | None
    uptime_s: float | None
    stderr_log: str = ""

    @property
    def group(self) -> str:
        """Its process group."""
        return self.name.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One node, as an operator sees it. None is unknown or not there.

    Attributes:
        node: ``group:process``.
        state: supervisord's state.
        health: One of `health.Word`.
        why: What is wrong; empty where the health says all.
        held: Whether an operator took it out of the rules.
        poll_age_ms, consume_age_ms: As reported; of a node that has not reported for
            half of ``node_report_timeout`` as they are now, if nothing has happened
            since.
        partitions: Those held; None also for a loop of the user's own.
        restarts: Restarts on record.
        last_status: The status of the last one; None where no rule was its cause.
        last_cause: Its cause: rule, exited, fatal or roll.
    """

    node: str
    state: str
    health: str
    why: str
    held: bool
    pid: int | None
    uptime_s: float | None
    poll_age_ms: int | None = None
    consume_age_ms: int | None = None
    in_flight: tuple[str, ...] = ()
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    partitions: int | None = None
    lag: int | None = None
    messages_per_s: float | None = None
    restarts: int | None = None
    last_status: int | None = None
    last_cause: str | None = None


def rows(
    processes: Iterable[Process],
    status: ListenerStatus | None,
    history: Sequence[Plain] | None,
) -> tuple[Row, ...]:
    """Put together what supervisord, the listener and its records say.

    Args:
        processes: supervisord's, those of the swarm.
        status: What the listener last said; None when nothing is known of it.
        history: Records of restarts; None where they cannot be read.
    """
    nodes: Mapping[str, Plain] = {}
    if status is not None and not status.is_stale:
        nodes = status.nodes
    done = [] if history is None else [r for r in history if not r.get("dry_run")]
    return tuple(
        _row(
            process,
            nodes.get(process.name),
            None if history is None else done,
            is_heard=status is not None and not status.is_stale,
        )
        for process in sorted(processes, key=lambda process: process.name)
    )


def _row(
    process: Process,
    node: Plain | None,
    history: Sequence[Plain] | None,
    *,
    is_heard: bool,
) -> Row:
    records = [r for r in history or () if r.get("node") == process.name]
    health, why = _health(process, node, is_heard=is_heard)
    is_same = node is not None and process.pid in {node.get("pid")} - {None}
    about: Plain = node if node is not None and is_same else {}
    report: Plain = about.get("report") or {}
    return Row(
        node=process.name,
        state=process.state.value,
        health=health,
        why=why,
        held=bool(node and node.get("held")),
        pid=process.pid,
        uptime_s=process.uptime_s,
        poll_age_ms=_age_now_ms(about, report.get("poll_age_ms")),
        consume_age_ms=_age_now_ms(about, report.get("consume_age_ms")),
        in_flight=tuple(report.get("in_flight", ())),
        memory_bytes=about.get("memory_bytes"),
        memory_limit_bytes=about.get("memory_limit_bytes"),
        partitions=_partitions(report),
        lag=report.get("lag"),
        messages_per_s=about.get("messages_per_s"),
        restarts=None if history is None else len(records),
        last_status=records[-1].get("status") if records else None,
        last_cause=records[-1].get("cause") if records else None,
    )


def _age_now_ms(about: Plain, reported_ms: int | None) -> int | None:
    """Give an age as it is now; a node that is silent would otherwise look busy.

    Reports come three times in ``node_report_timeout`` at least.
    """
    report_age_s = about.get("report_age_s") or 0.0
    timeout_s = about.get("report_timeout_s") or 2 * SILENT_S
    if reported_ms is None or report_age_s <= timeout_s / 2:
        return reported_ms
    return reported_ms + round(report_age_s * 1000)


def _partitions(report: Plain) -> int | None:
    """Give how many are held; a loop of the user's own reports nothing of Kafka."""
    assigned: int | None = report.get("assigned")
    return assigned if assigned or report.get("brokers_up") is not None else None


def _health(process: Process, node: Plain | None, *, is_heard: bool) -> tuple[str, str]:
    """Give word and reason; supervisord knows first when a process has changed."""
    if node is None:
        return Word.UNKNOWN.value, "the listener does not tell of it" * is_heard
    if has_changed(process, node) and not node.get("restart"):
        health = health_by_state(process.state)
        return health.word.value, health.why
    why = "; ".join(text for text in (node.get("why"), _next_try(node)) if text)
    return str(node.get("health", Word.UNKNOWN)), why


def _next_try(node: Plain) -> str:
    """Tell when a node that is down for longer is started again."""
    restart: Plain = node.get("restart") or {}
    pause_s, age_s = restart.get("pause_s"), restart.get("phase_age_s")
    if node.get("health") != Word.BACKING_OFF or pause_s is None or age_s is None:
        return ""
    return f"started again in {duration(max(0.0, pause_s - age_s))}"


def has_changed(process: Process, node: Plain) -> bool:
    """Tell whether supervisord tells another story than the listener did."""
    return (node.get("state"), node.get("pid")) != (process.state, process.pid)


def is_well(shown: Sequence[Row]) -> bool:
    """Tell whether all nodes are healthy; without nodes nothing is well."""
    return bool(shown) and all(row.health == Word.HEALTHY for row in shown)


def is_unknown(shown: Sequence[Row]) -> bool:
    """Tell whether nothing can be said of some node."""
    return not shown or any(row.health == Word.UNKNOWN for row in shown)


def as_json(row: Row) -> dict[str, Any]:
    """Give a row as plain data."""
    return dataclasses.asdict(row)


# --- text -----------------------------------------------------------------------------


def render(shown: Sequence[Row], *, width: int) -> str:
    """Give the rows as text, group by group.

    Args:
        shown: The rows.
        width: Columns of the terminal: where a table is too wide, columns that are
            empty are left out, then some others; at last each node takes two lines.
    """
    groups = dict.fromkeys(row.node.partition(":")[0] for row in shown)
    return "\n\n".join(
        _group(name, [row for row in shown if row.node.startswith(f"{name}:")], width)
        for name in groups
    )


def _group(name: str, shown: Sequence[Row], width: int) -> str:
    counts = Counter(row.health for row in shown)
    summary = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    cells = [_cells(row) for row in shown]
    lines = _fitting(cells, width) or ["", *(line for c in cells for line in _block(c))]
    body = [lines[0]] if lines[0] else []
    step = (len(lines) - 1) // len(shown)
    for number, row in enumerate(shown):
        body += lines[1 + number * step : 1 + (number + 1) * step]
        body += _remarks(row, width)
    return "\n".join([f"{name}: {summary}", *body])


# What a narrow table does without, in this order: the health implies the state.
_SPARED: Final = ("STATE", "MSG/S", "PART")


def _fitting(cells: Sequence[Mapping[str, str]], width: int) -> list[str] | None:
    """Give a table that fits, with as many columns as it may have; None without one."""
    empty = {title for title in cells[0] if all(row[title] == NONE for row in cells)}
    spared = [{*empty, *_SPARED[:count]} for count in range(len(_SPARED) + 1)]
    for left_out in (set[str](), *spared):
        lines = table(
            [{t: cell for t, cell in row.items() if t not in left_out} for row in cells]
        )
        if max(map(len, lines)) <= width:
            return lines
    return None


def _cells(row: Row) -> dict[str, str]:
    """Give the cells of a row, by the title of their column."""
    rate = row.messages_per_s
    return {
        "NODE": row.node.partition(":")[2],
        "STATE": row.state,
        "HEALTH": row.health,
        "PID": _number(row.pid),
        "UP": duration(row.uptime_s),
        "POLL": duration_ms(row.poll_age_ms),
        "BATCH": duration_ms(row.consume_age_ms),
        "MB": _memory(row),
        "PART": _number(row.partitions),
        "LAG": _number(row.lag),
        "MSG/S": NONE
        if rate is None
        else f"{rate:.0f}"
        if rate >= 10
        else f"{rate:.1f}",
        "RESTARTS": _restarts(row),
    }


_LEFT: Final = frozenset({"NODE", "STATE", "HEALTH", "WHEN", "OUTCOME"})


def table(cells: Sequence[Mapping[str, str]]) -> list[str]:
    """Give lines of columns, the titles first."""
    if not cells:
        return [""]
    titles = {title: title for title in cells[0]}
    widths = {
        title: max(len(row[title]) for row in (titles, *cells)) for title in titles
    }
    return [
        " ".join(
            cell.ljust(widths[title]) if title in _LEFT else cell.rjust(widths[title])
            for title, cell in row.items()
        ).rstrip()
        for row in (titles, *cells)
    ]


def _block(cells: Mapping[str, str]) -> tuple[str, str]:
    """Give one node in two lines."""
    head = f"{cells['NODE']}  {cells['STATE']}  {cells['HEALTH']}"
    figures = [
        f"{title.lower()} {cells[title]}"
        for title in cells
        if title not in _LEFT and cells[title] != NONE
    ]
    return head, "  " + ", ".join(figures)


def _remarks(row: Row, width: int) -> list[str]:
    said = [row.why] if row.why else []
    if row.health != Word.HEALTHY and row.in_flight:
        said.append("in flight: " + ", ".join(row.in_flight))
    if row.held and row.health != Word.HELD:
        said.append("held: the rules are off for it")
    return [
        line
        for text in said
        for line in textwrap.wrap(
            text, width, initial_indent="  ", subsequent_indent="    "
        )
    ]


def _number(value: int | None) -> str:
    return NONE if value is None else str(value)


def _memory(row: Row) -> str:
    if row.memory_bytes is None:
        return NONE
    read = f"{row.memory_bytes / 2**20:.0f}"
    limit = row.memory_limit_bytes
    return read if limit is None else f"{read}/{limit >> 20}"


def _restarts(row: Row) -> str:
    if not row.restarts:
        return _number(row.restarts)
    last = row.last_cause if row.last_status is None else row.last_status
    return f"{row.restarts} ({last})"


def duration_ms(value: int | None) -> str:
    """Give a short text for milliseconds."""
    return duration(None if value is None else value / 1000)


def duration(seconds: float | None) -> str:
    """Give a short text for a duration: 0.4s, 12s, 3m05, 2h10, 4d."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86_400}d"
