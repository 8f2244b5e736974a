"""How far behind each partition is, as an operator is shown it; on real Kafka."""

from __future__ import annotations

import json
from typing import Any

from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import produce, unique
from tests.kafka.supervised import deadly_swarm
from tests.kafka.test_failures import produce_value
from tests.process.scenes import ctl
from tests.process.swarms import Swarm


def test_lags_are_those_that_kafka_knows_and_their_owners_are_named(
    kafka: KafkaBroker,
) -> None:
    """A partition that waits for a message is behind by what came after it, too."""
    name = kafka.create_topic(unique("behind"), 4)
    produce(kafka.bootstrap, name, 3, partition=0)
    produce_value(kafka, name, b"die")
    produce(kafka.bootstrap, name, 6, partition=0, first=4)
    produce(kafka.bootstrap, name, 20, partition=1)
    with deadly_swarm(kafka, name, nodes=2, BY="raise") as swarm:
        told = eventually(
            lambda: is_settled(swarm, kafka, name),
            within_s=60.0,
            describe="all is known, and all but one partition done",
        )
        worst, *others = told["partitions"]
        text = ctl(swarm, "swarm", "status", "--partitions").stdout

    assert (worst["topic"], worst["partition"], worst["lag"]) == (name, 0, 7)
    assert worst["oldest_ms"] > 0
    assert [each["oldest_ms"] for each in others] == [None] * 3
    assert [each["lag"] for each in told["kafka_groups"]] == [7]
    held = sorted((each["partition"], each["node"]) for each in told["partitions"])
    assert [partition for partition, _ in held] == [0, 1, 2, 3]
    assert {node for _, node in held} == {"w:w_00", "w:w_01"}
    assert f"{name}: lag 7, 4 partitions, as of " in text


def is_settled(swarm: Swarm, kafka: KafkaBroker, name: str) -> dict[str, Any] | None:
    """Return what is told, once it is what Kafka says of a group at rest."""
    done = ctl(swarm, "swarm", "status", "--partitions", "--json")
    told: dict[str, Any] = json.loads(done.stdout)
    ends, committed = kafka.end_offsets(name), kafka.committed(name, name)
    is_at_rest = (committed.get(0), committed.get(1)) == (3, 20)
    if not is_at_rest or done.returncode != 1 or told["not_known"]:
        return None
    lags = {each["partition"]: each["lag"] for each in told["partitions"]}
    true = {each: ends[each] - committed.get(each, 0) for each in ends}
    return told if lags == true else None
