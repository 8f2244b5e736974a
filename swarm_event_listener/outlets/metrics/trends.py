"""How each node was in the last half hour, in few numbers: what the page draws."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from swarm_event_listener.story.node_status import age_now_ms

POINTS: Final = 90
EVERY_S: Final = 20.0  # 90 of them are half an hour

SERIES: Final = ("memory_mb", "poll_s", "consume_s", "lag", "messages_per_s")


class Trends:
    """Keeps `POINTS` of each series of each node: 3.6 KB a node."""

    def __init__(self) -> None:
        self._points: dict[str, dict[str, array[float]]] = {}
        self._due_at_s = -math.inf

    def look(
        self, nodes: Callable[[], Iterable[Mapping[str, Any]]], *, now_s: float
    ) -> None:
        """Record a point of each node, if it is time.

        Args:
            nodes: Returns the status of each.
            now_s: Now.
        """
        if now_s < self._due_at_s:
            return
        self._due_at_s = now_s + EVERY_S
        self._points = {node["node"]: self._with_point(node) for node in nodes()}

    def _with_point(self, node: Mapping[str, Any]) -> dict[str, array[float]]:
        points = self._points.get(node["node"]) or {name: array("d") for name in SERIES}
        for name, value in values(node).items():
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


def values(node: Mapping[str, Any]) -> dict[str, float | None]:
    """Return a node's figures now, as its status has them; None without a process."""
    figures: dict[str, float | None] = dict.fromkeys(SERIES)
    report = node["report"]
    if node["pid"] is not None and node["memory_bytes"] is not None:
        figures["memory_mb"] = node["memory_bytes"] / 2**20
    if node["pid"] is not None and report is not None:
        figures["poll_s"] = _seconds(age_now_ms(node, report["poll_age_ms"]))
        figures["consume_s"] = _seconds(age_now_ms(node, report["consume_age_ms"])) or 0
        figures["lag"] = report["lag"]
        figures["messages_per_s"] = node["messages_per_s"]
    return figures


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
