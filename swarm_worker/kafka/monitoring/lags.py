"""How far behind partitions are: from what is done to the ends of their logs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from swarm_worker.kafka.monitoring.statistics import Figures, PartitionFigures
from swarm_worker.processing.lane import Key
from swarm_worker.reporting.partition_lag import PartitionLag

# A transaction that is open for so long hangs. Source: transaction.timeout.ms, which is
# a minute by default; the broker then ends it.
LSO_BEHIND_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class End:
    """Where a log ends: the offset after its last message, and when that was told."""

    offset: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the node itself knows of a partition that it holds.

    Attributes:
        done: All up to here is done; negative while nothing was since it was assigned.
        is_idle: Nothing of it is on the way to or at a handler.
        is_fetched: It is not paused.
        oldest_at_ms: The timestamp of its oldest message that is not done.
    """

    done: int
    is_idle: bool
    is_fetched: bool
    oldest_at_ms: int | None = None


def lags(
    figures: Figures,
    held: Mapping[Key, Held],
    ends: Mapping[Key, End],
    lso_behind_since_s: Mapping[Key, float],
) -> tuple[PartitionLag, ...]:
    """Return how far behind each partition is that is held.

    Args:
        figures: The last statistics.
        held: The partitions.
        ends: Their ends, as far as they are known.
        lso_behind_since_s: See `StableOffsets`.
    """
    return tuple(
        _lag_of(
            key,
            each,
            _position(figures.partitions.get(key), each),
            ends.get(key),
            lso_behind_since_s.get(key),
        )
        for key, each in sorted(held.items())
    )


def _lag_of(
    key: Key, held: Held, position: int | None, end: End | None, since_s: float | None
) -> PartitionLag:
    lag = None if end is None or position is None else max(0, end.offset - position)
    return PartitionLag(
        topic=key[0],
        partition=key[1],
        lag=lag,
        end_at_s=end.at_s if end is not None and lag is not None else None,
        oldest_at_ms=None if lag == 0 else held.oldest_at_ms,
        lso_behind_since_s=since_s,
    )


def _position(partition: PartitionFigures | None, held: Held) -> int | None:
    """Return the offset up to which all is done."""
    if partition is None:
        return held.done if held.done >= 0 else None
    fetched = partition.fetched_offset
    # What is caught up may end with offsets that no message has.
    if held.is_idle and not partition.has_data and fetched is not None:
        return fetched
    return held.done if held.done >= 0 else partition.committed_offset


class StableOffsets:
    """Since when last stable offsets have stood behind the ends of their logs.

    Where transactions come and go it is behind at most moments, and moves.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        # At which offset, and since when.
        self._stood: dict[Key, tuple[int | None, float]] = {}
        self._fetched: Collection[Key] = ()  # at the last statistics

    def update(
        self, figures: Figures, held: Mapping[Key, Held], *, now_s: float
    ) -> Mapping[Key, float]:
        """Note statistics; return since when, where that is for long.

        What is paused keeps what was known: its figures are old ones, and the first
        after that may be.
        """
        before, self._stood = self._stood, {}
        fetched = {key for key, each in held.items() if each.is_fetched}
        current, self._fetched = fetched.intersection(self._fetched), fetched
        for key, each in held.items():
            if not each.is_fetched:
                if key in before:
                    self._stood[key] = before[key]
                continue
            partition = figures.partitions.get(key)
            if partition is not None and partition.is_stable_offset_behind:
                offset = partition.end_offset
                last, since_s = before.get(key, (None, now_s))
                self._stood[key] = offset, since_s if last == offset else now_s
        return {
            key: since_s
            for key, (_, since_s) in self._stood.items()
            if key in current and now_s - since_s > LSO_BEHIND_S
        }
