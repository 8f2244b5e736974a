"""A node's report, out of what supervisord hands on: the text between the tokens.

The format is in `swarm_worker.shared.report`. A node reads none.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

import msgspec

from swarm_event_listener.supervisord.protocol import quoted
from swarm_worker.shared.report import (
    BEGIN,
    FRAME_READ_MAX_BYTES,
    ITEMS_MAX,
    VERSION,
    ForeignReport,
    Report,
)

COUNT_END: Final = 2**63
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Report))


class ReportError(ValueError):
    """A payload is no report; the message says what was expected and what came."""


def decode(payload: str) -> Report | ForeignReport:
    """Read the payload of a communication event.

    Unknown fields are ignored; what stands before the last BEGIN token is too, since a
    token in a program's own output opens the capture early.

    Raises:
        ReportError: The payload is no report; nothing else is raised, whatever comes.
    """
    text = payload.rpartition(BEGIN)[2]
    if len(text) > FRAME_READ_MAX_BYTES:
        raise ReportError(
            f"expected a report of at most {FRAME_READ_MAX_BYTES} bytes, "
            f"got {len(text)}: {quoted(text)}"
        )
    try:
        # Not msgspec's own JSON: it refuses half of a character, as a text may have.
        fields = json.loads(text, parse_float=_number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"expected a JSON object ({error}), got {quoted(text)}"
        ) from None
    if not isinstance(fields, dict) or not _is_count(fields.get("swarm")):
        raise ReportError(f"expected an object with 'swarm': 1, got {quoted(text)}")
    if fields["swarm"] != VERSION:
        return ForeignReport(fields["swarm"])
    try:
        return _read(fields)
    except ValueError as error:
        why = quoted(str(error))[1:-1]  # it may quote what came
        raise ReportError(f"{why} in {quoted(text)}") from None


def _read(fields: dict[str, Any]) -> Report:
    for name, most in ITEMS_MAX.items():
        if isinstance(fields.get(name), list):
            del fields[name][most:]
    # Only what is known: msgspec refuses names with half of a character in them.
    known = {name: fields[name] for name in _FIELDS if name in fields}
    report = msgspec.convert(known, Report)
    for name in _FIELDS:
        _check_count(name, getattr(report, name))
    for each in report.failing:
        _check_count("failing.attempts", each.attempts)
        _check_count("failing.for_ms", each.for_ms)
    return report


def _check_count(name: str, value: object) -> None:
    if isinstance(value, int) and not 0 <= value < COUNT_END:
        raise ValueError(f"{name}: expected a whole number from 0, got {value}")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < COUNT_END


def _number(text: str) -> float:
    """Return a float, as the whole number that other writers may mean by it."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
