"""A node that hangs; told to end it closes its pipes, and is gone a moment later.

``python -m tests.process.slow_end`` runs as a program of supervisord.
"""

import os
import select
import signal

from swarm_worker.shared.report import Report, State, encode
from tests.kafka.parent_death import end_with

GONE_AFTER_S = 0.2
EVERY_S = 0.5


def main() -> None:
    """Report again and again that a batch has taken an hour."""
    end_with(os.getppid())
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _end())
    hangs = Report(
        node=0,
        pid=os.getpid(),
        state=State.RUNNING,
        poll_age_ms=1,
        consume_age_ms=3_600_000,
    )
    while True:
        os.write(1, encode(hangs))
        select.select([], [], [], EVERY_S)


def _end() -> None:
    os.close(1)
    os.close(2)
    select.select([], [], [], GONE_AFTER_S)
    os._exit(0)


if __name__ == "__main__":
    main()
