"""The commands of ``supervisorctl swarm`` by name; each gives its exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from swarm_event_listener.ctl import control, inspect, roll
from swarm_event_listener.ctl.session import Exit, Session

_RUN: Final[Mapping[str, Callable[[Session, argparse.Namespace], Exit]]] = {
    "status": inspect.status,
    "top": inspect.top,
    "why": inspect.why,
    "history": inspect.history,
    "dump": inspect.dump,
    "doctor": inspect.doctor,
    "quiet": control.quiet,
    "resume": control.resume,
    "hold": control.hold,
    "release": control.release,
    "retire": control.retire,
    "roll": roll.roll,
}

# These say it where it stays on the screen, or have no need of the listener's files.
_WARN_THEMSELVES: Final = frozenset({"status", "top", "doctor"})


def run(session: Session, arguments: argparse.Namespace) -> Exit:
    """Run one command.

    Raises:
        StateError: What it needs to know cannot be told.
        CallRefused: supervisord will not.
        KeyboardInterrupt: The operator stopped it.
    """
    if not (arguments.json or arguments.command in _WARN_THEMSELVES):
        session.say(session.listener.place_warnings())
    return _RUN[arguments.command](session, arguments)
