"""Log lines that wait for nobody: a queue, and a thread that writes what is in it.

supervisord reads a node's stderr. While it stands still the pipe fills up, and whoever
writes to that waits. Whoever logs leaves the line here instead.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from time import monotonic
from typing import Final

LINES_MAX: Final = 10_000
WITHIN_S: Final = 1.0  # at the end of a process, for what is queued
_LOOK_S: Final = 0.002
_STDERR: Final = 2

logger = logging.getLogger(__name__)


class StderrWriter(logging.Handler):
    """Writes to the descriptor of stderr, and waits for as long as that takes.

    Not through `sys.stderr`: who waits there holds its lock, and the interpreter cannot
    end without it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record; nothing if nobody reads any more."""
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001 - as each handler of the library does
            self.handleError(record)
            return
        try:
            _write(line)
        except OSError:
            return


def _write(line: bytes) -> None:
    while line:
        try:
            line = line[os.write(_STDERR, line) :]
        except BlockingIOError:  # another process has set the pipe so
            writable = select.poll()
            writable.register(_STDERR, select.POLLOUT)
            writable.poll()


class LogQueue(QueueHandler):
    """Takes log lines, at most `LINES_MAX`; what is beyond is counted, and said later.

    Reentrant: a signal's handler may log. A forked child, which has no such thread,
    writes its lines itself.
    """

    queue: SimpleQueue[logging.LogRecord]

    def __init__(
        self, targets: Callable[[StderrWriter], Iterable[logging.Handler]]
    ) -> None:
        """Start the thread.

        Args:
            targets: Gives the handlers that write, asked for each line; it is given one
                for stderr.
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
        """Format lines for stderr so; other handlers have formats of their own."""
        self.writer.setFormatter(fmt)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Leave a record as it is: it stays in this process."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Take a line; never waits."""
        if os.getpid() != self._own_pid:
            self.write(record)
        elif self.queue.qsize() >= LINES_MAX:
            self._dropped += getattr(record, "lines", 1)
        else:
            self._accepted += 1
            self.queue.put(record)

    def write(self, record: logging.LogRecord) -> None:
        """Write a line; may wait."""
        for target in self._targets(self.writer):
            try:
                if target is self.writer:
                    target.emit(record)  # without its lock, which logging's end takes
                elif record.levelno >= target.level:
                    target.handle(record)
            except Exception:  # noqa: BLE001 - the app's handler must not end the thread
                target.handleError(record)

    def wrote(self) -> None:
        """Count a line that is done; say what was dropped once there is room."""
        self._done += 1
        if self._dropped and self.queue.qsize() <= LINES_MAX // 2:
            lines, self._dropped = self._dropped, 0
            logger.warning(
                "log_lines_dropped count=%d reason=%r",
                lines,
                "stderr was not read fast enough",
                extra={"lines": lines},
            )

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

    def handle(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._lines.write(record)
        self._lines.wrote()
