"""Log lines that wait for nobody: a queue, and a thread that writes what is in it.

supervisord reads a node's stderr. While it stands still the pipe fills up, and who
writes to it waits. Loggers leave the line here instead, unless there is room.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import stat
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from time import monotonic
from typing import Final

LINES_MAX: Final = 10_000
WITHIN_S: Final = 1.0  # at the end of a process, for what is queued
_LOOK_S: Final = 0.002
_DROPPED: Final = "log_lines_dropped count=%d reason=%r"
_STDERR: Final = 2
_HERE: Final = -1  # no offset: a pipe has none
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)  # Linux; pipes know it since 5.x

logger = logging.getLogger(__name__)


class StderrWriter(logging.Handler):
    """Writes to the descriptor of stderr.

    Not through `sys.stderr`: who waits there holds its lock, and the interpreter cannot
    end without it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, however long that takes."""
        write(self.line(record))

    def line(self, record: logging.LogRecord) -> bytes:
        """Return the line of a record."""
        return f"{self.format(record)}\n".encode("utf-8", "backslashreplace")


def write(line: bytes) -> None:
    """Write a line, however long that takes; nothing if nobody reads any more."""
    with suppress(OSError):
        while line:
            try:
                line = line[os.write(_STDERR, line) :]
            except BlockingIOError:  # another process has set the pipe so
                writable = select.poll()
                writable.register(_STDERR, select.POLLOUT)
                writable.poll()


def wrote_at_once(line: bytes) -> bool:
    """Write a line unless that may wait; return whether it is written.

    What was logged just before a crash is there then, and in order with prints.
    """
    with suppress(OSError):
        mode = os.fstat(_STDERR).st_mode
        if stat.S_ISREG(mode):
            write(line)
            return True
        # Up to PIPE_BUF a line is written whole, or not at all.
        if _NOWAIT and stat.S_ISFIFO(mode) and len(line) <= select.PIPE_BUF:
            os.pwritev(_STDERR, [line], _HERE, _NOWAIT)
            return True
    return False


class LogQueue(QueueHandler):
    """Takes log lines, at most `LINES_MAX`; others are counted, which is logged later.

    Reentrant: a signal's handler may log. A forked child, which has no such thread,
    writes its lines itself.
    """

    queue: SimpleQueue[logging.LogRecord | bytes]

    def __init__(
        self, targets: Callable[[StderrWriter], Iterable[logging.Handler]]
    ) -> None:
        """Start the thread.

        For each line ``targets`` is asked for the handlers that write, one of which may
        be the one for stderr that it is given.
        """
        super().__init__(SimpleQueue())
        self.writer = StderrWriter()
        self._targets = targets
        self._own_pid = os.getpid()
        self._accepted = self._done = self._dropped = 0
        _Thread(self).start()
        os.register_at_fork(after_in_child=self._forked)
        atexit.register(self.drain)

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - logging's
        """Set the format of what goes to stderr; other handlers have their own."""
        self.writer.setFormatter(fmt)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Leave a record as it is: it stays in this process."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Take a line; never waits."""
        if os.getpid() != self._own_pid:
            self.write(record)
        elif self.queue.qsize() >= self._takes_up_to:
            self._dropped += 1
        else:
            self._log_dropped()
            self._take(record)

    @property
    def _takes_up_to(self) -> int:
        """Half of `LINES_MAX` once lines were dropped: gaps are few, and are logged."""
        return LINES_MAX // 2 if self._dropped else LINES_MAX

    def _log_dropped(self) -> None:
        if self._dropped:
            args = (self._dropped, "stderr is not read as fast as the node logs")
            self._dropped = 0
            self._take(
                logger.makeRecord(
                    logger.name, logging.WARNING, __file__, 0, _DROPPED, args, None
                )
            )

    def _take(self, record: logging.LogRecord) -> None:
        taken: logging.LogRecord | bytes = record
        if [*self._targets(self.writer)] == [self.writer]:
            taken = self.writer.line(record)  # a traceback would keep a batch alive
            if self._done == self._accepted and wrote_at_once(taken):
                return
        self._accepted += 1
        self.queue.put(taken)

    def write(self, taken: logging.LogRecord | bytes) -> None:
        """Write what was taken; may wait."""
        if isinstance(taken, bytes):
            write(taken)
            return
        record = taken
        for target in self._targets(self.writer):
            try:
                if target is self.writer:
                    target.emit(record)  # without its lock, which logging's end takes
                elif record.levelno >= target.level:
                    target.handle(record)
            except Exception:  # noqa: BLE001 - the app's handler must not end the thread
                target.handleError(record)

    def wrote(self) -> None:
        """Count a line that is done; log what was dropped once there is room."""
        self._done += 1
        if self._dropped and self.queue.qsize() < self._takes_up_to:
            self.acquire()
            try:
                self._log_dropped()
            finally:
                self.release()

    def drain(self, within_s: float = WITHIN_S) -> None:
        """Wait until all is written, for so long at most; takes no lock."""
        give_up_at_s = monotonic() + within_s
        pause = threading.Event()
        while self._done < self._accepted and monotonic() < give_up_at_s:
            pause.wait(_LOOK_S)

    def _forked(self) -> None:
        self._accepted = self._done = 0  # its parent writes those


class _Thread(QueueListener):
    """The thread that writes."""

    def __init__(self, lines: LogQueue) -> None:
        super().__init__(lines.queue)
        self._lines = lines

    def handle(self, record: logging.LogRecord | bytes) -> None:
        """Write a line."""
        self._lines.write(record)
        self._lines.wrote()
