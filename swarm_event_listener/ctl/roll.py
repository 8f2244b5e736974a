"""The command ``roll``: the listener does it, this shows it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from swarm_event_listener.core.model.events import RollOrdered
from swarm_event_listener.ctl.session import (
    CONFIRMED_WITHIN_S,
    LATER,
    LOOK_EVERY_S,
    SETTLED_WITHIN_S,
    Exit,
    Session,
)
from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain, StateError
from swarm_event_listener.ctl.view import table
from swarm_event_listener.story import roll_view
from swarm_event_listener.story.node_status import failure_text
from swarm_event_listener.supervisord.operator_commands import (
    encode_roll,
    encode_roll_cancel,
)

FAILS_AGAIN_WITHIN_S: Final = 10.0  # two reports, at the default interval

_OTHER_CODE: Final = (
    "a roll is under way, but the listener runs other code than this command and does "
    "not tell how far it is: restart it, and the roll goes on: supervisorctl restart "
    "swarm_event_listener; see swarm status"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """The roll that a command is about.

    Attributes:
        group: Its group.
        is_it: Tells it from another roll of the group.
        within_s: When the listener tells of it at the latest.
        missing: What to say when it does not.
    """

    group: str
    is_it: Callable[[Plain], bool]
    within_s: float
    missing: str


def roll(session: Session, arguments: argparse.Namespace) -> Exit:
    """Restart the nodes of a group, one after the other; or end that early."""
    group = arguments.group.removesuffix(":*").removesuffix(":")
    is_cancel: bool = arguments.cancel
    status = _asked(session, group, is_cancel=is_cancel)
    failed_before = () if is_cancel else tuple(_failing(status, group))
    if group not in status.groups:
        watched = ", ".join(status.groups)
        raise StateError(
            f"{group}: ERROR (no group that the listener watches: {watched})"
        )
    if is_cancel:
        followed = _begun_cancel(session, group, status)
    else:
        followed = _begun(session, group, arguments, status)
    ended = _follow(
        session, followed, is_cancelled=is_cancel, verbose=not arguments.json
    )
    failing = _failing_after(session, group, failed_before)
    if arguments.json:
        fails = {"failed_before": list(failed_before), "failing": list(failing)}
        session.screen.say_json({**ended, **fails})
    else:
        width = session.screen.width
        session.screen.say_lines(roll_view.ended(ended, width=width))
        session.screen.say_lines(roll_view.failing(failed_before, failing, width=width))
    is_complete = is_cancel or not ended["held"]
    if is_complete and ended["is_cancelled"] is is_cancel and not ended["failure"]:
        return Exit.OK
    if not arguments.json:
        _show_ill(session, group)
    return Exit.FAILED


def _asked(session: Session, group: str, *, is_cancel: bool) -> ListenerStatus:
    """Return what the listener says; it gets a cancel even if it cannot confirm it.

    Raises:
        StateError: There is no listener that takes orders, or none that confirms them.
    """
    status, stale = session.look().taking_orders()
    if stale is None:
        return status
    if not is_cancel:
        raise StateError(f"ERROR ({stale.text})")
    session.supervisord.send(encode_roll_cancel(group))
    raise StateError(
        f"{group}: ERROR (the listener is told, but cannot confirm it; see its log. "
        f"{stale.text})"
    )


def _begun(
    session: Session, group: str, arguments: argparse.Namespace, status: ListenerStatus
) -> _Followed:
    """Order a roll.

    Raises:
        StateError: Why it cannot begin.
    """
    _refuse_a_second(session, status.rolls.get(group))
    _check_can_be_quiet(session, group, status)
    ordered_at_s = session.sources.clock()
    order = RollOrdered(
        group=group,
        max_unavailable=arguments.max_unavailable,
        timeout_s=arguments.timeout,
        ordered_at_s=ordered_at_s,
    )
    session.supervisord.send(encode_roll(order))
    return _Followed(
        group=group,
        is_it=partial(_is_ours, session, ordered_at_s),
        within_s=CONFIRMED_WITHIN_S,
        missing=f"the listener has not begun it; {LATER}",
    )


def _is_ours(session: Session, ordered_at_s: float, now: Plain) -> bool:
    """Whether a roll is the one that was ordered at that moment.

    Raises:
        StateError: Another one is under way, or the listener does not tell.
    """
    if "ordered_at_s" not in now:
        raise StateError(f"{now['group']}: ERROR ({_OTHER_CODE})")
    is_ours = bool(now["ordered_at_s"] == ordered_at_s)
    if not is_ours:  # it may have begun before the listener had our order
        _refuse_a_second(session, now)
    return is_ours


def _refuse_a_second(session: Session, other: Plain | None) -> None:
    """Refuse to roll a group that is being rolled.

    Raises:
        StateError: Says how far that is, and how to end it.
    """
    if other is not None and not other["is_over"]:
        how_far = roll_view.how_far(other, now_s=session.sources.clock())
        group = other["group"]
        raise StateError(
            f"{group}: ERROR ({how_far}; swarm roll {group} --cancel ends it)"
        )


def _begun_cancel(session: Session, group: str, status: ListenerStatus) -> _Followed:
    """End the roll that is under way, also one that has begun since ``status``."""
    before = status.rolls.get(group)
    session.supervisord.send(encode_roll_cancel(group))
    return _Followed(
        group=group,
        is_it=lambda now: not now["is_over"] or now != before,
        within_s=SETTLED_WITHIN_S,
        missing="no roll is under way",
    )


def _failing(status: ListenerStatus | None, group: str) -> dict[str, str]:
    """Return a line for each message of a group that fails, by its place."""
    nodes = {} if status is None or status.is_stale else status.nodes
    reports = [
        node.get("report") or {}
        for name, node in sorted(nodes.items())
        if name.startswith(f"{group}:") and node.get("pid")
    ]
    return {
        message["at"]: failure_text(message)
        for report in reports
        for message in report.get("failing", ())
    }


def _failing_after(
    session: Session, group: str, before: Sequence[str]
) -> Mapping[str, str]:
    """Return those that fail after a roll, with time for each to fail once more.

    The roll itself does not wait for them: what a message needs may be days away.
    """
    now: Mapping[str, str] = {}
    if not before:
        return now
    for _ in session.looks(FAILS_AGAIN_WITHIN_S):
        now = _failing(session.status(), group)
        if now.keys() >= set(before):
            break
    return now


def _show_ill(session: Session, group: str) -> None:
    """Show how the nodes of a group are that are not healthy after their roll."""
    snapshot = session.look()
    nodes = [process for process in snapshot.processes if process.group == group]
    rows, _ = session.rows(snapshot, nodes)
    ill = [row for row in rows if not row.is_well]
    if ill:
        session.screen.say(table.render(ill, width=session.screen.width))


def _check_can_be_quiet(session: Session, group: str, status: ListenerStatus) -> None:
    """Refuse nodes that TSTP would suspend: loops of their own need not handle it.

    Raises:
        StateError: Names the first of them.
    """
    for process in session.supervisord.processes():
        is_known = bool(status.nodes.get(process.name, {}).get("known"))
        if process.group != group or process.pid is None or not is_known:
            continue  # gets no signal, or none before it has reported
        if session.sources.catches(process.pid, "TSTP") is False:
            raise StateError(
                f"{process.name}: ERROR (its process has no handler for SIGTSTP: a "
                "roll cannot quiet it; use supervisorctl restart, one by one)"
            )


def _follow(
    session: Session, followed: _Followed, *, is_cancelled: bool, verbose: bool
) -> Plain:
    """Show a roll's progress until it is over; Ctrl-C lets it end early.

    Args:
        session: The operator's.
        followed: The roll.
        is_cancelled: By this operator: the listener says so only later.
        verbose: Whether the progress is printed.

    Raises:
        StateError: The listener tells of no such roll, or nothing any more.
        KeyboardInterrupt: The operator has pressed Ctrl-C when it was cancelled.
    """
    last: Plain | None = None
    begun_by_s = session.sources.clock() + followed.within_s
    while True:
        try:  # Ctrl-C may come at any line, not only while this waits
            now = _look(session, followed, was_there=last is not None)
            if now is not None and verbose and now != last:
                session.screen.say_lines(roll_view.progress(last, now))
            if now is not None and now["is_over"]:
                return now
            if now is None and session.sources.clock() > begun_by_s:
                raise StateError(f"{followed.group}: ERROR ({followed.missing})")
            last = now
            session.screen.wait(LOOK_EVERY_S)
        except KeyboardInterrupt:
            if is_cancelled:
                raise
            is_cancelled = True
            _cancel(session, followed.group)


def _look(session: Session, followed: _Followed, *, was_there: bool) -> Plain | None:
    """Return the roll as the listener tells of it; None while it does not yet.

    Raises:
        StateError: It tells of it no more, or of nothing.
    """
    group = followed.group
    now = _heard(session, group).rolls.get(group)
    if now is not None and followed.is_it(now):
        return now
    if was_there:
        raise StateError(
            f"{group}: ERROR (the listener was restarted and knows of no roll under "
            "way: see its log, and swarm history)"
        )
    return None


def _heard(session: Session, group: str) -> ListenerStatus:
    """Return what the listener says now.

    Raises:
        StateError: It says nothing any more.
    """
    status = session.status()
    if status is not None and not status.is_stale:
        return status
    stale = session.look().stale
    if stale is not None and stale.takes_orders:
        raise StateError(f"{group}: ERROR (it goes on, unseen. {stale.text})")
    raise StateError(
        f"{group}: ERROR (the listener tells nothing any more: see its log; the "
        "next one goes on with the roll)"
    )


def _cancel(session: Session, group: str) -> None:
    """End a roll after the nodes whose turn it is."""
    session.supervisord.send(encode_roll_cancel(group))
    session.screen.say(
        "the listener is told: no further node; Ctrl-C again leaves it unwatched"
    )
