"""The commands that tell nodes and listener: quiet, resume, hold, release, retire."""

from __future__ import annotations

import argparse
from typing import Final

from swarm_event_listener.core.model.events import ProcessState, Word
from swarm_event_listener.ctl import signals
from swarm_event_listener.ctl.session import (
    CONFIRMED_WITHIN_S,
    LATER,
    STOPPED_WITHIN_S,
    CallRefused,
    Exit,
    Session,
)
from swarm_event_listener.ctl.sources.state import ListenerStatus
from swarm_event_listener.ctl.view.table import Process
from swarm_event_listener.supervisord.operator_commands import encode

_GONE: Final = frozenset(
    {
        ProcessState.STOPPED,
        ProcessState.EXITED,
        ProcessState.FATAL,
        ProcessState.UNKNOWN,
    }
)


def quiet(session: Session, arguments: argparse.Namespace) -> Exit:
    """Let nodes take no new work."""
    return _signal_all(session, arguments, "TSTP", "told to be quiet")


def resume(session: Session, arguments: argparse.Namespace) -> Exit:
    """Let nodes work again."""
    return _signal_all(session, arguments, "CONT", "told to go on")


def _signal_all(
    session: Session, arguments: argparse.Namespace, signal_name: str, done: str
) -> Exit:
    """Signal the processes that have reported: others may not know the signal."""
    status, _ = session.listener.status()
    chosen = session.chosen(arguments.names, status)
    outcomes = [
        (process.name, signals.send(session, process, status, signal_name) or done)
        for process in chosen.processes
    ]
    return session.tell(arguments, outcomes, chosen.complaints, done)


def hold(session: Session, arguments: argparse.Namespace) -> Exit:
    """Take nodes out of the rules."""
    return _order(session, arguments, Word.HOLD)


def release(session: Session, arguments: argparse.Namespace) -> Exit:
    """Put nodes under the rules again."""
    return _order(session, arguments, Word.RELEASE)


def _order(session: Session, arguments: argparse.Namespace, word: Word) -> Exit:
    """Tell the listener, and wait until it says so itself."""
    status, stale = session.listener.reachable()
    chosen = session.chosen(arguments.names, status)
    names = [process.name for process in chosen.processes]
    if names:
        session.supervisord.send(encode(word, names))
    if stale is not None:
        return _unconfirmed(session, arguments, names, [*chosen.complaints, stale.text])
    is_held = word is Word.HOLD
    missing = set(names)
    for _ in session.looks(CONFIRMED_WITHIN_S):
        now = session.listener.status()[0]
        nodes = now.nodes if now else {}
        missing = {
            name
            for name in missing
            if bool(nodes.get(name, {}).get("held")) is not is_held
        }
        if not missing:
            break
    done = "held" if is_held else "released"
    failed = f"ERROR (not confirmed within {CONFIRMED_WITHIN_S:g} s; {LATER})"
    stays_down = _GONE if is_held else _GONE - {ProcessState.FATAL}  # that is a rule's
    down = {p.name for p in session.supervisord.processes() if p.state in stays_down}
    stays = f"{done}; it is down, and stays so until supervisorctl start"
    outcomes = [
        (
            name,
            failed if name in missing else f"{stays} {name}" if name in down else done,
        )
        for name in names
    ]
    return session.tell(arguments, outcomes, chosen.complaints, done)


def _unconfirmed(
    session: Session,
    arguments: argparse.Namespace,
    names: list[str],
    complaints: list[str],
) -> Exit:
    """Say that the listener got the order but cannot confirm it."""
    unconfirmed = "ERROR (the listener is told, but cannot confirm it; see its log)"
    return session.tell(
        arguments, [(name, unconfirmed) for name in names], complaints, "held"
    )


def retire(session: Session, arguments: argparse.Namespace) -> Exit:
    """Let nodes leave their Kafka groups for good, then stop them."""
    status, _ = session.listener.status()
    chosen = session.chosen(arguments.names, status)
    outcomes = {
        process.name: _retire(session, process, status) for process in chosen.processes
    }
    stopping = {name for name, refusal in outcomes.items() if refusal is None}
    stopped = _stopped(session, stopping)
    done = "retired"
    failed = f"ERROR (still stopping after {STOPPED_WITHIN_S:g} s)"
    texts = [
        (name, refusal or (done if name in stopped else failed))
        for name, refusal in outcomes.items()
    ]
    return session.tell(arguments, texts, chosen.complaints, done)


def _retire(
    session: Session, process: Process, status: ListenerStatus | None
) -> str | None:
    refusal = signals.send(session, process, status, "USR1")
    if refusal is not None:
        return refusal
    try:
        session.supervisord.stop(process.name)
    except CallRefused as answer:
        return f"ERROR ({answer.why})"
    return None


def _stopped(session: Session, names: set[str]) -> set[str]:
    """Wait until processes are gone; give those that are."""
    gone: set[str] = set()
    for _ in session.looks(STOPPED_WITHIN_S) if names else ():
        gone = {
            process.name
            for process in session.supervisord.processes()
            if process.name in names and process.state in _GONE
        }
        if gone == names:
            break
    return gone
