"""The messages of the demo, sent at a steady rate."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

from swarm_worker.demo.ledger import Ledger
from swarm_worker.demo.swarm import PARTITIONS, DemoSwarm

PER_SECOND: Final = 100
FLUSH_S: Final = 10.0


class Traffic:
    """A producer of numbered messages; enters in a ledger what the broker has."""

    def __init__(self, swarm: DemoSwarm, ledger: Ledger) -> None:
        self._topic = swarm.topic
        self._ledger = ledger
        broker = {"bootstrap.servers": swarm.bootstrap, "log_level": 0}
        self._producer = Producer(broker)
        self._begun_at_s = time.monotonic()
        self._sent_count = 0
        self._is_over = False

    def send(self) -> None:
        """Send what is due, and hear of what has arrived."""
        due_count = (time.monotonic() - self._begun_at_s) * PER_SECOND
        while not self._is_over and self._sent_count < due_count:
            self._producer.produce(
                self._topic,
                str(self._sent_count),
                partition=self._sent_count % PARTITIONS,
                on_delivery=self._delivered,
            )
            self._sent_count += 1
        self._producer.poll(0)

    def end(self) -> None:
        """Send no more; wait until what is sent has arrived."""
        self._is_over = True
        self._producer.flush(FLUSH_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._ledger.acknowledged.add(int(message.value() or b""))
