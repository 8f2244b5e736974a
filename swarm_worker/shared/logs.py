"""Logs of a node: stderr, an event a line, nothing in them that could forge one."""

from __future__ import annotations

import logging
import re
import sys
import threading
from typing import Final

from swarm_worker.shared.log_json import JsonFormatter, shortened

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_NEWLINE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_OURS: Final = "swarm_worker"

# One failure must not push the evidence of others out of a file of 20 MB.
SHOWN_MAX: Final = 1_000

logger = logging.getLogger(__name__)


def one_line(text: str) -> str:
    """Give a text with its control characters escaped."""
    return _CONTROL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def shown(error: BaseException) -> str:
    """Give an exception as it is logged, whatever the user's ``__repr__`` does."""
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
        """Give the line of a record, its control characters escaped."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802 - same
        """Give a traceback that cannot be taken for events."""
        return _indented(shortened(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - same
        """Give a stack that cannot be taken for events."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    lines = _CONTROL_BUT_NEWLINE.sub(_escaped, text).split("\n")
    return "\n".join(f"    {line}" for line in lines)


def begin() -> None:
    """Log to stderr until the app, which may bring its own logging, is imported."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    ours = logging.getLogger(_OURS)
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    threading.excepthook = _log_crash


def configure(*, level: str, log_format: str) -> None:
    """Log as the settings say, once they are read.

    Args:
        level: The least level, in small letters.
        log_format: ``text`` or ``json``.
    """
    ours = logging.getLogger(_OURS)
    ours.setLevel(level.upper())
    for handler in ours.handlers:
        handler.setFormatter(formatter(log_format))


def formatter(log_format: str) -> logging.Formatter:
    """Give the formatter for ``text`` or ``json``."""
    return JsonFormatter() if log_format == "json" else LineFormatter()


def hand_over() -> None:
    """Leave logging to the app where it configured the root logger; else configure it.

    An app's ``dictConfig`` disables the loggers that were there before, by default.
    """
    ours = logging.getLogger(_OURS)
    handlers = list(ours.handlers)
    root = logging.getLogger()
    for handler in handlers:
        ours.removeHandler(handler)
    if not root.handlers:
        for handler in handlers:
            root.addHandler(handler)
        if root.level == logging.WARNING:  # the root's default
            root.setLevel(ours.level)
    ours.propagate = True
    for name, other in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == _OURS and isinstance(other, logging.Logger):
            other.disabled = False


def _log_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_type is SystemExit:
        return
    name = crash.thread.name if crash.thread else "unknown"
    logger.error(
        "thread_crashed thread=%s error=%r",
        name,
        crash.exc_value,
        exc_info=(
            crash.exc_type,
            crash.exc_value or crash.exc_type(),
            crash.exc_traceback,
        ),
    )
