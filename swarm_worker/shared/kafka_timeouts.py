"""Times in ``[kafka]``, and which of them, though valid, are probably a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

SESSION_TIMEOUT_MS: Final = 45_000  # librdkafka's default
HEARTBEAT_INTERVAL_MS: Final = 3_000  # the same
STATISTICS_RARE_MS: Final = 60_000

# The default of each, and below what it was probably meant in seconds.
_LOOKS_LIKE_SECONDS_MS: Final = {
    "session.timeout.ms": (SESSION_TIMEOUT_MS, 1_000),
    "heartbeat.interval.ms": (HEARTBEAT_INTERVAL_MS, 100),
}


@dataclass(frozen=True, slots=True)
class Slip:
    """A time that is wrong.

    Attributes:
        why: What is there, and what comes of it.
        line: The line as it should read.
        is_refused: No node can work with it.
    """

    why: str
    line: str
    is_refused: bool = False


def kafka_ms(kafka: Mapping[str, Any], name: str, default: int) -> int:
    """Return a time; the default where it cannot be read."""
    try:
        return int(kafka.get(name, default))
    except (TypeError, ValueError):
        return default


def slips(kafka: Mapping[str, Any]) -> Iterator[Slip]:
    """Yield what is wrong among the times of ``[kafka]``."""
    times_ms = []
    for name, (default, least) in _LOOKS_LIKE_SECONDS_MS.items():
        times_ms.append(ms := kafka_ms(kafka, name, default))
        if ms < least:
            why = f"{name} is {ms} ms, which looks like seconds"
            yield Slip(why, f'"{name}" = {1_000 * ms}')
    yield from _late_heartbeat(*times_ms)
    statistics_ms = kafka_ms(kafka, "statistics.interval.ms", 1)
    if statistics_ms > STATISTICS_RARE_MS:
        yield Slip(
            f"statistics.interval.ms is {statistics_ms}: lag, stalls (status 2) and "
            "frozen groups (status 4) are seen that late; or leave it out",
            '"statistics.interval.ms" = 5000',
        )


def _late_heartbeat(session_ms: int, heartbeat_ms: int) -> Iterator[Slip]:
    if heartbeat_ms >= session_ms:
        yield Slip(
            f"heartbeat.interval.ms is {heartbeat_ms}, session.timeout.ms "
            f"{session_ms}: the session ends before a heartbeat is due, and the node "
            "loses its partitions again and again; a third of the session at most",
            f'"session.timeout.ms" = {SESSION_TIMEOUT_MS}'
            if session_ms <= HEARTBEAT_INTERVAL_MS
            else f'"heartbeat.interval.ms" = {HEARTBEAT_INTERVAL_MS}',
            is_refused=True,
        )
