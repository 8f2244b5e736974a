"""A message that kills its process at once, sooner than any report can tell of it."""

from __future__ import annotations

import pytest

from tests.awaits import await_records
from tests.process import scenes

LIMITS = {
    "max_restarts": 3,
    "restart_period": 600_000,
    "restart_backoff_max": 2_000,
    "node_restart_timeout": 500,
}
SUSPECT = "orders/0@0"


@pytest.mark.process
@pytest.mark.timeout(120)
def test_a_message_that_kills_at_once_is_named_as_the_suspect() -> None:
    """In the log when it has killed so often, and in the record of the back-off."""
    with scenes.watched_scene(
        nodes=1,
        command=scenes.NODE,
        limits=LIMITS,
        program={"directory": "{folder}"},
        prepare=lambda folder: scenes.write_script(folder, "w_00", fault="die"),
    ) as (swarm, lives):
        records = await_records(swarm, within_s=60)

        assert [record["cause"] for record in records] == ["exited"]
        assert records[0]["suspect"] == SUSPECT
        (said,) = [
            line for line in swarm.log.splitlines() if "message_suspected" in line
        ]
        assert f"suspect={SUSPECT}" in said
        reports = [node["report"] for node in swarm.status()["nodes"] if node["report"]]
        assert all(report["in_flight"] == [] for report in reports)
        assert lives.overlaps == []
