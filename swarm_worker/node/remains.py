"""What earlier processes of a slot have started and left behind.

A node that is KILLed, or that crashes, can end nothing. Its mark in the slot's file
tells the next process which process group was its own.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping
from typing import Final

from swarm_worker.process.last_act import LastAct
from swarm_worker.process.offspring import (
    MARK_MAX_BYTES,
    Mark,
    Process,
    is_alive,
    left_by,
)
from swarm_worker.process.processes import (
    era,
    has_environment,
    look_at,
    named,
    running,
    tell,
)

WITHIN_S: Final = 2.0
_LOOK_S: Final = 0.05
SLOT_NAMES: Final = ("SUPERVISOR_GROUP_NAME", "SUPERVISOR_PROCESS_NAME")
_SERVER: Final = "SUPERVISOR_SERVER_URL"  # tells two supervisords of a session apart

_ENDED: Final = "an earlier process of this slot had started them and is gone"
_NOT_ENDED: Final = "KILL does not end them: see whose they are and what they wait for"

logger = logging.getLogger(__name__)


class Remains:
    """Ends what is left of a slot's earlier processes, and leaves the mark for it."""

    def __init__(self, last_act: LastAct, environ: Mapping[str, str]) -> None:
        """Do nothing where supervisord has not made this process's group."""
        self._last_act = last_act
        names = {n: environ[n] for n in (*SLOT_NAMES, _SERVER) if n in environ}
        self._names = names if names.keys() >= {*SLOT_NAMES} else {}
        self._is_failing = False

    @property
    def head(self) -> bytes:
        """The begin of the slot's file: the pid, and below it the mark."""
        mark = self._last_act.mark
        return mark.encode() if mark else f"{os.getpid()}\n".encode()

    def end(self, fd: int) -> None:
        """KILL what is left of the group of the process that has signed a slot."""
        mark = Mark.decode(os.pread(fd, MARK_MAX_BYTES, 0))
        if mark is None or not self._last_act.has_group or mark.era != era():
            return
        ended: dict[int, Process] = {}
        pause, is_proven = threading.Event(), False
        for _ in range(round(WITHIN_S / _LOOK_S)):
            left = self._left(mark, is_proven=is_proven)
            if not left:
                break
            for process in left:
                tell(process, signal.SIGKILL)
            ended |= {each.pid: each for each in left}
            # Not by what had a group of its own: this one may be a stranger's by now.
            is_proven = any(each.group == mark.group for each in ended.values())
            pause.wait(_LOOK_S)
        self._tell(ended, self._left(mark, is_proven=is_proven) if ended else [])

    def _left(self, mark: Mark, *, is_proven: bool) -> list[Process]:
        own = look_at(os.getpid())
        if own is None or is_alive(mark, look_at(mark.pid)):
            return []
        return left_by(
            mark,
            running(),
            own=own,
            is_of_slot=self._is_of_slot,
            is_proven=is_proven,
        )

    def _is_of_slot(self, pid: int) -> bool:
        """Whether a process was started for the slot.

        Nothing tells that where what wraps this one has taken the names away, as
        `env -i` does and `sudo`: then all would be.
        """
        return bool(self._names) and has_environment(pid, self._names)

    def _tell(self, ended: Mapping[int, Process], left: list[Process]) -> None:
        stay = {each.pid for each in left}
        gone = [each for each in ended.values() if each.pid not in stay]
        if gone:
            logger.warning("remains_ended processes=%s reason=%r", named(gone), _ENDED)
        if left and not self._is_failing:
            logger.error("remains_stay processes=%s do=%r", named(left), _NOT_ENDED)
        self._is_failing = bool(left)
