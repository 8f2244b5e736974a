"""What the page at ``/`` shows, as plain data; the page itself is page.html."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.core.model.record import Record, headline
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics.trends import EVERY_S, POINTS, Trends
from swarm_event_listener.outlets.status import nodes_of

RESTARTS_MAX: Final = 200
WATCHED_S: Final = 60.0  # data is made while somebody looks


def html() -> bytes:
    """Return the page."""
    return Path(__file__).with_name("page.html").read_bytes()


class Page:
    """Collects what the page shows."""

    def __init__(
        self, history: Iterable[dict[str, Any]], *, wall: Callable[[float], str]
    ) -> None:
        """Begin with the restarts on record.

        Args:
            history: Plain records, oldest first.
            wall: Wall-clock text of a monotonic moment.
        """
        self._restarts = deque(map(_with_headline, history), maxlen=RESTARTS_MAX)
        self._trends = Trends()
        self._wall = wall

    def restarted(self, record: Record) -> None:
        """Record a restart that has ended."""
        self._restarts.append(_with_headline(record.as_json(self._wall)))

    def look(self, swarm: Swarm, *, now_s: float) -> None:
        """Record how the nodes are."""
        self._trends.look(swarm.nodes, now_s=now_s)

    def data(self, swarm: Swarm, *, now_s: float, trouble: str) -> bytes:
        """Return all that is shown, as JSON."""
        shown = {
            "at": self._wall(now_s),
            "trouble": trouble,
            "minutes": round(POINTS * EVERY_S / 60),
            "points": POINTS,
            "nodes": [self._node(swarm, row) for row in nodes_of(swarm, now_s=now_s)],
            "restarts": list(self._restarts),
        }
        return json.dumps(shown).encode()

    def _node(self, swarm: Swarm, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row of the status file with what is drawn in place of the report."""
        del row["report"]
        report = swarm.nodes[row["node"]].report
        row["failing"] = list(map(str, report.failing)) if report and row["pid"] else []
        row["assigned"] = row["pid"] and report and report.assigned
        row["trends"] = self._trends.of(row["node"])
        return row


def _with_headline(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "headline": headline(record)}
