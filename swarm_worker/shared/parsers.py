"""Readers of single settings: from what a file or a flag says to what the code uses.

Each takes any object and raises ValueError with what was expected and what came.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Reader = Callable[[object], Any]

_DURATION_MS: Final = {
    "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000,
}  # fmt: skip
_MEMORY_MB: Final = {"MB": 1.0, "MiB": 1.0, "GB": 1024.0, "GiB": 1024.0}
_NUMBER_WITH_UNIT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def duration_ms(value: object) -> int:
    """Read a duration: whole milliseconds, or a text such as ``"90s"``, ``"5min"``."""
    return round(_quantity(value, _DURATION_MS, plain="milliseconds"))


def memory_mb(value: object) -> int:
    """Read an amount of memory: whole MB (2^20 bytes), or a text such as ``"2GB"``."""
    amount = round(_quantity(value, _MEMORY_MB, plain="MB"))
    if amount < 1:
        raise ValueError(f"expected at least 1 MB, got {value!r}")
    return amount


def _quantity(value: object, units: Mapping[str, float], *, plain: str) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _NUMBER_WITH_UNIT.fullmatch(value)):
        number, unit = match.groups()
        if not unit and "." not in number:
            return int(number)
        if unit in units:
            return float(number) * units[unit]
    example = f'"90{list(units)[1]}"'
    raise ValueError(
        f"expected whole {plain} from 0, or a text with a unit of {', '.join(units)} "
        f"such as {example}, got {value!r}"
    )


def count(least: int, most: float = math.inf, *, why: str = "") -> Reader:
    """Return a reader of whole numbers in these bounds; ``most`` has a reason."""
    bound = f" to {most} ({why})" if why else ""

    def read(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
            value = int(value)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not least <= value <= most
        ):
            raise ValueError(
                f"expected a whole number from {least}{bound}, got {value!r}"
            )
        return value

    return read


def flag(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def text(value: object) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"expected a text that is not empty, got {value!r}")
    return value


def choice(*choices: str) -> Reader:
    """Return a reader of one of a few words."""

    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}, got {value!r}")
        return str(value)

    return read


def texts(value: object) -> tuple[str, ...]:
    """Read a list of texts; a single text with commas is one too."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ValueError(f"expected a list of texts, got {value!r}")
    if not all(item.strip() for item in items):
        raise ValueError(f"expected no empty text in the list, got {value!r}")
    return tuple(item.strip() for item in items)


def table(value: object) -> dict[str, Any]:
    """Read a table."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a table, got {value!r}")
    return value


STATUSES: Final = (-1, 1, 2, 3, 4)


def statuses(value: object) -> tuple[int, ...]:
    """Read a list of status codes."""
    if not isinstance(value, list) or not all(
        item in STATUSES and not isinstance(item, bool) for item in value
    ):
        raise ValueError(f"expected a list of statuses of {STATUSES}, got {value!r}")
    return tuple(value)


def address(value: object) -> tuple[str, int]:
    """Read ``HOST:PORT``; an IPv6 host stands in brackets."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s]+):(\d{1,5})", str(value))
    if not match or int(match[2]) > 65_535:
        raise ValueError(f"expected HOST:PORT such as 127.0.0.1:9464, got {value!r}")
    return match[1].strip("[]"), int(match[2])


def rule(read: Reader) -> Reader:
    """Return a reader that takes ``false`` too, which turns the rule off: None."""

    def read_rule(value: object) -> Any:  # noqa: ANN401 - as the reader it wraps
        return None if value is False else read(value)

    return read_rule
