"""The ledger on a real Kafka: what produces, samples and asks `tests.ledger.judge`."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.apps.processed import ProcessedFile
from tests.eventually import eventually
from tests.kafka.admin import Admin
from tests.ledger import Committed, Produced, Verdict, judge

if TYPE_CHECKING:
    from tests.ledger import Place

DELIVERY_WITHIN_MS = 600_000  # a broker may be down for minutes: that is the test


@dataclass(kw_only=True)
class Ledger:
    """Three witnesses of one topic and one group, and the verdict over them.

    Attributes:
        bootstrap: Where Kafka listens.
        topic: An existing topic.
        partitions: How many partitions to produce to, round robin.
        group: The group whose committed offsets are read.
        path: The file that nodes append to (``LEDGER_PATH`` of the ledger app).
        produced: Rows of acknowledged messages, in the order of acknowledgement.
        committed: Rows of samples.
        missed_samples: How often the coordinator gave no answer.
    """

    bootstrap: str
    topic: str
    partitions: int
    group: str
    path: Path
    produced: list[Produced] = field(default_factory=list)
    committed: list[Committed] = field(default_factory=list)
    missed_samples: int = 0

    def __post_init__(self) -> None:
        self.processed = ProcessedFile(self.path)
        self._ids = count()
        self._refused: list[KafkaError] = []
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,  # implies acks=all, keeps the order
                "delivery.timeout.ms": DELIVERY_WITHIN_MS,
                "linger.ms": 5,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )

    def produce(self, messages: int) -> None:
        """Produce so many messages; return when all are acknowledged.

        Raises:
            AssertionError: Kafka refused one, or did not acknowledge in ten minutes.
        """
        for _ in range(messages):
            self._send()
        self.await_acknowledged()

    @contextmanager
    def producing(self, *, per_s: float) -> Iterator[None]:
        """Produce at a steady rate for as long as the block lasts, then settle."""
        with _repeating(self._send, every_s=1 / per_s, name="ledger-producer"):
            yield
        self.await_acknowledged()

    def await_acknowledged(self) -> None:
        """Wait for what is not acknowledged yet.

        Raises:
            AssertionError: As ``produce``.
        """
        left = self._producer.flush(DELIVERY_WITHIN_MS / 1000)
        assert (left, self._refused) == (0, []), f"{left} unanswered, {self._refused}"

    @contextmanager
    def sampling(self, *, every_s: float = 0.1) -> Iterator[None]:
        """Sample the committed offsets while the block lasts, and once after it."""
        admin = Admin(self.bootstrap)
        try:
            with _repeating(
                lambda: self._sample(admin), every_s=every_s, name="ledger-sampler"
            ):
                yield
            self._sample(admin)
        finally:
            admin.close()

    def await_done(self, *, within_s: float = 60.0) -> None:
        """Wait until all that was produced is processed and committed."""
        self.await_processed(within_s=within_s)
        self.await_committed(within_s=within_s)

    def await_processed(self, *, within_s: float) -> None:
        """Wait until each acknowledged message was processed at least once.

        Raises:
            AssertionError: Says how many were not.
        """
        due = {row.id for row in self.produced}

        def all_processed() -> bool:
            due.difference_update(row.id for row in self.processed.read())
            return not due

        try:
            eventually(all_processed, within_s=within_s, every_s=0.2, describe="")
        except AssertionError:
            msg = f"{len(due)} of {len(self.produced)} messages not within {within_s} s"
            raise AssertionError(msg) from None

    def await_committed(self, *, within_s: float) -> None:
        """Wait until the group has committed all that was acknowledged.

        Raises:
            AssertionError: Names a partition that is behind.
        """
        ends: dict[int, int] = {}
        for row in self.produced:
            ends[row.partition] = max(ends.get(row.partition, 0), row.offset + 1)
        admin = Admin(self.bootstrap)

        def reached() -> bool:
            committed = admin.committed(self.group, self.topic)
            return all(committed.get(p, 0) >= end for p, end in ends.items())

        try:
            eventually(
                reached, within_s=within_s, describe=f"{self.group} committed {ends}"
            )
        finally:
            admin.close()

    def verdict(self, *, set_aside: "tuple[Place, ...]" = ()) -> Verdict:
        """Judge all rows so far."""
        return judge(
            self.produced, self.processed.read(), self.committed, set_aside=set_aside
        )

    def _send(self) -> None:
        number = next(self._ids)
        partition = number % self.partitions
        value = json.dumps({"id": number, "partition": partition})
        while True:
            try:
                self._producer.produce(
                    self.topic,
                    value,
                    key=str(number),
                    partition=partition,
                    on_delivery=self._acknowledge,
                )
            except BufferError:  # full: wait for acknowledgements
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _acknowledge(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused.append(error)
            return
        self.produced.append(
            Produced(
                topic=self.topic,
                partition=message.partition() or 0,
                offset=message.offset() or 0,
                id=json.loads(message.value() or b"")["id"],
            )
        )

    def _sample(self, admin: Admin) -> None:
        try:
            committed = admin.committed(self.group, self.topic, timeout_s=2.0)
        except KafkaException:
            self.missed_samples += 1
            return
        seen_at_s = monotonic()  # after the answer, see tests.ledger
        for partition, offset in committed.items():
            self.committed.append(
                Committed(
                    topic=self.topic,
                    partition=partition,
                    offset=offset,
                    seen_at_s=seen_at_s,
                )
            )


@contextmanager
def _repeating(act: Callable[[], None], *, every_s: float, name: str) -> Iterator[None]:
    """Call ``act`` at a steady pace in a thread; the block's end raises its error.

    A call that took too long is followed by the next ones at once, until the pace is
    caught up.
    """
    ended = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        next_at_s = monotonic()
        try:
            while not ended.wait(max(0.0, next_at_s - monotonic())):
                act()
                next_at_s += every_s
        except BaseException as error:  # noqa: BLE001 - handed over to the test's thread
            failed.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise failed[0]
