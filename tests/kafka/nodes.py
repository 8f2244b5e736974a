"""Nodes for the tests on Kafka: in this process, where a test can look inside."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import pytest
from confluent_kafka import Consumer, Producer

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.app.routing import plan
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.kafka.consumer import GroupConsumer
from swarm_worker.kafka.errors import FatalError
from swarm_worker.kafka.monitoring.monitor import Monitor
from swarm_worker.kafka.poll_loop import PollLoop
from swarm_worker.processing.handlers import HandlerPool
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.report import Report, State
from tests.eventually import eventually

# Short sessions: what takes a minute in production takes seconds here.
SESSION_MS = 6_000
QUICK: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    "session.timeout.ms": SESSION_MS,
    "heartbeat.interval.ms": 300,
    "statistics.interval.ms": 500,
    # As in the tests' admin: a broker that comes back is found soon.
    "reconnect.backoff.max.ms": 500,
}
MODERN: Mapping[str, Any] = {
    "auto.offset.reset": "earliest",
    "group.protocol": "consumer",
    "statistics.interval.ms": 500,
    "reconnect.backoff.max.ms": 500,
}
PROTOCOLS = {
    "eager": QUICK,
    "cooperative": {**QUICK, "partition.assignment.strategy": "cooperative-sticky"},
    "consumer": MODERN,
}


def settings(
    bootstrap: str,
    *,
    kafka: Mapping[str, Any] = QUICK,
    node: int = 0,
    nodes: int = 4,
    concurrency: int = 1,
    max_messages: int = 500,
    shutdown_timeout_s: float = 10.0,
    static: bool = True,
) -> WorkerSettings:
    """Make a node's settings."""
    return WorkerSettings(
        node=node,
        nodes=nodes,
        kafka={"bootstrap.servers": bootstrap, **kafka},
        concurrency=concurrency,
        max_messages=max_messages,
        max_wait_time=1_000,
        shutdown_timeout=round(shutdown_timeout_s * 1000),
        liveness_interval=500,
        static_membership=static,
        instance_prefix="test",
        state_dir=Path("/nonexistent"),
    )


class Node:
    """The data path of a node, without signals, reports and slot: one per group."""

    def __init__(
        self, app: App, told: WorkerSettings, *, before: frozenset[str] | None = None
    ) -> None:
        """Make it; ``before`` is what an earlier process of its slot subscribed to."""
        self.settings = told
        self.progress = Progress(max_poll_interval_ms=told.max_poll_interval_ms)
        self.pool = HandlerPool(told.concurrency)
        self.failures: list[FatalError] = []
        self.consumers = [
            GroupConsumer(
                group,
                settings=told,
                progress=self.progress,
                pool=self.pool,
                on_fatal=self.failures.append,
                subscribed_before=before,
            )
            for group in plan(app, node=told.node, nodes=told.nodes)
        ]

    def start(self) -> Self:
        """Start threads; returns at once."""
        self.pool.start()
        for consumer in self.consumers:
            consumer.start()
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, leave: bool = False) -> float:
        """Stop gracefully; give the seconds that it took."""
        began_s = time.monotonic()
        for consumer in self.consumers:
            consumer.stop(leave=leave)
        for consumer in self.consumers:
            assert consumer.join(20.0), "the consumer closes"
        self.pool.stop()
        return time.monotonic() - began_s

    @property
    def snapshot(self) -> Report:
        """What a report would say now."""
        return self.progress.report(State.RUNNING, now_s=time.monotonic())

    @property
    def monitor(self) -> Monitor:
        """What the first group's client tells of itself."""
        return self.consumers[0].group.monitor

    def await_assigned(self, count: int, *, within_s: float = 20.0) -> Self:
        """Wait until the node holds so many partitions."""
        eventually(
            lambda: self.snapshot.assigned == count,
            within_s=within_s,
            describe=f"node {self.settings.node} holds {count} partitions",
        )
        return self


def on_poll_thread(call: Callable[[Consumer], None]) -> None:
    """Call with the client of the one node that polls, on its thread; wait for that."""
    tend, called = PollLoop.tend, threading.Event()

    def call_once(loop: PollLoop) -> None:
        patch.undo()
        call(loop._client)
        tend(loop)
        called.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PollLoop, "tend", call_once)
        assert called.wait(20.0), "the node polls"


class Gate:
    """A handler that waits until it is let go; tells of each batch that came in."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered: list[tuple[int, int]] = []  # partition, first offset
        self.left: list[tuple[int, int]] = []

    def __call__(self, batch: Batch) -> None:
        """Wait."""
        at = batch.partition, batch[0].offset() or 0
        self.entered.append(at)
        assert self.open.wait(30.0), "the test opens the gate"
        self.left.append(at)

    def await_entered(self, count: int = 1) -> None:
        """Wait until so many batches came in."""
        eventually(
            lambda: len(self.entered) >= count, describe=f"{count} batches in flight"
        )


class Seen:
    """A handler's memory: ``(partition, offset)`` in the order of handling."""

    def __init__(self) -> None:
        self.offsets: list[tuple[int, int]] = []
        self.batches: list[tuple[int, int, int]] = []  # partition, first offset, size

    def __call__(self, batch: Batch) -> None:
        """Remember a batch."""
        first = batch[0].offset()
        assert first is not None
        self.batches.append((batch.partition, first, len(batch)))
        self.offsets += [(batch.partition, m.offset() or 0) for m in batch]

    def await_count(self, count: int, *, within_s: float = 20.0) -> None:
        """Wait until so many messages were handled, repeats included."""
        eventually(
            lambda: len(self.offsets) >= count or None,
            within_s=within_s,
            describe=f"{count} messages handled",
        )

    @property
    def duplicates(self) -> int:
        """How many were handled more than once."""
        return len(self.offsets) - len(set(self.offsets))


def produce(
    bootstrap: str, topic: str, count: int, *, partition: int = 0, first: int = 0
) -> None:
    """Produce ``count`` numbered messages and wait until they are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    for number in range(first, first + count):
        producer.produce(topic, str(number), key=str(number), partition=partition)
    assert producer.flush(20.0) == 0, "all messages are acknowledged"


class Log(Protocol):
    """Return the lines of an event that nodes of this process have logged."""

    def __call__(self, event: str, about: str = "") -> list[str]:
        """Return those that contain ``about``, such as the name of a group."""


def lines_of(caplog: pytest.LogCaptureFixture) -> Log:
    """Begin to listen to the nodes of this process."""
    caplog.set_level(logging.INFO, logger="swarm_worker")

    def lines(event: str, about: str = "") -> list[str]:
        told = [record.getMessage() for record in caplog.records]
        return [line for line in told if line.startswith(event) and about in line]

    return lines


def unique(stem: str) -> str:
    """Name a topic and its group as no other test does."""
    return f"{stem}-{secrets.token_hex(4)}"
