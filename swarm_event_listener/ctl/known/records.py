"""Which records of restarts are shown, and which may be missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from swarm_event_listener.ctl.sources.state import ListenerStatus, Plain
from swarm_event_listener.story.moments import moment_of


def of_nodes(records: Iterable[Plain], names: Collection[str]) -> tuple[Plain, ...]:
    """Return the records of these nodes."""
    return tuple(record for record in records if record.get("node") in names)


def recent(
    records: Iterable[Plain], *, now: datetime, back: timedelta | None
) -> tuple[Plain, ...]:
    """Return the records that are not older than ``back``; all without one."""
    if back is None:
        return tuple(records)
    return tuple(
        record
        for record in records
        if (moment := moment_of(record.get("detected_at"))) and now - moment <= back
    )


def missing(status: ListenerStatus | None) -> list[str]:
    """Return why what the listener has done of late may not be on record."""
    if status is None or not status.write_error:
        return []
    return [f"warning: {status.write_error}: the latest restarts may not be on record"]
