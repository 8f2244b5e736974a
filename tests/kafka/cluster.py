"""Two brokers of one cluster, so that one may end and the other takes over."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined] # lacks __all__
    AdminClient,
    NewTopic,
    PartitionMetadata,
)

from tests.eventually import eventually
from tests.kafka.admin import TIMEOUT_S
from tests.kafka.broker import KafkaBroker
from tests.kafka.settings import free_ports, new_cluster_id

OFFSETS: Final = "__consumer_offsets"
REPLICATED: Final[Mapping[str, str]] = {
    "default.replication.factor": "2",
    "offsets.topic.replication.factor": "2",
    # What is acknowledged by the one that is left is acknowledged.
    "min.insync.replicas": "1",
    # A broker that is back leads nothing before it is told to.
    "auto.leader.rebalance.enable": "false",
    # A busy machine's broker that is late for a heartbeat is not taken for dead.
    "broker.session.timeout.ms": "6000",
}
FIRST, SECOND = 1, 2


class KafkaCluster:
    """A first broker that is the controller, too, and a second that may end.

    All groups have their coordinator on the second one, for as long as it is there.

    Attributes:
        first: Leads what the second has led when that is gone. Never stop it.
        second: May be stopped, killed, frozen and started again.
    """

    def __init__(self, home: Path, *, heap_mb: int = 256) -> None:
        cluster_id = new_cluster_id()
        self.first = KafkaBroker(
            home / "1", config=REPLICATED, heap_mb=heap_mb, cluster_id=cluster_id
        )
        quorum = f"{FIRST}@127.0.0.1:{self.first.settings.ports.controller}"
        port = free_ports().plain
        joins = {
            "process.roles": "broker",
            "node.id": str(SECOND),
            "controller.quorum.voters": quorum,
            "listeners": f"PLAINTEXT://127.0.0.1:{port}",
        }
        self.second = KafkaBroker(
            home / "2",
            port=port,
            config={**REPLICATED, **joins},
            heap_mb=heap_mb,
            cluster_id=cluster_id,
            nodes=2,
        )
        joint = f"{self.first.bootstrap},{self.second.bootstrap}"
        self.first.bootstrap = self.second.bootstrap = joint
        self._admin = AdminClient({"bootstrap.servers": joint, "log_level": 0})
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.enter_context(self.first)
            starting.enter_context(self.second)
            self._place_coordinator()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def coordinator(self) -> int | None:
        """The broker that coordinates all groups, as the cluster tells now."""
        offsets = self._offsets
        return None if offsets is None else int(offsets.leader)

    @property
    def _in_sync(self) -> set[int]:
        offsets = self._offsets
        return set() if offsets is None else set(offsets.isrs)

    @property
    def _offsets(self) -> PartitionMetadata | None:
        """The partition of all committed offsets; none for a moment at first."""
        told = self._admin.list_topics(OFFSETS, timeout=TIMEOUT_S)
        return told.topics[OFFSETS].partitions.get(0)

    def await_coordinator(self, broker: int) -> None:
        """Wait until it is this one."""
        eventually(
            lambda: self.coordinator == broker,
            within_s=30.0,
            describe=f"broker {broker} coordinates",
        )

    def give_back(self) -> None:
        """Have the second broker coordinate again; it runs, and has caught up."""

        def is_given() -> bool:
            at = [TopicPartition(OFFSETS, 0)]
            self._admin.elect_leaders(ElectionType.PREFERRED, at).result(TIMEOUT_S)
            return self.coordinator == SECOND

        eventually(is_given, within_s=30.0, every_s=0.3, describe="it is given back")

    def _place_coordinator(self) -> None:
        offsets = NewTopic(
            OFFSETS,
            num_partitions=1,
            replica_assignment=[[SECOND, FIRST]],
            config={"cleanup.policy": "compact"},
        )
        self._admin.create_topics([offsets])[OFFSETS].result(TIMEOUT_S)
        eventually(
            lambda: self.coordinator == SECOND and self._in_sync == {FIRST, SECOND},
            within_s=30.0,
            describe="both brokers are in sync, the second one coordinates",
        )
