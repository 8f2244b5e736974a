"""The commands that look: status, top, why, history, dump, doctor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from swarm_event_listener.ctl import signals
from swarm_event_listener.ctl.known.node_rows import (
    Row,
    is_at_work,
    is_unknown,
    is_well,
)
from swarm_event_listener.ctl.known.records import missing, of_nodes, recent
from swarm_event_listener.ctl.known.scaling import Figures
from swarm_event_listener.ctl.known.snapshot import Snapshot
from swarm_event_listener.ctl.session import SETTLED_WITHIN_S, Exit, Session
from swarm_event_listener.ctl.sources.state import Plain, StateError
from swarm_event_listener.ctl.sources.supervisord import Process
from swarm_event_listener.ctl.view import partition_table, table
from swarm_event_listener.ctl.view import scale as view_scale
from swarm_event_listener.ctl.view import why as node_why
from swarm_event_listener.doctor import finding
from swarm_event_listener.story import evidence, roll_view, stack_dumps, story
from swarm_event_listener.story.partitions import partitions
from swarm_event_listener.supervisord.node_log import NodeLog

REDRAW_EVERY_S: Final = 2.0
DUMPED_WITHIN_S: Final = 5.0
LAST_WORDS: Final = 8  # lines of the log of a node that is down


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What a status shows.

    Attributes:
        rows: The nodes.
        rolls: The rolls of their groups that are under way.
        scales: How many nodes of their groups are to run.
        warnings: Why something may be otherwise, or is left out.
        is_unknown: Whether that leaves the state of the swarm unknown.
    """

    rows: tuple[Row, ...]
    rolls: list[Plain]
    scales: list[Figures]
    warnings: list[str]
    is_unknown: bool


def status(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show how the nodes are, or how far behind their partitions."""
    shown = _look(session, arguments.names)
    if arguments.partitions:
        return _say_partitions(session, shown, is_json=arguments.json)
    _say_nodes(session, shown, is_json=arguments.json)
    return _exit(shown)


def _say_nodes(session: Session, shown: _Shown, *, is_json: bool) -> None:
    if is_json:
        nodes = [row.as_json() for row in shown.rows]
        plain = {
            "nodes": nodes,
            "rolls": shown.rolls,
            "scale": {figures.name: figures.as_json() for figures in shown.scales},
            "warnings": shown.warnings,
        }
        session.screen.say_json(plain)
    else:
        session.screen.say_lines([*shown.warnings, *_how_far(session, shown.rolls)])
        if shown.rows:
            session.screen.say(_table(session, shown.rows, shown))


def _table(session: Session, rows: Sequence[Row], shown: _Shown) -> str:
    scales = view_scale.in_short(shown.scales)
    return table.render(rows, width=session.screen.width, scales=scales)


def _say_partitions(session: Session, shown: _Shown, *, is_json: bool) -> Exit:
    sources, screen = session.sources, session.screen
    found = partitions(shown.rows, sources.partitions, now_s=sources.clock())
    if is_json:
        screen.say_json({**found.as_json(), "warnings": shown.warnings})
    else:
        screen.say_lines([*shown.warnings, *partition_table.not_known(found)])
        if found.all:
            screen.say(partition_table.render(found, width=screen.width))
    return Exit.UNKNOWN if found.not_known else _exit(shown)


def _exit(shown: _Shown) -> Exit:
    if shown.is_unknown:
        return Exit.UNKNOWN
    if is_well(shown.rows):
        return Exit.OK
    return Exit.FAILED if is_at_work(shown.rows) else Exit.NOT_HEALTHY


def top(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show the same, live."""
    if arguments.json or not session.screen.is_terminal:
        shown = _look(session, arguments.names)
        _say_nodes(session, shown, is_json=arguments.json)
        return _exit(shown)
    while True:
        try:  # Ctrl-C may come at any line, not only while this waits
            shown = _look(session, arguments.names)
            at = f"{datetime.now().astimezone():%H:%M:%S%z}, Ctrl-C ends it"
            above = [at, *shown.warnings, *_how_far(session, shown.rolls)]
            session.screen.redraw(_fitting(session, shown, above))
            session.screen.wait(REDRAW_EVERY_S)
        except KeyboardInterrupt:
            return Exit.OK


def _fitting(session: Session, shown: _Shown, above: Sequence[str]) -> str:
    """Return as much as the screen holds; where that is less, what is wrong first."""
    height = session.screen.height
    lines = [*above, *_table(session, shown.rows, shown).splitlines()]
    if len(lines) <= height:
        return "\n".join(lines)
    ill_first = sorted(shown.rows, key=lambda row: row.is_well)
    lines = [*above, *_table(session, ill_first, shown).splitlines()]
    left = len(lines) - height + 1
    more = f"... {left} lines more; name nodes, or take a taller screen"
    return "\n".join([*lines[: height - 1], more])


def _look(session: Session, names: Sequence[str]) -> _Shown:
    """Return what names stand for, once supervisord and the listener agree."""
    snapshot = _settled(session)
    chosen, stale = snapshot.choose(names), snapshot.stale
    rows, unread = session.rows(snapshot, chosen.processes)
    outdated = [f"warning: {stale.text}"] if stale else []
    groups = {process.group for process in chosen.processes}
    scales, unknown = session.scales(snapshot, groups)
    return _Shown(
        rows=rows,
        rolls=snapshot.rolls(groups),
        scales=scales,
        warnings=[*chosen.complaints, *snapshot.warnings, *outdated, *unread, *unknown],
        is_unknown=bool(chosen.complaints or stale) or is_unknown(rows),
    )


def _settled(session: Session) -> Snapshot:
    snapshot = session.look()
    for _ in session.looks(SETTLED_WITHIN_S):
        if snapshot.is_settled:
            break
        snapshot = session.look()
    return snapshot


def _how_far(session: Session, rolls: Sequence[Plain]) -> list[str]:
    now_s = session.sources.clock()
    return [f"{r['group']}: {roll_view.how_far(r, now_s=now_s)}" for r in rolls]


def why(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show the last restarts of a node."""
    snapshot = session.look()
    process = snapshot.one(*arguments.names)
    records = of_nodes(session.history(), {process.name})[-arguments.last :]
    (row,), _ = session.rows(snapshot, [process])
    clock = session.sources.clock
    held = partitions([row], session.sources.partitions, now_s=clock())
    log = _log_of(session, process)
    text = log.tail() if process.stderr_log else ""
    dumps = stack_dumps.found(text)
    found = [evidence.of_restart(record, dumps) for record in records]
    last_words = text.splitlines()[-LAST_WORDS:] if process.pid is None else []
    if arguments.json:
        session.screen.say_json(
            {
                "node": row.as_json(),
                "restarts": [
                    {**record, "stacks": dump and dump.as_json()}
                    for record, dump in zip(records, found, strict=True)
                ],
                "stacks": found[-1].text if found and found[-1] else None,
                "last_words": last_words,
                **held.as_json(),
                "warnings": missing(snapshot.status),
            }
        )
        return Exit.OK
    session.screen.say_lines(missing(snapshot.status))
    width = session.screen.width
    told = [
        story.Told(record=record, dump=dump, why_none=evidence.why_none(record, dumps))
        for record, dump in zip(records, found, strict=True)
    ]
    worst = partition_table.worst(held)
    session.screen.say(
        node_why.why(row, told, worst=worst, last_words=last_words, width=width)
    )
    return Exit.OK


def _log_of(session: Session, process: Process) -> NodeLog:
    return NodeLog(process.name, process.stderr_log, session.supervisord.log_tail)


def history(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show all restarts on record."""
    now = datetime.now(UTC)
    records = recent(session.history(), now=now, back=arguments.since)
    complaints: Sequence[str] = ()
    if arguments.names:
        chosen = session.look().choose(arguments.names)
        complaints = chosen.complaints
        records = of_nodes(records, {process.name for process in chosen.processes})
    if arguments.json:
        session.screen.say_json(list(records))
    else:
        session.screen.say_lines([*missing(session.status()), *complaints])
        session.screen.say(story.history(records, width=session.screen.width))
    return Exit.FAILED if complaints else Exit.OK


def doctor(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show what is wrong with the configuration."""
    findings = session.sources.examine(arguments.file)
    if arguments.json:
        session.screen.say_json([finding.as_json() for finding in findings])
    else:
        session.screen.say(finding.render(findings))
    return Exit(finding.exit_code(findings))


def dump(session: Session, arguments: argparse.Namespace) -> Exit:
    """Let a node write the stacks of its threads, and show them."""
    snapshot = session.look()
    process = snapshot.one(*arguments.names)
    refusal = signals.refusal(session, process, snapshot.status, "TTIN")
    if refusal:
        raise StateError(f"{process.name}: ERROR ({refusal})")
    if not process.stderr_log:
        raise StateError(
            f"{process.name}: ERROR (it has no stderr_logfile to write them to)"
        )
    log = _log_of(session, process)
    mark = log.mark()
    session.supervisord.signal(process.name, "TTIN")
    dumped = _dumped(session, log, mark)
    if dumped is None:
        raise StateError(
            f"{process.name}: ERROR (no stacks in {process.stderr_log} within "
            f"{DUMPED_WITHIN_S:g} s: the process may be stopped, or swapped out)"
        )
    if arguments.json:
        session.screen.say_json(
            {"node": process.name, "pid": process.pid, "stacks": dumped}
        )
    else:
        session.screen.say(dumped)
    return Exit.OK


def _dumped(session: Session, log: NodeLog, mark: int | str) -> str | None:
    """Return the stacks once they grow no further; None where none came in time."""
    last: str | None = None
    for _ in session.looks(DUMPED_WITHIN_S):
        found = stack_dumps.dumps(log.since(mark))
        now = found[-1] if found else None
        if now is not None and now == last:
            return now
        last = now
    return last
