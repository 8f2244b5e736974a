"""What the page at ``/`` shows, as plain data; the page itself is page.html."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.core.model.record import Record, headline
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics.trends import EVERY_S, POINTS, Trends, values
from swarm_event_listener.outlets.status import nodes_of
from swarm_event_listener.story.node_status import (
    age_at_look_ms,
    failures,
    next_try,
    notes,
)
from swarm_event_listener.story.roll_view import how_far
from swarm_event_listener.supervisord.rpc import started_ticks

RESTARTS_MAX: Final = 200
WATCHED_S: Final = 60.0  # data is made while somebody looks

# Of a report: what stands on a card beside the curves.
_TOLD: Final = (
    *("in_flight", "messages", "errors", "retries", "dead_letters"),
    *("assigned", "brokers_up", "no_broker_ms", "stalled_ms", "stalled", "unsteady_ms"),
)


def html() -> bytes:
    """Return the page."""
    return Path(__file__).with_name("page.html").read_bytes()


def uptime_s(pid: int) -> float | None:
    """Return for how long a process has been there; None where it cannot be told."""
    ticks = started_ticks(pid)
    if ticks is None:
        return None
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(0.0, since_boot_s - ticks / os.sysconf("SC_CLK_TCK"))


class Page:
    """Collects what the page shows."""

    def __init__(
        self,
        history: Iterable[dict[str, Any]],
        *,
        wall: Callable[[float], str],
        uptime: Callable[[int], float | None] = uptime_s,
    ) -> None:
        """Begin with the restarts on record.

        Args:
            history: Plain records, oldest first.
            wall: Wall-clock text of a monotonic moment.
            uptime: Of a process.
        """
        self._restarts = deque(map(_with_headline, history), maxlen=RESTARTS_MAX)
        self._trends = Trends()
        self._wall = wall
        self._uptime = uptime

    @property
    def restarts(self) -> Sequence[Mapping[str, Any]]:
        """The restarts that are shown, oldest first."""
        return tuple(self._restarts)

    def restarted(self, record: Record) -> None:
        """Record a restart that has ended."""
        self._restarts.append(_with_headline(record.as_json(self._wall)))

    def look(self, swarm: Swarm, *, now_s: float) -> None:
        """Record how the nodes are."""
        self._trends.look(partial(nodes_of, swarm, now_s=now_s), now_s=now_s)

    def data(self, swarm: Swarm, *, now_s: float, trouble: str) -> bytes:
        """Return all that is shown, as JSON."""
        shown = {
            "at": self._wall(now_s),
            "trouble": trouble,
            "minutes": round(POINTS * EVERY_S / 60),
            "points": POINTS,
            "nodes": [self._node(swarm, row) for row in nodes_of(swarm, now_s=now_s)],
            "rolls": {
                group: how_far(roll.as_json(), now_s=now_s)
                for group, roll in swarm.rolls.items()
                if not roll.is_over
            },
            "restarts": list(self._restarts),
        }
        return json.dumps(shown).encode()

    def _node(self, swarm: Swarm, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row of the status file with what is drawn in place of the report."""
        report = row["report"] or {}
        row["why"] = "; ".join(filter(None, (row["why"], next_try(row))))
        row["now"] = self._now(row, report) if row["pid"] is not None else None
        row["notes"] = _notes(row, report) if row["pid"] is not None else []
        restart = swarm.nodes[row["node"]].restart
        row["suspect"] = restart and restart.record.suspect
        row["trends"] = self._trends.of(row["node"])
        del row["report"]
        return row

    def _now(self, row: dict[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
        """Return the figures of a node's process, as last reported."""
        told = {name: report[name] for name in _TOLD if name in report}
        return {**told, **values(row), "uptime_s": self._uptime(row["pid"])}


def _notes(row: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Return what keeps a node from messages, in the lines of ``swarm status``."""
    failing = failures(report.get("failing", ()), report.get("failing_count", 0))
    kept = notes(
        age_at_look_ms(row, report.get("lag_age_ms")),
        report.get("lso_behind_ms"),
        report.get("throttled_ms"),
    )
    return [line for line in (*failing, *kept) if line not in row["why"]]


def _with_headline(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "headline": headline(record)}
