"""Signals meant for other programs: they neither end nor stop a process of ours.

By default HUP and USR2, which other daemons take for "reload", end a process at once:
batches in flight are cut off. TTOU, which gunicorn obeys, stops it until a CONT;
signals for nodes do that to a listener: `supervisorctl signal TTIN all`.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Final

RELOAD: Final = (signal.SIGHUP, signal.SIGUSR2)
IGNORED: Final = (*RELOAD, signal.SIGTTOU)
# The listener's; TTIN writes its stacks, as a node's (`__main__`).
SIGNALS_FOR_NODES: Final = (signal.SIGTSTP, signal.SIGUSR1)

_DO: Final = (
    "TERM stops this process in order; supervisorctl swarm roll GROUP restarts the "
    "nodes one by one, with new code and configuration"
)

logger = logging.getLogger(__name__)

_said: set[int] = set()
_ours: set[signal.Signals] = set()


def block() -> None:
    """Keep them waiting until `ignore`, from a process's first line on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, RELOAD)


def ignore(also: Sequence[signal.Signals] = ()) -> None:
    """Ignore them on the main thread, each with one WARNING.

    One that does not end the process anyway is left as it is: `nohup` had it ignored,
    or the app has a use of its own for it.
    """
    for number in (*IGNORED, *also):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _say)
            _ours.add(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, RELOAD)


def ignore_at_the_end() -> None:
    """Ignore them in silence: the interpreter ends, and gives up its handlers."""
    _leave_to(signal.SIG_IGN)


def _say(number: int, _frame: FrameType | None) -> None:
    # A queue that may be entered again while it is entered takes the line (`logs`).
    if number not in _said:
        _said.add(number)
        logger.warning(
            "signal_ignored signal=%s do=%r", signal.Signals(number).name, _DO
        )


def _leave_to(handler: signal.Handlers) -> None:
    for number in _ours:
        if signal.getsignal(number) is _say:
            signal.signal(number, handler)


# They end a forked child again: what it is sent is not for a node.
os.register_at_fork(after_in_child=lambda: _leave_to(signal.SIG_DFL))
