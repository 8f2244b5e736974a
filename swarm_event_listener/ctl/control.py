"""The commands that order: quiet, resume, hold, release, retire."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from swarm_event_listener.core.model.events import OrderKind, ProcessState
from swarm_event_listener.ctl import signals
from swarm_event_listener.ctl.session import (
    CONFIRMED_WITHIN_S,
    LATER,
    Exit,
    Session,
)
from swarm_event_listener.ctl.sources.state import ListenerStatus
from swarm_event_listener.ctl.sources.supervisord import CallRefused, Process
from swarm_event_listener.supervisord.operator_commands import encode

STOPPED_WITHIN_S: Final = 3600.0  # supervisord KILLs long before that
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
    snapshot = session.look()
    chosen = snapshot.choose_to_order(arguments.names)
    outcomes = [
        (
            process.name,
            signals.send(session, process, snapshot.status, signal_name) or done,
        )
        for process in chosen.processes
    ]
    return _report(session, arguments, outcomes, chosen.complaints, done)


def hold(session: Session, arguments: argparse.Namespace) -> Exit:
    """Take nodes out of the rules."""
    return _order(session, arguments, OrderKind.HOLD, "held")


def release(session: Session, arguments: argparse.Namespace) -> Exit:
    """Put nodes under the rules again."""
    return _order(session, arguments, OrderKind.RELEASE, "released")


def _order(
    session: Session, arguments: argparse.Namespace, kind: OrderKind, done: str
) -> Exit:
    """Send the listener an order, and wait until it confirms that."""
    snapshot = session.look()
    _, stale = snapshot.taking_orders()
    chosen = snapshot.choose_to_order(arguments.names)
    names = [process.name for process in chosen.processes]
    if names:
        session.supervisord.send(encode(kind, names))
    if stale is not None:  # it has the order, and cannot write that it does
        told = "ERROR (the listener is told, but cannot confirm it; see its log)"
        complaints = [*chosen.complaints, stale.text]
        return _report(
            session, arguments, [(name, told) for name in names], complaints, done
        )
    missing = _unconfirmed(session, names, is_held=kind is OrderKind.HOLD)
    down = _staying_down(session, kind)
    failed = f"ERROR (not confirmed within {CONFIRMED_WITHIN_S:g} s; {LATER})"
    stays = f"{done}; it is down, and stays so until supervisorctl start"
    outcomes = [
        (
            name,
            failed if name in missing else f"{stays} {name}" if name in down else done,
        )
        for name in names
    ]
    return _report(session, arguments, outcomes, chosen.complaints, done)


def _unconfirmed(session: Session, names: Sequence[str], *, is_held: bool) -> set[str]:
    """Wait until the listener confirms; return the nodes that it did not speak of."""
    missing = set(names)
    for _ in session.looks(CONFIRMED_WITHIN_S):
        status = session.status()
        nodes = status.nodes if status else {}
        missing = {
            name
            for name in missing
            if bool(nodes.get(name, {}).get("held")) is not is_held
        }
        if not missing:
            break
    return missing


def _staying_down(session: Session, kind: OrderKind) -> set[str]:
    """Return what is down, and stays so after the order."""
    # A release gives a FATAL one another try.
    states = _GONE if kind is OrderKind.HOLD else _GONE - {ProcessState.FATAL}
    return {p.name for p in session.supervisord.processes() if p.state in states}


def retire(session: Session, arguments: argparse.Namespace) -> Exit:
    """Let nodes leave their Kafka groups for good, then stop them."""
    snapshot = session.look()
    chosen = snapshot.choose_to_order(arguments.names)
    outcomes = {
        process.name: _retire(session, process, snapshot.status)
        for process in chosen.processes
    }
    stopping = {name for name, refusal in outcomes.items() if refusal is None}
    stopped = _stopped(session, stopping)
    done = "retired"
    failed = f"ERROR (still stopping after {STOPPED_WITHIN_S:g} s)"
    texts = [
        (name, refusal or (done if name in stopped else failed))
        for name, refusal in outcomes.items()
    ]
    return _report(session, arguments, texts, chosen.complaints, done)


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
    """Wait until processes are gone; return those that are."""
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


def _report(
    session: Session,
    arguments: argparse.Namespace,
    outcomes: Sequence[tuple[str, str]],
    complaints: Sequence[str],
    done: str,
) -> Exit:
    """Print what became of each node; return whether all is done."""
    if arguments.json:
        plain = {"nodes": dict(outcomes), "warnings": list(complaints)}
        session.screen.say_json(plain)
    else:
        texts = (f"{name}: {text}" for name, text in outcomes)
        session.screen.say_lines([*complaints, *texts])
    is_done = all(text.startswith(done) for _, text in outcomes)
    return Exit.OK if is_done and not complaints else Exit.FAILED
