"""How far behind one partition is. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """How far behind one partition is; None where it is not known.

    Attributes:
        topic: Its topic.
        partition: Its number.
        lag: Messages from what is done to the log's end.
        end_at_s: When that end was told.
        oldest_at_ms: The timestamp of the oldest message that is not done; None also
            where there is none.
        lso_behind_since_s: Since when the last stable offset has stood behind the end:
            a transaction hangs. None where it does not, or not for long.
    """

    topic: str
    partition: int
    lag: int | None
    end_at_s: float | None
    oldest_at_ms: int | None
    lso_behind_since_s: float | None
