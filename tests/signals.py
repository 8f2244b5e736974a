"""The signals of a test run, whoever starts it.

What a process ignores or blocks is inherited by all that it starts. ``&`` in a script
makes its child ignore INT and QUIT, some starters ignore CHLD: tests that send a
signal then wait for ever, and every exit code reads 0.
"""

from __future__ import annotations

import signal
from typing import Final

import pytest

# HUP stays as it is: with nohup, a run is to outlive its terminal.
_SENT: Final = (
    *(signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP, signal.SIGCHLD),
)


def take_none_as_ignored() -> None:
    """Take the signals that tests send as a shell at a terminal gives them."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _SENT:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


hup_is_heard = pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
    reason="with nohup each process that is started ignores it",
)
HUP: Final = pytest.param(signal.SIGHUP, marks=hup_is_heard)
