"""The command ``roll``: the listener does it, this shows it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import Final

from swarm_event_listener import ctl_view
from swarm_event_listener.ctl_session import (
    CONFIRMED_WITHIN_S,
    LOOK_EVERY_S,
    Exit,
    Session,
)
from swarm_event_listener.ctl_state import Plain, StateError, Told
from swarm_event_listener.events import RollOrdered
from swarm_event_listener.health import Word
from swarm_event_listener.orders import encode_roll, encode_roll_cancel

_WORDS: Final = {"done": "works again", "skipped": "not running, or held: left alone"}


def roll(session: Session, arguments: argparse.Namespace) -> Exit:
    """Restart the nodes of a group, one after the other."""
    group = arguments.group.removesuffix(":*").removesuffix(":")
    told = session.listening()
    if group not in told.groups:
        watched = ", ".join(told.groups)
        raise StateError(
            f"{group}: ERROR (no group that the listener watches: {watched})"
        )
    before = told.rolls.get(group)
    if before is not None and not before.get("is_over"):
        raise StateError(f"{group}: ERROR (a roll is under way already)")
    _check_can_be_quiet(session, group, told)
    session.calls.send(
        encode_roll(
            RollOrdered(
                group=group,
                max_unavailable=arguments.max_unavailable,
                timeout_s=arguments.timeout,
            )
        )
    )
    ended = _follow(session, group, before, aloud=not arguments.json)
    if arguments.json:
        session.json(ended)
    else:
        session.say(_roll_ended(group, ended, width=session.screen.width))
    if not (ended.get("failure") or ended.get("is_cancelled")):
        return Exit.OK
    if not arguments.json:
        _show_ill(session, group)
    return Exit.FAILED


def _show_ill(session: Session, group: str) -> None:
    """Show how the nodes of a group are that are not healthy after their roll."""
    nodes = [p for p in session.calls.processes() if p.group == group]
    ill = [row for row in session.rows(nodes)[0] if row.health != Word.HEALTHY]
    if ill:
        session.screen.say(ctl_view.render(ill, width=session.screen.width))


def _check_can_be_quiet(session: Session, group: str, told: Told) -> None:
    """Refuse nodes that TSTP would suspend: loops of their own need not handle it.

    Raises:
        StateError: Names the first of them.
    """
    for process in session.calls.processes():
        is_known = bool(told.nodes.get(process.name, {}).get("known"))
        if process.group != group or process.pid is None or not is_known:
            continue  # not to be told, or not before it has reported
        if session.eyes.catches(process.pid, "TSTP") is False:
            raise StateError(
                f"{process.name}: ERROR (its process has no handler for SIGTSTP: a "
                "roll cannot quiet it; use supervisorctl restart, one by one)"
            )


def _follow(
    session: Session, group: str, before: Plain | None, *, aloud: bool
) -> Plain:
    """Show a roll's progress until it is over; Ctrl-C lets it end early.

    Raises:
        StateError: The listener has not begun it, or tells nothing any more.
        KeyboardInterrupt: The operator has pressed Ctrl-C twice.
    """
    last: Plain | None = before
    is_cancelled = False  # by this operator: the listener's own word comes later
    begun_by_s = session.eyes.clock() + CONFIRMED_WITHIN_S
    while True:
        now = _heard(session, group).rolls.get(group)
        if now is not None and now != last:
            if aloud:
                session.say(_progress(last if last is not before else None, now))
            last = now
        if last is not before and last is not None and last.get("is_over"):
            return last
        if last is before and session.eyes.clock() > begun_by_s:
            raise StateError(
                f"{group}: ERROR (the listener has not begun it: see its log)"
            )
        try:
            session.screen.wait(LOOK_EVERY_S)
        except KeyboardInterrupt:
            if is_cancelled:
                raise
            is_cancelled = True
            _cancel(session, group)


def _heard(session: Session, group: str) -> Told:
    """Give what the listener says now.

    Raises:
        StateError: It says nothing any more.
    """
    told, _ = session.told()
    if told is None or told.is_stale:
        raise StateError(
            f"{group}: ERROR (the listener tells nothing any more: see its log; the "
            "next one goes on with the roll)"
        )
    return told


def _cancel(session: Session, group: str) -> None:
    """End a roll after the nodes whose turn it is."""
    session.calls.send(encode_roll_cancel(group))
    session.screen.say(
        "the listener is told: no further node; Ctrl-C again leaves it unwatched"
    )


def _progress(before: Plain | None, now: Plain) -> list[str]:
    """Give a line for each node that moved on."""
    lines = []
    if before is None:
        count = sum(len(now.get(key, ())) for key in ("waiting", "turned", "done"))
        lines.append(f"rolling {count} nodes of {now.get('group')}")
    old = {turned["name"] for turned in (before or {}).get("turned", ())}
    for key in ("done", "skipped"):
        known = set((before or {}).get(key, ()))
        lines += [
            f"{name}: {_WORDS[key]}" for name in now.get(key, ()) if name not in known
        ]
    lines += [
        f"{turned['name']}: its turn"
        for turned in now.get("turned", ())
        if turned["name"] not in old
    ]
    return lines


def _listed(word: str, names: Sequence[str], width: int) -> str:
    """Give names of one group, the group left out."""
    listed = ", ".join(name.partition(":")[2] for name in names)
    lines = textwrap.wrap(
        f"{word}: {listed}", width, initial_indent="  ", subsequent_indent="    "
    )
    return "\n".join(lines)


_ENDED: Final = {
    "done": "restarted",
    "skipped": "left alone (not running, or held)",
    "waiting": "left as they were",
}


def _roll_ended(group: str, roll: Plain, *, width: int) -> list[str]:
    """Give how it ended; where that is not as it was meant, node by node."""
    told = {word: roll[key] for key, word in _ENDED.items() if roll.get(key)}
    counts = ", ".join(f"{len(names)} {word}" for word, names in told.items())
    names = [_listed(word, names, width) for word, names in told.items()]
    if roll.get("failure"):
        failed = f"{group}: ERROR ({roll['failure']}); {counts or 'none restarted'}"
        return [failed, *names]
    if roll.get("is_cancelled"):
        return [f"{group}: roll ended early; {counts or 'no nodes'}", *names]
    return [f"{group}: roll done; {counts or 'no nodes'}"]
