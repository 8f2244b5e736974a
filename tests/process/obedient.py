"""A node that reports and obeys an operator, without Kafka.

``python -m tests.process.obedient FOLDER`` runs as a program of supervisord. TSTP makes
it quiet, CONT lets it go on, USR1 leaves ``FOLDER/<process name>.left``, TTIN writes
its stacks, TERM ends it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from swarm_worker.process import stacks
from swarm_worker.shared.report import Report, State, encode
from tests.kafka.parent_death import end_with

EVERY_S: Final = 0.25


class Obedient:
    """One such node."""

    def __init__(self, folder: Path) -> None:
        self._left = folder / f"{os.environ['SUPERVISOR_PROCESS_NAME']}.left"
        self.ends = False
        self._state = State.RUNNING
        self._seq = 0

    def obey(self) -> None:
        """Take the signals of an operator."""
        stacks.write_when_asked()
        for number in (signal.SIGTSTP, signal.SIGCONT, signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, self._told)

    def _told(self, number: int, _frame: FrameType | None) -> None:
        match number:
            case signal.SIGTSTP:
                self._state = State.QUIET
            case signal.SIGCONT:
                self._state = State.RUNNING
            case signal.SIGUSR1:
                self._left.write_text("left", "ascii")
            case _:
                self.ends = True  # it may come while another is taken

    def report(self) -> None:
        """Report once, with a few messages more than before."""
        report = Report(
            node=0,
            pid=os.getpid(),
            state=self._state,
            seq=self._seq,
            at_ms=self._seq * 250,
            poll_age_ms=10,
            assigned=3,
            lag=7,
            messages=self._seq * 10,
            brokers_up=1,
        )
        os.write(1, encode(report))
        self._seq += 1


def main(folder: Path) -> None:
    """Report until told to end."""
    end_with(os.getppid())
    node = Obedient(folder)
    node.obey()
    while not node.ends:
        node.report()
        select.select([], [], [], EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
