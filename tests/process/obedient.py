"""A node that reports and obeys an operator, without Kafka.

``python -m tests.process.obedient FOLDER`` runs as a program of supervisord. TSTP makes
it quiet, CONT lets it go on, USR1 leaves ``FOLDER/<process name>.left``, TTIN writes
its stacks, TERM ends it. Where ``FOLDER/run/scale.json`` asks for fewer nodes, it says
that it is a spare, and ends as one.
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
from swarm_worker.shared.scale import node_id_of, program_of, scale_of
from swarm_worker.shared.settings import EXIT_SPARE
from swarm_worker.shared.state_files import scale_file
from tests.kafka.parent_death import end_with

EVERY_S: Final = 0.25
NODES: Final = 4  # without an order
PARTITIONS: Final = 12


class Obedient:
    """One such node."""

    def __init__(self, folder: Path) -> None:
        self._name = os.environ["SUPERVISOR_PROCESS_NAME"]
        self._left = folder / f"{self._name}.left"
        self._node_id = node_id_of(self._name) or 0
        self._folder = folder
        self.is_spare = self._node_id >= self._wanted()
        self.ends = False
        self._state = State.RUNNING
        self._seq = 0

    def _wanted(self) -> int:
        """Return how many nodes are to run, as the file says now."""
        group = os.environ["SUPERVISOR_GROUP_NAME"]
        orders = scale_file.read(self._folder / "run")
        order = scale_of(orders, group=group, program=program_of(self._name))
        return NODES if order is None else order.nodes

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
            node=self._node_id,
            pid=os.getpid(),
            state=self._state,
            seq=self._seq,
            at_ms=self._seq * 250,
            poll_age_ms=10,
            assigned=PARTITIONS // self._wanted(),
            lag=7,
            messages=self._seq * 10,
            brokers_up=1,
            spare=self.is_spare,
        )
        os.write(1, encode(report))
        self._seq += 1


def main(folder: Path) -> None:
    """Report until told to end."""
    end_with(os.getppid())
    node = Obedient(folder)
    node.obey()
    if node.is_spare:
        node.report()
        os._exit(EXIT_SPARE)
    while not node.ends:
        node.report()
        select.select([], [], [], EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
