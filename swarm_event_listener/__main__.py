"""``swarm-event-listener``: keeps the protocol's channel clean, then starts."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Run the listener; give its exit code."""
    # By default they would end it; `start` says that they are ignored.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR2})
    # Before anything is imported that might print: one stray byte on the channel makes
    # supervisord give up on this listener for good, silently.
    stdout = _take_stdout() if "SUPERVISOR_SERVER_URL" in os.environ else 1
    from swarm_event_listener.listener.main import start  # noqa: PLC0415 - see above

    return start(sys.argv[1:], os.environ, stdout=stdout)


def _take_stdout() -> int:
    """Keep the channel for the protocol; what is printed goes to stderr instead."""
    channel = os.dup(1)  # close-on-exec, as all of Python's descriptors
    os.dup2(2, 1)
    return channel


if __name__ == "__main__":
    sys.exit(main())
