"""A memory limit that a node breaks as soon as it is there: a mistake, not a leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.awaits import await_records
from tests.process import scenes

LIMITS = {
    "memory_limit": 5,  # MB; the interpreter alone has more
    "node_restart_timeout": 500,
    "max_restarts": 2,
    "restart_period": 600_000,
    "restart_backoff_max": 3_000,
}
PAUSES_S = (0.5, 0.5, 2.0, 3.0, 3.0)  # beyond two restarts it doubles, from 1 s
RESTARTS = len(PAUSES_S)
SAID = " ERROR memory_limit_below_boot_size "


@pytest.mark.process
@pytest.mark.timeout(120)
def test_a_limit_below_the_boot_size_is_loud_and_costs_ever_fewer_restarts() -> None:
    """One ERROR and one record for each, then a pause that doubles up to its bound."""

    def never_works(folder: Path) -> None:
        scenes.write_script(folder, "w_00", messages=0)

    with scenes.watched_scene(nodes=1, limits=LIMITS, prepare=never_works) as (
        swarm,
        lives,
    ):
        records = await_records(swarm, RESTARTS, within_s=60)[:RESTARTS]
        log = swarm.log

        assert {record["status"] for record in records} == {3}
        loud = [line for line in log.splitlines() if SAID in line]
        assert [line.partition(" pid=")[2].split()[0] for line in loud][:RESTARTS] == [
            str(record["pid"]) for record in records
        ]
        for record, pause_s in zip(records, PAUSES_S, strict=True):
            assert pause_s <= record["seconds"]["down"] < pause_s + 2
        # No process but those of the records, and the one that runs now or soon.
        assert len(lives.all(scenes.name_of(0))) <= len(swarm.records()) + 1
        assert log.count("\n") <= 12 + 6 * len(loud)
        assert lives.overlaps == []
