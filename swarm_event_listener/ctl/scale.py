"""The command ``scale``: how many nodes of a group run.

The order is the file. Nodes read it at their birth and while they run, and the listener
starts what is missing: so all of it comes about also where this command ends early.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from swarm_event_listener.ctl import signals
from swarm_event_listener.ctl.known import scaling
from swarm_event_listener.ctl.known.scaling import REASON_MAX, Change, Figures, Program
from swarm_event_listener.ctl.known.snapshot import Snapshot
from swarm_event_listener.ctl.known.standings import (
    Stage,
    Standing,
    standings,
    to_leave,
    to_start,
)
from swarm_event_listener.ctl.session import LOOK_EVERY_S, Exit, Session
from swarm_event_listener.ctl.sources.state import StateError
from swarm_event_listener.ctl.sources.supervisord import CallRefused
from swarm_event_listener.ctl.view import scale as view
from swarm_event_listener.doctor.check_disk import owner_name
from swarm_event_listener.story import roll_view
from swarm_worker.shared.scale import Scale, key_of

# Longer than the others' next heartbeat (5 s) and the next report after it (5 s).
TAKEN_OVER_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ordered:
    """An order that stands in the file.

    Attributes:
        program: The program as it was before.
        before: How many nodes of it were to run.
        order: The order.
    """

    program: Program
    before: int
    order: Scale


@dataclass(slots=True, kw_only=True)
class _Sent:
    """What this command has asked of supervisord.

    Attributes:
        started: The nodes that it was to start, each with why it refused; or empty.
        told: The processes that were told to leave: the pid by node.
    """

    started: dict[str, str] = field(default_factory=dict)
    told: dict[str, int | None] = field(default_factory=dict)


def scale(session: Session, arguments: argparse.Namespace) -> Exit:
    """Tell how many nodes run, or have another number of them run."""
    try:
        if arguments.change is None:
            return _show(session, arguments)
        ordered = _order(session, arguments)
    except StateError as why:
        session.screen.say(f"{arguments.group}: ERROR ({why})")
        return Exit.REFUSED
    return _carry_out(session, arguments, ordered)


def _show(session: Session, arguments: argparse.Namespace) -> Exit:
    program = scaling.program_named(arguments.group, session.look())
    figures = _figures(session, program)
    if arguments.json:
        session.screen.say_json(figures.as_json())
    else:
        session.screen.say_lines(view.told(figures))
    return Exit.OK


def _figures(session: Session, program: Program) -> Figures:
    node, sources = program.nodes[0].name, session.sources.scale
    return scaling.figures(program, sources.read(node), sources.start_nodes(node))


# --- the order ------------------------------------------------------------------------


def _order(session: Session, arguments: argparse.Namespace) -> _Ordered:
    """Put the order into the file.

    Raises:
        StateError: It is refused: nothing was done.
    """
    snapshot = session.look()
    program = scaling.program_named(arguments.group, snapshot)
    if arguments.change == scaling.AUTO:
        raise StateError(_auto_refusal(program))
    _check_known(session, snapshot, program)
    node, sources = program.nodes[0].name, session.sources.scale
    start_nodes, policy = sources.start_nodes(node), sources.exit_policy(node)
    step: Change = arguments.change
    reason = _reason(arguments)
    ordered: list[_Ordered] = []

    def decide(orders: Mapping[str, Scale]) -> tuple[str, Scale]:
        before = program.wanted(orders, start_nodes)
        wanted = step.of(before)
        why = scaling.refusal(program, wanted, policy)
        why = why or _cannot_leave(session, program, wanted)
        if why:
            raise StateError(why)
        order = Scale(nodes=wanted, by=_operator(), why=reason, at=_now())
        ordered.append(_Ordered(program=program, before=before, order=order))
        key = key_of(
            orders,
            group=program.group,
            program=program.name,
            is_alone=program.is_alone,
        )
        return key, order

    sources.put(node, decide)
    if snapshot.stale is not None and not arguments.json:
        session.screen.say(f"warning: {snapshot.stale.text}")
    return ordered[0]


def _auto_refusal(program: Program) -> str:
    """Return why the number of a program cannot follow its load."""
    return (
        "autoscale is off: it needs autoscale = true in "
        f"[listener.group.{program.group}] of swarm.toml"
    )


def _check_known(session: Session, snapshot: Snapshot, program: Program) -> None:
    """Refuse where it is not known what the nodes need, or while they are rolled.

    Raises:
        StateError: Says why.
    """
    if snapshot.status is None:
        raise StateError(snapshot.error)
    roll = snapshot.status.rolls.get(program.group)
    if roll is not None and not roll["is_over"]:
        how_far = roll_view.how_far(roll, now_s=session.sources.clock())
        raise StateError(f"{how_far}; swarm roll {program.group} --cancel ends it")


def _cannot_leave(session: Session, program: Program, wanted: int) -> str:
    """Return which process does not know how to leave its group; empty without one."""
    for process in to_leave(program, wanted):
        if process.pid and session.sources.catches(process.pid, "USR1") is False:
            return (
                f"{process.name} has no handler for SIGUSR1: a loop of your own cannot "
                "be scaled; stop it with supervisorctl"
            )
    return ""


def _reason(arguments: argparse.Namespace) -> str:
    reason = " ".join(arguments.why)
    if len(reason) > REASON_MAX:
        raise StateError(
            f"expected a reason of at most {REASON_MAX} characters, got {len(reason)}"
        )
    return reason


def _operator() -> str:
    uid = os.getuid()
    behind_sudo = os.environ.get("SUDO_USER") if uid == 0 else None
    return f"user {behind_sudo}" if behind_sudo else owner_name(uid)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


# --- what follows ---------------------------------------------------------------------


def _carry_out(
    session: Session, arguments: argparse.Namespace, ordered: _Ordered
) -> Exit:
    """Start what is missing, end what is not needed, and show how that goes.

    Raises:
        StateError: Another order has come.
    """
    try:
        found = _follow(session, arguments, ordered)
        is_done = all(it.stage is Stage.DONE for it in found.values())
        within_s = TAKEN_OVER_WITHIN_S if is_done and not arguments.no_wait else 0.0
        program = _taken_over(session, ordered, within_s)
    except KeyboardInterrupt:
        session.screen.say(view.left(ordered.program.title, ordered.order))
        return Exit.FAILED
    warnings = view.warnings(ordered.program, program, ordered.order) if is_done else []
    if arguments.json:
        said = view.as_json(_figures(session, program), ordered.before, found, warnings)
        session.screen.say_json(said)
    else:
        waited_s = 0 if arguments.no_wait else arguments.timeout
        ended = view.ended(program, ordered.order, found, within_s=waited_s)
        session.screen.say_lines([*ended, *warnings])
    is_failed = any(it.stage is Stage.FAILED for it in found.values())
    return Exit.OK if is_done or (arguments.no_wait and not is_failed) else Exit.FAILED


def _taken_over(session: Session, ordered: _Ordered, within_s: float) -> Program:
    """Return the program once its nodes hold as many partitions as before, or in time.

    While a group rebalances, also as the order came, nobody holds some; and a report
    comes each few seconds. So fewer partitions than nodes are waited for, too.
    """
    program = _look(session, ordered)
    for _ in session.looks(within_s):
        is_idle = scaling.has_idle(program, ordered.order.nodes)
        if not is_idle and not scaling.lacks_partitions(ordered.program, program):
            break
        program = _look(session, ordered)
    return program


def _follow(
    session: Session, arguments: argparse.Namespace, ordered: _Ordered
) -> Mapping[str, Standing]:
    """Return how the nodes stand to the order in the end."""
    nodes = ordered.order.nodes
    give_up_at_s = session.sources.clock() + arguments.timeout
    program = _look(session, ordered)
    sent = _Sent()
    before: Mapping[str, Standing] | None = None
    while True:
        _start(session, program, nodes, sent)
        _let_leave(session, program, nodes, sent)
        program = _look(session, ordered)
        now = standings(program, nodes, started=sent.started)
        if not arguments.json:
            session.screen.say_lines(view.progress(before, now))
        is_over = all(it.stage is not Stage.UNDER_WAY for it in now.values())
        if is_over or arguments.no_wait or session.sources.clock() >= give_up_at_s:
            return now
        before = now
        session.screen.wait(LOOK_EVERY_S)


def _look(session: Session, ordered: _Ordered) -> Program:
    """Return the program as it is now.

    Raises:
        StateError: Another order has come, or the program is gone.
    """
    program = scaling.program_named(ordered.program.title, session.look())
    holds = program.order(session.sources.scale.read(program.nodes[0].name))
    if holds != ordered.order:
        raise StateError(view.overtaken(program.title, holds))
    return program


def _start(session: Session, program: Program, nodes: int, sent: _Sent) -> None:
    """Start what is missing: each once, so that one that cannot stay is seen."""
    for name in to_start(program, nodes):
        if name not in sent.started:
            sent.started[name] = ""
            try:
                session.supervisord.start(name)
            except CallRefused as answer:
                sent.started[name] = answer.why


def _let_leave(session: Session, program: Program, nodes: int, sent: _Sent) -> None:
    """Let all leave for good, then end: at once, and together, for one rebalance.

    By themselves they would within a second, each at another moment.
    """
    status = session.status()
    leaving = [
        process
        for process in to_leave(program, nodes)
        if sent.told.get(process.name) != process.pid
        and signals.send(session, process, status, "USR1") is None
    ]
    for process in leaving:
        sent.told[process.name] = process.pid
        with suppress(CallRefused):  # it has ended meanwhile
            session.supervisord.signal(process.name, "TERM")
