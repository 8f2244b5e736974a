"""Looks up in supervisord's log how processes ended, on a thread, since it may wait."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from swarm_event_listener.core.model.events import ExitRead, ReadExit
from swarm_event_listener.supervisord.exit_log import LOG_END_BYTES, end_of
from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 1.0
TRIES: Final = 4


class ExitReader:
    """Answers `ReadExit`; nobody waits for it.

    Whoever asks once the log is being read is answered with the next reading, so many
    deaths at once are a few calls.
    """

    def __init__(
        self, supervisor: Supervisor, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what its thread alone calls; it is started with the first question.

        Args:
            supervisor: Bounded by `TIMEOUT_S`.
            clock: CLOCK_MONOTONIC, seconds.
        """
        self._supervisor = supervisor
        self._clock = clock
        self._asked: queue.SimpleQueue[ReadExit] = queue.SimpleQueue()
        self._answers: deque[ExitRead] = deque()
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writer, False)
        self._thread: threading.Thread | None = None

    def ask(self, question: ReadExit) -> None:
        """Have it looked up; `descriptor` is readable once there is an answer."""
        self._asked.put(question)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="exit_reader", daemon=True
            )
            self._thread.start()

    def take(self) -> Iterator[ExitRead]:
        """Return the answers that there are."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4_096)
        while self._answers:
            yield self._answers.popleft()

    def _run(self) -> None:
        while True:
            questions = [self._asked.get()]
            while not self._asked.empty():
                questions.append(self._asked.get())
            log = self._read()
            self._answers.extend(self._answer(log, question) for question in questions)
            with suppress(BlockingIOError):
                os.write(self._writer, b"!")

    def _read(self) -> str:
        """Return the end of the log; nothing where it cannot be had.

        supervisord fails where that begins within a character that is no ASCII, such as
        one of a name, and adds a kilobyte about it to its log: it is asked for more.
        """
        give_up_at_s, why = self._clock() + TIMEOUT_S, ""
        for number in range(1, TRIES + 1):
            try:
                return self._supervisor.log_end(number * LOG_END_BYTES)
            except (SupervisorFault, SupervisorUnreachable) as error:
                why = str(error)
                if isinstance(error, SupervisorFault) or self._clock() >= give_up_at_s:
                    break
        logger.info("supervisor_log_unread why=%r", why)
        return ""

    def _answer(self, log: str, question: ReadExit) -> ExitRead:
        at = None
        if question.at_s is not None:
            ago = timedelta(seconds=self._clock() - question.at_s)
            at = datetime.now() - ago  # noqa: DTZ005 - supervisord's log has local time
        process = question.name.partition(":")[2]
        end = end_of(log, name=process, pid=question.pid, at=at)
        return ExitRead(
            name=question.name,
            pid=question.pid,
            exit_code=end.exit_code if end else None,
            signal=end.signal if end else None,
        )
