"""Logs of a node: stderr, an event a line, nothing in them that could forge one."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable
from typing import Final

from swarm_worker.shared.log_json import JsonFormatter, shortened
from swarm_worker.shared.log_queue import WITHIN_S, LogQueue, StderrWriter

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_NEWLINE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_OURS: Final = "swarm_worker"

# One failure must not push the evidence of others out of a file of 20 MB.
SHOWN_MAX: Final = 1_000

logger = logging.getLogger(__name__)

_lines: LogQueue | None = None
_of_app: logging.Handler | None = None  # ours for the app's lines, once it is imported


def one_line(text: str) -> str:
    """Return a text with its control characters escaped."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def shown(error: BaseException) -> str:
    """Return an exception as it is logged, whatever the user's ``__repr__`` does."""
    try:
        text = repr(error)
    except BaseException as failure:  # noqa: BLE001 - it must not end a thread of ours
        name = type(error).__qualname__
        return f"{name}, whose repr raised {type(failure).__qualname__}"
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


class LineFormatter(logging.Formatter):
    """Formats an event as one line; a traceback follows, each line indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """Return the line of a record, its control characters escaped."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802 - same
        """Return a traceback that cannot be taken for events."""
        return _indented(shortened(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - same
        """Return a stack that cannot be taken for events."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    lines = _CONTROL_BUT_NEWLINE.sub(_escaped, text).split("\n")
    return "\n".join(f"    {line}" for line in lines)


def begin() -> None:
    """Log to stderr until the app, which may bring its own logging, is imported."""
    global _lines, _of_app
    _lines, _of_app = LogQueue(_targets), None
    _lines.setFormatter(LineFormatter())
    ours = logging.getLogger(_OURS)
    ours.addHandler(_lines)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    threading.excepthook = _log_crash


def drain(within_s: float = WITHIN_S) -> None:
    """Wait until our lines are written, for so long at most."""
    if _lines:
        _lines.drain(within_s)


def _targets(stderr: StderrWriter) -> Iterable[logging.Handler]:
    """Return where our lines go: to stderr, or where the app wants its own."""
    if _of_app is None:
        return (stderr,)
    theirs = logging.getLogger().handlers
    return [stderr if each is _of_app else each for each in theirs] or (stderr,)


def configure(*, level: str, log_format: str) -> None:
    """Log as the settings say, once they are read."""
    ours = logging.getLogger(_OURS)
    ours.setLevel(level.upper())
    for handler in ours.handlers:
        handler.setFormatter(formatter(log_format))


def formatter(log_format: str) -> logging.Formatter:
    """Return the formatter for ``text`` or ``json``."""
    return JsonFormatter() if log_format == "json" else LineFormatter()


def hand_over() -> None:
    """Leave logging to the app where it configured the root logger; else configure it.

    An app's ``dictConfig`` disables the loggers that were there before, by default.
    Our lines go through the queue all the same: a handler of the app's that waits
    keeps none of our threads waiting.
    """
    global _of_app  # noqa: PLW0603 - as above
    if _lines is None:
        return
    ours = logging.getLogger(_OURS)
    handlers = [each for each in ours.handlers if each is not _lines]
    root = logging.getLogger()
    for handler in handlers:
        ours.removeHandler(handler)
    _of_app = logging.StreamHandler(sys.stderr)  # its lines wait, as its prints do
    _of_app.setFormatter(_lines.writer.formatter)
    if not root.handlers:
        for handler in (_of_app, *handlers):
            root.addHandler(handler)
        if root.level == logging.WARNING:  # the root's default
            root.setLevel(ours.level)
    ours.addHandler(_lines)
    ours.propagate = False
    for name, other in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == _OURS and isinstance(other, logging.Logger):
            other.disabled = False


def _log_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_type is SystemExit:
        return
    name = crash.thread.name if crash.thread else "unknown"
    error = crash.exc_value or crash.exc_type()
    logger.error("thread_crashed thread=%s error=%r", name, error, exc_info=error)
