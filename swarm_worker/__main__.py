"""``swarm-worker``: the first lines of a node, before anything that takes time."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys


def main() -> None:
    """Run a node and end the process with its exit code."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, _stopped)
    # By default they would end the process; they wait until the inbox takes them.
    signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP}
    )
    # A crash in C leaves the stacks of all threads.
    faulthandler.enable(file=2, all_threads=True)
    # A stop is obeyed while these are imported.
    from swarm_worker.process import stacks  # noqa: PLC0415

    stacks.write_when_asked()
    from swarm_worker.node import main as start  # noqa: PLC0415

    sys.exit(start.main(sys.argv[1:], os.environ))


def _stopped(*_: object) -> None:
    os._exit(0)  # nothing has begun


if __name__ == "__main__":
    main()
