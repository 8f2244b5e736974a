"""What is logged, once, about a group as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.healing.guards import in_outage
from swarm_event_listener.core.model.events import Level, ProcessState, Say
from swarm_event_listener.core.node_table import Table


class GroupAlerts:
    """Logs when a group's trouble begins, and when it has ended, once each."""

    def __init__(self, table: Table) -> None:
        """Look at the groups of a table."""
        self._table = table
        self._logged: set[tuple[str, str]] = set()

    def check(self, *, now_s: float) -> Iterator[Say]:
        """Return what has begun or ended in any group."""
        reporting = self._table.reporting_groups
        for group in self._table.policies:
            yield from self._log(
                group,
                lines.outage(group),
                while_true=in_outage(self._table, group),
                ended="outage_over",
                is_over=True,
            )
            yield from self._log(
                group,
                lines.never_reported(group),
                while_true=group not in reporting
                and self._should_have_reported(group, now_s=now_s),
                ended="group_reports",
                is_over=group in reporting,
            )

    def _should_have_reported(self, group: str, *, now_s: float) -> bool:
        timeout_s = self._table.policies[group].limits.report_timeout_s
        return timeout_s is not None and any(
            node.state is ProcessState.RUNNING and now_s - node.seen_at_s > timeout_s
            for node in self._table.of(self._table.group(group).names)
        )

    def _log(
        self, group: str, say: Say, *, while_true: bool, ended: str, is_over: bool
    ) -> Iterator[Say]:
        """Log it once while it is true; its end only if it is over, not just gone.

        A group that never reported and was stopped does not report now.
        """
        key = (group, say.event)
        if while_true and key not in self._logged:
            self._logged.add(key)
            yield say
        elif not while_true and key in self._logged:
            self._logged.remove(key)
            if is_over:
                yield Say(level=Level.INFO, event=ended, fields={"group": group})
