"""What is healthy: one function per rule, and the order in which statuses rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from swarm_worker.shared.report import JUDGED, GroupReach, Report


class Status(IntEnum):
    """The numeric code of a violation; users' dashboards rely on the numbers."""

    SILENT = -1
    POLLING = 1
    CONSUMING = 2
    MEMORY = 3
    UNSTEADY = 4


# Where several rules are broken the first of these names the restart. Silence says the
# most; a long batch is the cause of missing polls in a one-thread loop.
RANK: Final = (
    Status.SILENT,
    Status.CONSUMING,
    Status.POLLING,
    Status.UNSTEADY,
    Status.MEMORY,
)

# While half of a group has no broker, these say more of Kafka than of the node.
KAFKA_BLAMED: Final = frozenset({Status.POLLING, Status.CONSUMING, Status.UNSTEADY})

Ttl = float | Literal["node"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one group. None turns a rule off; a value at its limit is healthy.

    Attributes:
        report_timeout_s: Longest silence, status -1 (60).
        boot_ttl_s: Longest boot, status -1 (600).
        polling_ttl_s: Greatest poll age, status 1; "node": its max.poll.interval.ms.
        consuming_ttl_s: Greatest age of a batch or of a partition that stands still,
            status 2; "node": its max.poll.interval.ms.
        memory_limit_bytes: Status 3; off by default.
        memory_samples: So many consecutive readings over the limit break it (1).
        stability_ttl_s: Longest time out of a steady group, status 4;
            "node": twice its max.poll.interval.ms.
    """

    report_timeout_s: float | None = 60.0
    boot_ttl_s: float | None = 600.0
    polling_ttl_s: Ttl = "node"
    consuming_ttl_s: Ttl = "node"
    memory_limit_bytes: int | None = None
    memory_samples: int = 1
    stability_ttl_s: Ttl = "node"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that is broken, and the figures that break it.

    Attributes:
        status: Its status.
        reason: For people.
        is_lone: The node has no broker where others of its group have one.
    """

    status: Status
    reason: str
    is_lone: bool = False


Found = tuple[Violation, ...]  # in rank order


def reasons(found: Found) -> str:
    """Return all that is wrong, in rank order."""
    return "; ".join(violation.reason for violation in found)


def _over(
    status: Status, name: str, age_ms: int | None, ttl: Ttl, node_ttl_ms: int
) -> Violation | None:
    """Compare an age of a report with a limit that may be the node's own."""
    if age_ms is None or ttl is None:
        return None
    ttl_s = node_ttl_ms / 1000 if ttl == "node" else ttl
    if age_ms / 1000 <= ttl_s:
        return None
    return Violation(status, f"{name}: {age_ms / 1000:.1f} s > {ttl_s:.1f} s")


def polling(report: Report, limits: Limits) -> Violation | None:
    """Status 1: the node polls too rarely."""
    return _over(
        Status.POLLING,
        "polling_ttl",
        report.poll_age_ms,
        limits.polling_ttl_s,
        report.max_poll_interval_ms,
    )


def consuming(report: Report, limits: Limits) -> Violation | None:
    """Status 2: a batch takes too long."""
    return _naming(
        report.in_flight,
        _over(
            Status.CONSUMING,
            "consuming_ttl",
            report.consume_age_ms,
            limits.consuming_ttl_s,
            report.max_poll_interval_ms,
        ),
    )


def moving(report: Report, limits: Limits) -> Violation | None:
    """Status 2: a partition that has data stands still."""
    return _naming(
        report.stalled,
        _over(
            Status.CONSUMING,
            "consuming_ttl: stalled",
            report.stalled_ms,
            limits.consuming_ttl_s,
            report.max_poll_interval_ms,
        ),
    )


def steady(report: Report, limits: Limits) -> Violation | None:
    """Status 4: a group is not steady, and gives no assignment either."""
    broken = _over(
        Status.UNSTEADY,
        "stability_ttl",
        report.unsteady_ms,
        limits.stability_ttl_s,
        2 * report.max_poll_interval_ms,
    )
    if broken is None or not report.not_joined:
        return broken
    return Violation(broken.status, f"{broken.reason}: {report.not_joined}")


LONE: Final = "no broker for"  # tells it from a frozen group, in a reason


def lone(report: Report, alone_s: float | None, limits: Limits) -> Violation | None:
    """Status 4: it has no broker, while other nodes of its group had one."""
    ttl = limits.stability_ttl_s
    if alone_s is None or ttl is None:
        return None
    ttl_s = 2 * report.max_poll_interval_ms / 1000 if ttl == "node" else ttl
    if alone_s <= ttl_s:
        return None
    why = f": {report.no_broker}" if report.no_broker else ""
    return Violation(
        Status.UNSTEADY,
        f"stability_ttl: {LONE} {alone_s:.1f} s > {ttl_s:.1f} s while other "
        f"nodes have one{why}",
        is_lone=True,
    )


def _naming(where: tuple[str, ...], violation: Violation | None) -> Violation | None:
    if violation is None or not where:
        return violation
    return Violation(violation.status, f"{violation.reason} at {', '.join(where)}")


Rule = Callable[[Report, Limits], Violation | None]
RULES: Final[tuple[Rule, ...]] = (polling, consuming, moving, steady)


def judge(report: Report, limits: Limits) -> tuple[Violation, ...]:
    """Return all rules that a report breaks, in rank order.

    A booting node has no polls yet and a stopping one no more: neither is judged.
    """
    if report.state not in JUDGED:
        return ()
    found = [rule(report, limits) for rule in RULES]
    return ranked(found) if any(found) else ()


def silent(silence_s: float, limits: Limits) -> Violation | None:
    """Status -1: no report for too long."""
    timeout_s = limits.report_timeout_s
    if timeout_s is None or silence_s <= timeout_s:
        return None
    return Violation(
        Status.SILENT, f"node_report_timeout: {silence_s:.1f} s > {timeout_s:.1f} s"
    )


def booting(booting_s: float, limits: Limits) -> Violation | None:
    """Status -1: the node reports, but never gets past booting."""
    ttl_s = limits.boot_ttl_s
    if ttl_s is None or booting_s <= ttl_s:
        return None
    return Violation(
        Status.SILENT, f"boot_ttl: booting for {booting_s:.1f} s > {ttl_s:.1f} s"
    )


def bloated(
    memory_bytes: int | None, over_count: int, limits: Limits
) -> Violation | None:
    """Status 3: so many consecutive readings of memory are over the limit."""
    limit_bytes = limits.memory_limit_bytes
    if memory_bytes is None or limit_bytes is None or memory_bytes <= limit_bytes:
        return None
    if over_count < limits.memory_samples:
        return None
    mb, limit_mb = memory_bytes / 2**20, limit_bytes / 2**20
    return Violation(Status.MEMORY, f"memory_limit: {mb:.0f} MB > {limit_mb:.0f} MB")


def ranked(found: Iterable[Violation | None]) -> tuple[Violation, ...]:
    """Order violations by `RANK`: the first one's status names the restart."""
    broken = (violation for violation in found if violation)
    return tuple(sorted(broken, key=lambda v: RANK.index(v.status)))


def troubled(report: Report, limits: Limits) -> bool:
    """Whether a report speaks of an outage: no broker, or a frozen group."""
    if report.brokers_up == 0:
        return True
    return report.state in JUDGED and steady(report, limits) is not None


# The longest between two answers of a broker to a member that has nothing to do: its
# heartbeats, every 3 s in the classic and 5 s in the consumer protocol.
HEARTBEATS_S: Final = 5.0


def is_shaken(report: Report, *, interval_s: float) -> bool:
    """Whether a report speaks of what may become an outage.

    The nodes of a group that Kafka freezes notice it one after the other, so one of
    them is over its limit before the others are; those that were steady just hear no
    word from it.

    Args:
        report: The report.
        interval_s: Between reports, and between the statistics that they go by.
    """
    if report.brokers_up == 0:
        return True
    if report.state not in JUDGED:
        return False
    mute_ms = (HEARTBEATS_S + 1.5 * interval_s) * 1000
    heard_ms = (GroupReach.read(text).heard_ms for text in report.kafka_groups)
    return report.unsteady_ms is not None or any(
        each is not None and each > mute_ms for each in heard_ms
    )


def is_outage(troubled_count: int, node_count: int) -> bool:
    """Whether so many troubled nodes of a group are Kafka's trouble, not theirs.

    Args:
        troubled_count: Those of which `troubled` is true.
        node_count: Those that run, or are down for a restart.

    Source: the design's outage guard: at least half of a group, two or more.
    """
    return troubled_count >= 2 and 2 * troubled_count >= node_count
