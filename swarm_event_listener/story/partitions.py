"""How far behind each partition is, out of what the nodes that hold them have written.

`status --partitions` and its ``--json`` draw from these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from swarm_worker.shared.state_files.partition_figures import NodeFigures, NotKnownError

WORST: Final = 20  # are shown of a Kafka group, which may have thousands


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition that a node holds; None is not known, or not there.

    Attributes:
        kafka_group: The Kafka group whose lag it is.
        topic: Its topic.
        partition: Its number.
        node: ``group:process`` of who holds it.
        lag: Messages from what is done to the end of the log.
        oldest_ms: Age of the oldest message that is not done.
        lso_behind_ms: For how long the last stable offset has stood behind the end.
        age_ms: How long ago its node wrote all this.
    """

    kafka_group: str
    topic: str
    partition: int
    node: str
    lag: int | None
    oldest_ms: int | None
    lso_behind_ms: int | None
    age_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """All partitions of one Kafka group, as far as they are known.

    Attributes:
        kafka_group: Its name.
        partitions: How many are held.
        lag: The sum of those that are known; None where none is.
        lag_not_known: Of how many partitions it is not.
        age_ms: How long ago the oldest of the figures was written.
    """

    kafka_group: str
    partitions: int
    lag: int | None
    lag_not_known: int
    age_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """Those of some nodes.

    Attributes:
        all: The largest lag first, what is not known last.
        not_known: Why nothing is known of the partitions of a node, by its name.
    """

    all: tuple[Partition, ...]
    not_known: Mapping[str, str]

    def by_group(self) -> list[tuple[Sum, Sequence[Partition]]]:
        """Return each Kafka group with its partitions, the largest lag first."""
        groups: dict[str, list[Partition]] = {}
        for each in self.all:
            groups.setdefault(each.kafka_group, []).append(each)
        summed = [(_sum(name, held), held) for name, held in groups.items()]
        return sorted(summed, key=lambda found: -(found[0].lag or 0))

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "partitions": [dataclasses.asdict(each) for each in self.all],
            "kafka_groups": [dataclasses.asdict(sums) for sums, _ in self.by_group()],
            "not_known": [
                {"node": node, "why": why} for node, why in self.not_known.items()
            ],
        }


class Holder(Protocol):
    """A node that may hold partitions."""

    @property
    def node(self) -> str:
        """Its name: ``group:process``."""

    @property
    def pid(self) -> int | None:
        """Its process; None without one."""

    @property
    def partitions(self) -> int | None:
        """How many it holds, as last reported; None where that is not known."""


def partitions(
    rows: Iterable[Holder], read: Callable[[str, int], NodeFigures], *, now_s: float
) -> Partitions:
    """Return the partitions of nodes; one without a process holds none.

    Args:
        rows: The nodes.
        read: What a node, of that name and pid, has written; raises NotKnownError.
        now_s: CLOCK_MONOTONIC, which all programs of a machine share.
    """
    found: dict[tuple[str, str, str, int], Partition] = {}
    not_known = {}
    for row in rows:
        if row.pid is None:
            continue
        try:
            told = read(row.node, row.pid)
        except NotKnownError as error:
            not_known[row.node] = str(error)
            continue
        held, count = row.partitions or 0, len(told.partitions)
        if count < held:
            not_known[row.node] = f"it has told of {count} of its {held} yet"
        for each in _of_node(row.node, told, now_s=now_s):
            _keep_newer(found, each)
    by_lag = sorted(found.values(), key=_most_lag_first)
    return Partitions(all=tuple(by_lag), not_known=not_known)


def _of_node(node: str, told: NodeFigures, *, now_s: float) -> Iterable[Partition]:
    age_ms = max(0, round(now_s * 1000) - told.at_ms)
    for each in told.partitions:
        yield Partition(node=node, age_ms=age_ms, **dataclasses.asdict(each))


def _keep_newer(
    found: dict[tuple[str, str, str, int], Partition], each: Partition
) -> None:
    """Keep what was written last: a partition that moved stands in two files a while.

    Nodes of two groups of supervisord may be those of two Kafkas.
    """
    swarm = each.node.partition(":")[0]
    key = (swarm, each.kafka_group, each.topic, each.partition)
    if key not in found or each.age_ms < found[key].age_ms:
        found[key] = each


def _most_lag_first(each: Partition) -> tuple[int, str, str, int]:
    lag = -1 if each.lag is None else each.lag
    return -lag, each.kafka_group, each.topic, each.partition


def _sum(kafka_group: str, held: Sequence[Partition]) -> Sum:
    lags = [each.lag for each in held if each.lag is not None]
    return Sum(
        kafka_group=kafka_group,
        partitions=len(held),
        lag=sum(lags) if lags else None,
        lag_not_known=len(held) - len(lags),
        age_ms=max(each.age_ms for each in held),
    )
