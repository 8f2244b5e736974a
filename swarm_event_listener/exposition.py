r"""Prometheus' text format 0.0.4, written by hand.

The format is a line for each sample; prometheus_client would cost the listener 8 MB,
and users a dependency. Its parser and promtool judge what is written here, in the
tests.

Source: prometheus.io/docs/instrumenting/exposition_formats, "Text-based format".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
Value = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric: its name, meaning, and the samples by their labels.

    Attributes:
        name: With its unit; a counter's ends with ``_total``.
        kind: What it may do: a counter only rises.
        help: One line with the unit.
        samples: Labels and value. No two have the same labels.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: Sequence[tuple[Labels, Value]] = field(default=())


def exposition(families: Iterable[Family]) -> bytes:
    """Give the text of a scrape. A family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escaped_help(family.help)}\n")
        lines.append(f"# TYPE {family.name} {family.kind}\n")
        lines += [
            f"{family.name}{_labels(labels)} {_number(value)}\n"
            for labels, value in family.samples
        ]
    return "".join(lines).encode("utf-8", "replace")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{pairs}}}"


def _escaped(text: str) -> str:
    return _escaped_help(text).replace('"', r"\"")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: Value) -> str:
    return str(int(value)) if isinstance(value, int) else repr(value)
