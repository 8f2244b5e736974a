"""Events as JSON, one object a line, for collectors that would parse them anyway."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

_EVENT: Final = re.compile(r"[\w%]+(?: \w+=\S+)*")  # name key=%s key=%d ...
_CONVERSION: Final = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]")

TRACEBACK_MAX: Final = 64_000  # of the 20 MB that a log file has


def shortened(traceback: str) -> str:
    """Return a traceback without the middle of what is too long."""
    left_out = len(traceback) - TRACEBACK_MAX
    if left_out <= 0:
        return traceback
    half = TRACEBACK_MAX // 2
    return f"{traceback[:half]}\n[{left_out} characters]\n{traceback[-half:]}"


class JsonFormatter(logging.Formatter):
    """Formats an event as one line of ASCII: no value in it can forge another.

    An event's own figures become members, as numbers where they are numbers; what is
    no event of ours (an app's text) is the member ``message``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "at": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        line = {**line, **_figures(record), **line}
        if record.exc_info:
            line["traceback"] = shortened(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def _figures(record: logging.LogRecord) -> dict[str, Any]:
    """Return the members of an event: told along with it, or read from its template."""
    figures: dict[str, Any] | None = getattr(record, "figures", None)
    if figures is not None:
        return figures
    template, args = record.msg, record.args
    if isinstance(template, str) and isinstance(args, tuple):
        wanted = len(_CONVERSION.findall(template))
        if _EVENT.fullmatch(template) and wanted == len(args):
            return _read(template, iter(args))
    return {"message": record.getMessage()}


def _read(template: str, args: Iterator[object]) -> dict[str, Any]:
    name, *pairs = template.split(" ")
    figures = {"event": _value(name, args)}
    for pair in pairs:
        key, _, text = pair.partition("=")
        figures[key] = _value(text, args)
    return figures


def _value(text: str, args: Iterator[object]) -> object:
    """Return an argument itself where it is all there is; else the text with it.

    ``%.200r`` is such a text: what is cut there is cut here.
    """
    own = tuple(next(args) for _ in _CONVERSION.findall(text))
    if text in {"%s", "%r", "%d"} or (own and text.endswith("f")):
        return own[0]
    return text % own if own else text
