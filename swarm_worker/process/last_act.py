"""What a node does with the processes that its handlers have started, as it ends."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Final, NoReturn

from swarm_worker.process import exit_codes as exits
from swarm_worker.process.offspring import Mark, Process, Processes, to_end_with
from swarm_worker.process.processes import (
    era,
    look_at,
    made_group_of_slot,
    named,
    running,
    tell,
    ticks,
)
from swarm_worker.shared import logs

# Those that read from the node, such as a `gzip`, have this long for what they hold.
_GRACE: Final = "sleep 1; {others}kill -KILL 0"
# Of a process in another group: its number may be somebody else's by then, so since
# when it runs is compared, the 22nd field of the line.
IF_STILL_THERE: Final = (
    "l=; read -r l </proc/{pid}/stat; set -- ${{l##*) }}; "
    '[ "${{20}}" = {started} ] && kill -KILL {pid}; '
)
_ROUNDS_MAX: Final = 5
# To look at a process lets go of the GIL, three times. What hangs in a loop of Python
# would keep it for 5 ms then: 2 s for 130 processes, longer than this may take.
_OFTEN_S: Final = 1e-4
_UNDISTURBED_S: Final = 1.0
_LOG_WITHIN_S: Final = 0.5

_KILLED_SOON: Final = "what is left of them is killed in a second"

logger = logging.getLogger(__name__)


class LastAct:
    """Ends this process, and what it has started with it.

    Attributes:
        has_group: Whether supervisord made this process's group, for its slot.
    """

    def __init__(self) -> None:
        """End what this process has started itself, until `take_group`."""
        self._pid = os.getpid()
        self._own = look_at(self._pid)
        self._era = ""
        self.has_group = False

    def take_group(self) -> None:
        """End the whole process group from now on, if supervisord made it.

        Before standard output is taken for the reports: it is one of the proofs.
        """
        with suppress(OSError):  # no /proc, or one that shows nothing
            self._era = era()
            self.has_group = made_group_of_slot()
        if self.has_group and os.getpgid(0) == self._pid:
            atexit.register(self._end_in_order)

    @property
    def mark(self) -> Mark | None:
        """What tells the next process of the slot which group to end."""
        if self._own is None or not self.has_group:
            return None
        return Mark(
            pid=self._pid,
            group=self._own.group,
            started=self._own.started,
            era=self._era,
            seen=ticks(),
        )

    def leave(self, code: int, text: str) -> NoReturn:
        """End at once, and KILL what has to end with this process.

        First all of it is stopped: a stopped process forks no more. The handler that
        waits for a child must not see it die, or it would return, and its batch be
        committed. So from the first KILL to the end no other thread has a turn.
        """
        logs.drain(_LOG_WITHIN_S)
        found: list[Process] = []
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(_OFTEN_S)
        with suppress(Exception):
            found = self._stopped()
        # Whoever waits for a turn now asks for it that soon, in the midst of the KILLs.
        sys.setswitchinterval(interval_s)
        killed = f" killed={named(found)}" if found else ""
        exits.last_words(f"{text}{killed}")
        sys.setswitchinterval(_UNDISTURBED_S)
        for process in found:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        os._exit(code)

    def _stopped(self) -> list[Process]:
        found: dict[int, Process] = {}
        for _ in range(_ROUNDS_MAX):
            new = [each for each in self._to_end(running()) if each.pid not in found]
            if not new:
                break
            for process in new:
                tell(process, signal.SIGSTOP)
            found |= {each.pid: each for each in new}
        return list(found.values())

    def _to_end(self, processes: Processes) -> list[Process]:
        own = processes.get(self._pid)
        if own is None:
            return []
        return to_end_with(
            own,
            processes,
            has_group=self.has_group,
            spared=_helpers_of_multiprocessing(),
        )

    def _end_in_order(self) -> None:
        """Start what kills the processes that are left, once this one is gone."""
        if os.getpid() != self._pid:  # a child that a handler has forked
            return
        left = self._to_end(running())
        if not left:
            return
        others = "".join(
            IF_STILL_THERE.format(pid=each.pid, started=each.started)
            for each in left
            if each.group != self._pid
        )
        logger.warning(
            "children_left processes=%s consequence=%r", named(left), _KILLED_SOON
        )
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        with suppress(OSError):
            script = _GRACE.format(others=others)
            os.posix_spawn("/bin/sh", ["sh", "-c", script], {}, file_actions=null)


def _helpers_of_multiprocessing() -> frozenset[int]:
    """Return those that clean up for it as this process is gone, and then end."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    server = sys.modules.get("multiprocessing.forkserver")
    pids = (
        getattr(getattr(tracker, "_resource_tracker", None), "_pid", None),
        getattr(getattr(server, "_forkserver", None), "_forkserver_pid", None),
    )
    return frozenset(pid for pid in pids if isinstance(pid, int))
