"""``swarm-event-listener``: keeps the protocol's channel clean, then starts."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys

# Set by the command, swarm-event-listener beside this file, which has put the channel
# of the protocol out of reach before Python could print on it.
CHANNEL = "SWARM_LISTENER_STDOUT"


def main() -> int:
    """Run the listener; return its exit code."""
    # By default they would end it; `start` says that they are ignored.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR2})
    # By default it stops a process; `supervisorctl signal TTIN all` means the nodes.
    faulthandler.register(signal.SIGTTIN, file=2, all_threads=True, chain=False)
    # Before anything is imported that might print: one stray byte on the channel makes
    # supervisord give up on this listener for good, silently.
    stdout = _take_stdout() if "SUPERVISOR_SERVER_URL" in os.environ else 1
    if "--version" in sys.argv[1:]:
        return _tell_version(stdout)
    from swarm_event_listener.listener.main import start  # noqa: PLC0415 - see above

    return start(sys.argv[1:], os.environ, stdout=stdout)


def _take_stdout() -> int:
    """Keep the channel for the protocol; what is printed goes to stderr instead."""
    channel = os.environ.pop(CHANNEL, "")
    try:
        os.set_inheritable(int(channel), False)  # noqa: FBT003 - positional only
    except (OSError, ValueError):  # started without that command, as a module
        stdout = os.dup(1)  # close-on-exec, as all of Python's descriptors
        os.dup2(2, 1)
        return stdout
    return int(channel)


def _tell_version(stdout: int) -> int:
    """Write it where the protocol would begin: the doctor looks what comes before."""
    from importlib.metadata import version  # noqa: PLC0415 - 10 ms that a start saves

    text = f"swarm-event-listener {version('kafka-consumer-swarm')}\n"
    os.write(stdout, text.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
