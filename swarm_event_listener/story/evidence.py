"""Which stacks are those of a restart: of its process, and of its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from swarm_event_listener.core.model.rules import Status
from swarm_event_listener.story.moments import moment_of
from swarm_event_listener.story.stack_dumps import Dump

# Both are this machine's wall clock, which may be set a little in between.
_TOLERANCE: Final = timedelta(seconds=2)
_UNTIL_STOPPED: Final = timedelta(minutes=5)  # where a record has no end of the stop

# Stacks without a moment are later than the last turn of their reporter. That is half
# a second ago while Python runs; in a process that is silent it is as long as it hangs.
_REPORTED: Final = timedelta(minutes=1)
_SILENT: Final = timedelta(hours=1)


def of_restart(record: Mapping[str, Any], dumps: Iterable[Dump]) -> Dump | None:
    """Return the first stacks that the process wrote for its restart, of its log's.

    Stacks with a moment come first. Those without one count where Python has not run
    again in their process, as far as the log tells: it hung until its end.
    """
    detected_at = moment_of(record.get("detected_at"))
    if detected_at is None or record.get("pid") is None or record.get("dry_run"):
        return None
    own = [dump for dump in dumps if dump.pid == record["pid"]]
    until = moment_of(record.get("stopped_at")) or detected_at + _UNTIL_STOPPED
    until += _TOLERANCE
    for dump in own:
        if dump.at and detected_at - _TOLERANCE <= dump.at <= until:
            return dump
    hung_for = _SILENT if record.get("status") == Status.SILENT else _REPORTED
    for dump in own:
        if (
            dump.is_open
            and dump.after
            and detected_at - hung_for <= dump.after <= until
        ):
            return dump
    return None


def why_none(record: Mapping[str, Any], dumps: Sequence[Dump]) -> str | None:
    """Return what is said where none are found; None where none were asked for."""
    pid = record.get("pid")
    if pid is None or record.get("status") is None or record.get("dry_run"):
        return None
    if any(dump.pid is None for dump in dumps):
        return (
            f"no stacks of pid {pid} from then in its log; there are some that do not "
            "say of which process and moment (an older version wrote them)"
        )
    return f"no stacks of pid {pid} from then in its log"
