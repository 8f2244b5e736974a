"""A node that alone has no broker is restarted; where none has one, nobody is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.awaits import await_reports, await_restarted, await_seconds
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import QUICK, produce, unique
from tests.kafka.supervised import deadly_swarm, handled
from tests.process.scenes import name_of, pids, supervisorctl
from tests.process.swarms import Swarm

pytestmark = pytest.mark.process

NODES: Final = 3
LIMITS: Final = {"stability_ttl": 5_000}
NOWHERE: Final = "127.0.0.1:1"


def told_of(swarm: Swarm, node: int) -> dict[str, object]:
    """Return what the status file tells of a node."""
    (told,) = (n for n in swarm.status()["nodes"] if n["node"] == name_of(node))
    return dict(told)


@pytest.mark.timeout(120)
def test_a_node_that_alone_has_no_broker_is_restarted(kafka: KafkaBroker) -> None:
    """By rule 4, with the reason; the others are the processes that they were."""
    name = kafka.create_topic(unique("alone"), 6)
    with deadly_swarm(
        kafka, name, nodes=NODES, limits=LIMITS, ELSEWHERE=NOWHERE, ALONE="w_01"
    ) as swarm:
        await_reports(swarm, NODES, within_s=30)
        before = pids(swarm, NODES)
        eventually(
            lambda: "Connection refused" in str(told_of(swarm, 1)["why"]),
            within_s=20,
            describe="the status names the cause",
        )
        (swarm.daemon.folder / "mended").touch()
        await_restarted(swarm, 1, than=before[1] or 0, within_s=40)
        produce(kafka.bootstrap, name, 6)
        eventually(
            lambda: told_of(swarm, 1)["health"] == "healthy",
            within_s=30,
            describe="the node has a broker",
        )

        (record,) = swarm.records()
        assert (record["node"], record["status"]) == (name_of(1), 4)
        assert "while other nodes have one" in record["reason"]
        after = pids(swarm, NODES)
        assert {n: after[n] for n in (0, 2)} == {n: before[n] for n in (0, 2)}
        story = supervisorctl(swarm, "swarm", "why", name_of(1))
        assert "status 4: it alone had no broker" in story


@pytest.mark.timeout(120)
def test_where_no_node_has_a_broker_none_is_restarted(tmp_path: Path) -> None:
    """However long: they are excused, and that is said."""
    with (
        KafkaBroker(tmp_path / "broker") as kafka,
        deadly_swarm(
            kafka,
            kafka.create_topic(unique("none"), 6),
            nodes=NODES,
            limits=LIMITS,
            own=QUICK,
        ) as swarm,
    ):
        await_reports(swarm, NODES, within_s=30)
        eventually(
            lambda: all(told_of(swarm, n)["health"] == "healthy" for n in range(NODES)),
            within_s=30,
            describe="all healthy",
        )
        before = pids(swarm, NODES)
        kafka.kill()
        await_seconds(15)

        for node in range(NODES):
            why = str(told_of(swarm, node)["why"])
            assert "excused, since none of its group has one" in why
        assert swarm.records() == []
        assert pids(swarm, NODES) == before
        assert handled(swarm) == []
