"""A swarm as in production, on real Kafka: supervisord, listener, nodes, a ledger.

The sections are those of `tests.process.scenes`, so of ``conf/supervisord.conf``. Each
message that a node has processed is a line of the ledger; each process is seen in
``/proc`` by `tests.process.lives`.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from confluent_kafka import KafkaException

from tests.awaits import await_new_pid
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import unique
from tests.kafka.witness import Ledger
from tests.ledger import Verdict
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.swarms import GROUP, Swarm

NODES: Final = 4
PARTITIONS: Final = 12
SHARE: Final = PARTITIONS // NODES

CLASSIC: Final[Mapping[str, Any]] = {
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    # A broker that comes back is found soon, so that outages have an end.
    "reconnect.backoff.max.ms": 500,
}
# Longer than any freeze that is thawed again: a process that sleeps past its session
# may finish its message beside its successor, which no ledger can tell from a fault.
SESSION_MS: Final = 10_000
KIP_848: Final[Mapping[str, Any]] = {
    "auto.offset.reset": "earliest",
    "group.protocol": "consumer",
    "reconnect.backoff.max.ms": 500,
}

# No node is refused a restart because it was restarted so often: that is the test.
LIMITS: Final = {"stability_ttl": 5_000, "max_restarts": 100_000}

# What a node logs when it lets go of partitions, and when it has ended in order.
LET_GO: Final = re.compile(r"partitions_(?:revoked|lost) group=\S+ count=[1-9]")
ENDED: Final = "node_stopped exit_code=0"


@dataclass(kw_only=True)
class KafkaSwarm:
    """Nodes that consume one topic, and their witnesses.

    Attributes:
        swarm: supervisord and the listener.
        lives: All processes that the slots ever had.
        ledger: What was produced, processed and committed.
        kafka: The broker.
        nodes: How many.
    """

    swarm: Swarm
    lives: Lives
    ledger: Ledger
    kafka: KafkaBroker
    nodes: int = NODES

    def name(self, node: int) -> str:
        """Return supervisord's full name of a node."""
        return scenes.name_of(node)

    def pids(self) -> dict[int, int | None]:
        """Return the pid of each node."""
        return scenes.pids(self.swarm, self.nodes)

    def signal(self, node: int, number: signal.Signals) -> int:
        """Signal a node; give its pid."""
        pid = self.swarm.pid(node)
        os.kill(pid, number)
        return pid

    def supervisorctl(self, *words: str) -> str:
        """Run ``supervisorctl``, the plugin with it; give what it says."""
        return scenes.supervisorctl(self.swarm, *words)

    def log(self, node: int) -> str:
        """Return what a node has logged, over all its lives."""
        return self.swarm.daemon.file(f"{GROUP}_{node:02d}.log")

    def let_go(self, node: int) -> int:
        """Count how often a node lost partitions, an end of its own included."""
        return len(LET_GO.findall(self.log(node)))

    def ends(self, node: int) -> int:
        """Count how often a node ended in order."""
        return self.log(node).count(ENDED)

    def await_settled(self, *, within_s: float = 40.0) -> None:
        """Wait until each node's present process runs and holds its share."""
        share = PARTITIONS // self.nodes
        eventually(
            lambda: all(self.holds(node) == share for node in range(self.nodes)),
            within_s=within_s,
            describe=f"{self.nodes} nodes hold {share} partitions each",
        )

    def await_back(self, node: int, *, than: int | None, share: int = SHARE) -> int:
        """Wait until a node works in another process; give its pid."""
        pid = await_new_pid(self.swarm.daemon, self.name(node), than=than)
        eventually(
            lambda: self.swarm.pid(node) == pid and self.holds(node) == share,
            within_s=30.0,
            describe=f"node {node}, pid {pid}, holds {share} partitions again",
        )
        return pid

    def await_work(self, *nodes: int) -> None:
        """Wait until the present process of each node works on one message more."""
        pids, ledger = {self.swarm.pid(node) for node in nodes}, self.ledger
        read = len(ledger.processed.read())
        eventually(
            lambda: pids <= {row.life.pid for row in ledger.processed.read()[read:]},
            within_s=30.0,
            describe=f"nodes {nodes}, pids {pids}, work",
        )

    def holds(self, node: int) -> int | None:
        """Return the partitions that a node's present process reports; None before."""
        told = {one["node"]: one for one in self.swarm.status().get("nodes", [])}
        one = told.get(self.name(node))
        if one is None or one["report"] is None or one["report"]["state"] != "running":
            return None
        is_present = one["pid"] == self.swarm.daemon.pid(self.name(node))
        return int(one["report"]["assigned"]) if is_present else None

    def unharmed(self, pids: Mapping[int, int | None]) -> Verdict:
        """Wait until all is done: nothing was lost, and no process was replaced."""
        self.ledger.await_done()
        verdict = self.ledger.verdict()
        assert verdict.faults() == {}, str(verdict)
        assert self.swarm.records() == []
        assert self.pids() == pids
        return verdict

    def owners(self) -> dict[int, set[int]]:
        """Return the nodes that have worked on each partition."""
        owners: dict[int, set[int]] = {}
        for row in self.ledger.processed.read():
            owners.setdefault(row.partition, set()).add(row.life.node)
        return owners


@contextmanager
def supervised(
    kafka: KafkaBroker,
    *,
    properties: Mapping[str, Any] = CLASSIC,
    session_ms: int | None = None,
    app: str = "tests.apps.ledger_app:app",
    fault: str = "",
    environ: Mapping[str, str] = MappingProxyType({}),
    sleep_ms: float = 1.0,
    max_messages: int = 500,
    concurrency: int = 3,
    nodes: int = NODES,
    limits: Mapping[str, Any] = LIMITS,
    absent: Callable[[], None] | None = None,
    **options: Any,
) -> Iterator[KafkaSwarm]:
    """Run a swarm on a topic of its own; waits for nothing.

    Args:
        kafka: The broker.
        properties: Of librdkafka.
        session_ms: The group's session; None for the default of 45 s.
        app: ``module:attribute``, looked up in supervisord's folder first.
        fault: What a faulty app does.
        environ: What else an app is told.
        sleep_ms: What a message takes.
        max_messages: Most messages in a batch.
        concurrency: Batches in flight in a node.
        nodes: How many.
        limits: Keys of ``[listener]``.
        absent: Called when the topic is there and the swarm is not.
        **options: Of `tests.process.scenes.scene`; mappings add to what is used here.
    """
    name = kafka.create_topic(unique("swarm"), PARTITIONS)
    own = dict(properties)
    if session_ms is not None:
        if own.get("group.protocol") == "consumer":
            kafka.set_group_config(
                name, {"consumer.session.timeout.ms": str(session_ms)}
            )
        else:
            own |= {"session.timeout.ms": session_ms, "heartbeat.interval.ms": 1_000}
    if absent is not None:
        absent()
    environment = {
        "LEDGER_PATH": "{folder}/processed",
        "LEDGER_TOPICS": name,
        "LEDGER_GROUP": name,
        "LEDGER_SLEEP_MS": str(sleep_ms),
        "LEDGER_FAULT": fault,
        **environ,
    }
    program = {
        "directory": "{folder}",
        "environment": ",".join(f'{k}="{v}"' for k, v in environment.items()),
        **options.pop("program", {}),
    }
    worker = {
        "max_messages": max_messages,
        "concurrency": concurrency,
        **options.pop("worker", {}),
    }
    with scenes.watched_scene(
        nodes=nodes,
        command=scenes.NODE.replace(scenes.FAULTY_APP, app),
        limits=limits,
        worker=worker,
        kafka={"bootstrap.servers": kafka.bootstrap, **own},
        program=program,
        **options,
    ) as (swarm, lives):
        ledger = Ledger(
            bootstrap=kafka.bootstrap,
            topic=name,
            partitions=PARTITIONS,
            group=name,
            path=swarm.daemon.folder / "processed",
        )
        yield KafkaSwarm(
            swarm=swarm, lives=lives, ledger=ledger, kafka=kafka, nodes=nodes
        )


def answers(kafka: KafkaBroker, group: str, topic: str) -> bool:
    """Whether the group's coordinator answers a stranger."""
    try:
        kafka.committed(group, topic, timeout_s=1.0)
    except KafkaException:
        return False
    return True
