"""The commands of ``supervisorctl swarm`` by name; each gives its exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Final

from swarm_event_listener.ctl import control as ctl_telling
from swarm_event_listener.ctl import inspect as ctl_looking
from swarm_event_listener.ctl import roll as ctl_rolling
from swarm_event_listener.ctl.session import Exit, Session

_RUN: Final[Mapping[str, Callable[[Session, argparse.Namespace], Exit]]] = {
    "status": ctl_looking.status,
    "top": ctl_looking.top,
    "why": ctl_looking.why,
    "history": ctl_looking.history,
    "dump": ctl_looking.dump,
    "doctor": ctl_looking.doctor,
    "quiet": ctl_telling.quiet,
    "resume": ctl_telling.resume,
    "hold": ctl_telling.hold,
    "release": ctl_telling.release,
    "retire": ctl_telling.retire,
    "roll": ctl_rolling.roll,
}

# These say it where it stays on the screen, or have no need of the listener's files.
_TELL_OF_DOUBTS: Final = frozenset({"status", "top", "doctor"})


def run(session: Session, arguments: argparse.Namespace) -> Exit:
    """Run one command.

    Raises:
        StateError: What it needs to know cannot be told.
        CallRefused: supervisord will not.
        KeyboardInterrupt: The operator stopped it.
    """
    if not (arguments.json or arguments.command in _TELL_OF_DOUBTS):
        session.say(session.listener.doubts())
    return _RUN[arguments.command](session, arguments)
