"""What a node leaves beside its slot about its partitions."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from swarm_worker.node.partitions_file import PartitionsFile
from swarm_worker.reporting.partition_lag import PartitionLag
from swarm_worker.reporting.progress import Progress
from tests.clock import FakeClock

WALL_MS = 1_800_000_000_000


def file_of(path: Path, progress: Progress, clock: FakeClock) -> PartitionsFile:
    """Return the file of a node that was frozen for 7 s since the machine's boot."""
    return PartitionsFile(
        path,
        progress,
        clock,
        monotonic=lambda: clock() + 7.0,
        wall=lambda: datetime.fromtimestamp(WALL_MS / 1000, UTC),
    )


def behind(partition: int, lag: int | None, **changed: Any) -> PartitionLag:
    """Return a partition that is so far behind."""
    nothing = dict.fromkeys(("end_at_s", "oldest_at_ms", "lso_behind_since_s"))
    return PartitionLag(
        topic="orders", partition=partition, lag=lag, **{**nothing, **changed}
    )


def test_each_partition_stands_in_it(tmp_path: Path) -> None:
    """With its Kafka group; ages are of the moment, and what is unknown is null."""
    path, clock, progress = tmp_path / "n.partitions", FakeClock(), Progress()
    billing, audit = progress.add_consumer("billing"), progress.add_consumer("audit")
    billing.partitions = (
        behind(4, 6236, oldest_at_ms=WALL_MS - 62_360, lso_behind_since_s=clock() - 91),
        behind(5, None),
    )
    audit.partitions = (behind(4, 1, oldest_at_ms=WALL_MS + 5),)
    file_of(path, progress, clock).keep()

    nothing = {"lag": None, "oldest_ms": None, "lso_behind_ms": None}
    orders = {"topic": "orders", "partition": 4, **nothing}
    assert json.loads(path.read_text()) == {
        "pid": os.getpid(),
        "at_ms": 1_007_000,
        "partitions": [
            {
                **orders, "kafka_group": "billing", "lag": 6236, "oldest_ms": 62_360,
                "lso_behind_ms": 91_000,
            },
            {**orders, "partition": 5, "kafka_group": "billing"},
            {**orders, "kafka_group": "audit", "lag": 1, "oldest_ms": 0},
        ],
    }  # fmt: skip


def test_it_is_written_when_there_are_new_figures(tmp_path: Path) -> None:
    """Its moment is theirs: without statistics it stays, and looks as old as it is."""
    path, clock, progress = tmp_path / "n.partitions", FakeClock(), Progress()
    consumer, file = progress.add_consumer("g"), file_of(path, progress, clock)
    consumer.partitions = (behind(0, 5, end_at_s=clock()),)
    file.keep()
    first = path.read_text()
    clock.advance(5.0)
    file.keep()
    assert path.read_text() == first

    consumer.partitions = (behind(0, 5, end_at_s=clock()),)
    file.keep()
    assert json.loads(path.read_text())["at_ms"] == 1_012_000


def test_a_node_that_has_lost_its_partitions_says_so(tmp_path: Path) -> None:
    """That it has none is known, and no longer that it had some."""
    path, progress = tmp_path / "n.partitions", Progress()
    consumer, file = progress.add_consumer("g"), file_of(path, progress, FakeClock())
    consumer.partitions = (behind(0, 5),)
    file.keep()
    consumer.partitions = ()
    file.keep()

    assert json.loads(path.read_text())["partitions"] == []


@pytest.mark.parametrize("place", ["gone", "file"])
def test_a_directory_that_is_gone_costs_the_file_alone(
    tmp_path: Path, place: str
) -> None:
    """The node goes on; it writes again with the next figures."""
    (tmp_path / "file").touch()
    path, progress = tmp_path / place / "n.partitions", Progress()
    consumer, file = progress.add_consumer("g"), file_of(path, progress, FakeClock())
    consumer.partitions = (behind(0, 5),)
    file.keep()
    assert not path.exists()
    if place == "gone":
        path.parent.mkdir()
        consumer.partitions = (behind(0, 6),)
        file.keep()
        assert path.exists()
