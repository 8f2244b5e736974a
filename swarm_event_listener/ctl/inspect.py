"""The commands that look: status, top, why, history, dump, doctor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from swarm_event_listener.core.health import Word
from swarm_event_listener.ctl import signals
from swarm_event_listener.ctl.known.names import choose
from swarm_event_listener.ctl.session import (
    DUMPED_WITHIN_S,
    REDRAW_EVERY_S,
    SETTLED_WITHIN_S,
    Exit,
    Session,
)
from swarm_event_listener.ctl.sources import stacks
from swarm_event_listener.ctl.sources.node_log import NodeLog
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain, StateError
from swarm_event_listener.ctl.view import roll_view, story, table
from swarm_event_listener.ctl.view.table import Process, Row
from swarm_event_listener.doctor import finding

LAST_WORDS: Final = 8  # lines of the log of a node that is down


def status(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show how the nodes are."""
    shown, notes, bad = _look(session, arguments.names)
    rolls = _rolls(session, shown)
    if arguments.json:
        rows = [table.as_json(row) for row in shown]
        session.json({"nodes": rows, "rolls": rolls, "warnings": notes})
    else:
        session.say([*notes, *_how_far(session, rolls)])
        _show(session, shown)
    if bad or table.is_unknown(shown):
        return Exit.UNKNOWN
    return Exit.OK if table.is_well(shown) else Exit.NOT_HEALTHY


def top(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show the same, live."""
    if arguments.json or not session.screen.is_terminal:
        return status(session, arguments)
    while True:
        shown, notes, _ = _look(session, arguments.names)
        at = f"{datetime.now().astimezone():%H:%M:%S}, Ctrl-C ends it"
        above = [at, *notes, *_how_far(session, _rolls(session, shown))]
        session.screen.redraw(_fitting(session, shown, above))
        try:
            session.screen.wait(REDRAW_EVERY_S)
        except KeyboardInterrupt:
            return Exit.OK


def _fitting(session: Session, shown: Sequence[Row], above: Sequence[str]) -> str:
    """Give as much as the screen holds; where that is less, what is wrong first."""
    width, height = session.screen.width, session.screen.height
    lines = [*above, *table.render(shown, width=width).splitlines()]
    if len(lines) <= height:
        return "\n".join(lines)
    ill_first = sorted(shown, key=lambda row: row.health == Word.HEALTHY)
    lines = [*above, *table.render(ill_first, width=width).splitlines()]
    left = len(lines) - height + 1
    more = f"... {left} lines more; name nodes, or take a taller screen"
    return "\n".join([*lines[: height - 1], more])


def _look(
    session: Session, names: Sequence[str]
) -> tuple[tuple[Row, ...], list[str], bool]:
    """Give the rows that names stand for, what to say first, whether one is bad."""
    status, notes, everyone = _settled(session)
    chosen = choose(names, everyone, session.listener.watched(status))
    stale = None if status is None else session.listener.stale(status, everyone)
    shown, more = session.rows(chosen.processes)
    notes += [f"warning: {stale.text}"] if stale else []
    is_bad = bool(chosen.complaints or stale)
    return shown, [*chosen.complaints, *notes, *more], is_bad


def _settled(
    session: Session,
) -> tuple[ListenerStatus | None, list[str], tuple[Process, ...]]:
    """Look until supervisord and the listener tell of the same processes.

    What is being restarted would look as if an operator had stopped it, until the
    listener's next word.
    """
    status, notes = session.listener.status()
    everyone = session.supervisord.processes()
    for _ in session.looks(SETTLED_WITHIN_S):
        if status is None or status.is_stale or not _differ(status, everyone):
            break
        status, notes = session.listener.status()
        everyone = session.supervisord.processes()
    return status, notes, everyone


def _differ(status: ListenerStatus, everyone: tuple[Process, ...]) -> bool:
    return any(
        table.has_changed(process, status.nodes[process.name])
        for process in everyone
        if process.name in status.nodes
    )


def _rolls(session: Session, shown: Sequence[Row]) -> list[Plain]:
    """Give the rolls of the groups that are shown, as far as they are under way."""
    status, _ = session.listener.status()
    if status is None or status.is_stale:
        return []
    groups = {row.node.partition(":")[0] for row in shown}
    return [
        roll
        for group, roll in status.rolls.items()
        if group in groups and not roll["is_over"]
    ]


def _how_far(session: Session, rolls: Sequence[Plain]) -> list[str]:
    now_s = session.sources.clock()
    return [f"{r['group']}: {roll_view.how_far(r, now_s=now_s)}" for r in rolls]


def _show(session: Session, shown: Sequence[Row]) -> None:
    if shown:
        session.screen.say(table.render(shown, width=session.screen.width))


def why(session: Session, arguments: argparse.Namespace) -> Exit:
    """Tell the last restarts of a node."""
    process = session.one(arguments.names)
    place = session.sources.place()
    records = [
        record
        for record in session.sources.history(place.directory)
        if record.get("node") == process.name
    ][-arguments.last :]
    (row,) = session.rows([process])[0]
    log = (
        NodeLog(process, session.supervisord.log_tail).tail()
        if process.stderr_log
        else ""
    )
    last_dump = next(reversed(stacks.dumps(log)), None)
    last_words = log.splitlines()[-LAST_WORDS:] if process.pid is None else []
    if arguments.json:
        plain = {"node": table.as_json(row), "restarts": records, "stacks": last_dump}
        session.json(
            {**plain, "last_words": last_words, "warnings": session.listener.missing()}
        )
        return Exit.OK
    session.say(session.listener.missing())
    told = story.why(
        process.name,
        row,
        records,
        stacks=last_dump,
        last_words=last_words,
        width=session.screen.width,
    )
    session.screen.say(told)
    return Exit.OK


def history(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show all restarts on record."""
    records = story.recent(
        session.sources.history(session.sources.place().directory),
        now=datetime.now(UTC),
        back=arguments.since,
    )
    complaints: Sequence[str] = ()
    if arguments.names:
        chosen = session.chosen(arguments.names, session.listener.status()[0])
        complaints = chosen.complaints
        names = {process.name for process in chosen.processes}
        records = tuple(r for r in records if r.get("node") in names)
    if arguments.json:
        session.json(list(records))
    else:
        session.say([*session.listener.missing(), *complaints])
        session.screen.say(story.history(records, width=session.screen.width))
    return Exit.FAILED if complaints else Exit.OK


def doctor(session: Session, arguments: argparse.Namespace) -> Exit:
    """Show what is wrong with the configuration."""
    findings = session.sources.examine(arguments.file)
    if arguments.json:
        session.json([finding.as_json() for finding in findings])
    else:
        session.screen.say(finding.render(findings))
    return Exit(finding.exit_code(findings))


def dump(session: Session, arguments: argparse.Namespace) -> Exit:
    """Let a node write the stacks of its threads, and show them."""
    process = session.one(arguments.names)
    refusal = signals.refusal(session, process, session.listener.status()[0], "TTIN")
    if refusal:
        raise StateError(f"{process.name}: ERROR ({refusal})")
    if not process.stderr_log:
        raise StateError(
            f"{process.name}: ERROR (it has no stderr_logfile to write them to)"
        )
    log = NodeLog(process, session.supervisord.log_tail)
    mark = log.mark()
    session.supervisord.signal(process.name, "TTIN")
    stacks = _dumped(session, log, mark)
    if stacks is None:
        raise StateError(
            f"{process.name}: ERROR (no stacks in {process.stderr_log} within "
            f"{DUMPED_WITHIN_S:g} s: the process may be stopped, or swapped out)"
        )
    if arguments.json:
        session.json({"node": process.name, "pid": process.pid, "stacks": stacks})
    else:
        session.screen.say(stacks)
    return Exit.OK


def _dumped(session: Session, log: NodeLog, mark: int | str) -> str | None:
    """Wait for stacks that have grown no further for one look."""
    last: str | None = None
    for _ in session.looks(DUMPED_WITHIN_S):
        found = stacks.dumps(log.since(mark))
        now = found[-1] if found else None
        if now is not None and now == last:
            return now
        last = now
    return last
