"""How each node was in the last half hour, in few numbers: what the page draws."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, Final

from swarm_event_listener.core.node import Node

POINTS: Final = 90
EVERY_S: Final = 20.0  # 90 of them are half an hour

SERIES: Final = ("memory_mb", "poll_s", "consume_s", "lag", "messages_per_s")


class Trends:
    """Keeps `POINTS` of each series of each node: 3.6 KB a node."""

    def __init__(self) -> None:
        self._points: dict[str, dict[str, array[float]]] = {}
        self._due_at_s = -math.inf

    def look(self, nodes: Mapping[str, Node], *, now_s: float) -> None:
        """Record a point of each node, if it is time."""
        if now_s < self._due_at_s:
            return
        self._due_at_s = now_s + EVERY_S
        self._points = {name: self._with_point(node) for name, node in nodes.items()}

    def _with_point(self, node: Node) -> dict[str, array[float]]:
        points = self._points.get(node.name) or {name: array("d") for name in SERIES}
        for name, value in _values(node).items():
            points[name].append(math.nan if value is None else value)
            del points[name][:-POINTS]
        return points

    def of(self, name: str) -> dict[str, list[float | None]]:
        """Return the series of a node, oldest point first; None where there is none."""
        points = self._points.get(name, {})
        return {
            series: [None if math.isnan(value) else round(value, 1) for value in values]
            for series, values in points.items()
        }


def _values(node: Node) -> dict[str, float | None]:
    report = node.report
    facts: dict[str, Any] = dict.fromkeys(SERIES)
    if node.memory_bytes is not None and node.pid is not None:
        facts["memory_mb"] = node.memory_bytes / 2**20
    if report is not None and node.pid is not None:
        facts["poll_s"] = _seconds(report.poll_age_ms)
        facts["consume_s"] = _seconds(report.consume_age_ms or 0)
        facts["lag"] = report.lag
        facts["messages_per_s"] = node.messages_per_s
    return facts


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
