"""A producer at a steady rate, whose messages are numbers from 0."""

from __future__ import annotations

import threading
import time
from typing import Final

from confluent_kafka import KafkaError, Message, Producer

FLUSH_S: Final = 10.0


class SteadyProducer:
    """Produces until it is stopped; enters what the broker has acknowledged."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        partitions: int,
        per_second: int,
        acknowledged: set[int],
    ) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
        self._topic = topic
        self._partitions = partitions
        self._pause_s = 1 / per_second
        self._acknowledged = acknowledged
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self.sent_count = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the last acknowledgements, `FLUSH_S` at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._producer.flush(FLUSH_S)

    def _run(self) -> None:
        next_at_s = time.monotonic()
        while not self._stop.wait(max(0.0, next_at_s - time.monotonic())):
            next_at_s += self._pause_s
            self._producer.produce(
                self._topic,
                str(self.sent_count),
                partition=self.sent_count % self._partitions,
                on_delivery=self._delivered,
            )
            self.sent_count += 1
            self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._acknowledged.add(int(message.value() or b""))
