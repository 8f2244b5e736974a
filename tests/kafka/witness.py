"""The ledger on a real Kafka: what produces, samples and asks `tests.ledger.judge`."""

import json
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.apps.processed import Processed, ProcessedFile, number_in
from tests.eventually import eventually
from tests.kafka.admin import Admin
from tests.ledger import (
    UNTOLD,
    Committed,
    Place,
    Produced,
    Verdict,
    judge,
    left_behind,
    placed,
)
from tests.repeating import repeating

# A node whose offset is within the new log as well goes on there, until it asks for the
# topic's id, and then begins at the first message: nothing is lost, but that order.
NOTICED_WITHIN_S = 45.0
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
        is_poison: Of which numbers nobody can process a message.
        tries_next: While a message fails the one behind it may come first.
        committed: Rows of samples.
        missed_samples: How often the coordinator gave no answer, or the topic was not
            there.

    A topic that is made anew begins a new era: its log is another one under the old
    name, so rows of it tell of a topic of another name.
    """

    bootstrap: str
    topic: str
    partitions: int
    group: str
    path: Path
    is_poison: Callable[[int], bool] = lambda _: False
    tries_next: bool = False
    produced: list[Produced] = field(default_factory=list)
    committed: list[Committed] = field(default_factory=list)
    missed_samples: int = 0

    def __post_init__(self) -> None:
        self.processed = ProcessedFile(self.path)
        self._ids = count()
        self._refused: list[KafkaError] = []
        self._producer = self._new_producer()
        self._sends = threading.RLock()
        self._eras = [self.topic]
        self._era_of_id: dict[int, str] = {}  # of a message
        self._era_of_topic_id: dict[str, str] = {}
        self._made_at_s: dict[str, float] = {}

    def _new_producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,  # implies acks=all, keeps the order
                "delivery.timeout.ms": DELIVERY_WITHIN_MS,
                "linger.ms": 5,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )

    @contextmanager
    def era_over(self) -> Iterator[None]:
        """Send nothing while the topic is made anew; then all that was due meanwhile.

        What was acknowledged before is of the old log.
        """
        admin = Admin(self.bootstrap)
        try:
            with self._sends:
                self.await_acknowledged()
                self._era_of_topic_id[admin.topic_id(self.topic)] = self._eras[-1]
                self._eras.append(f"{self.topic}#{len(self._eras)}")
                yield
                self._era_of_topic_id[admin.topic_id(self.topic)] = self._eras[-1]
                self._made_at_s[self._eras[-1]] = monotonic()
                self._producer = self._new_producer()
        finally:
            admin.close()

    def rows(self) -> list[Processed]:
        """Return what was processed; of which era, a message's number tells."""
        return [
            replace(row, topic=self._era_of_id.get(row.id, row.topic))
            for row in self.processed.read()
        ]

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
        with repeating(self._send, every_s=1 / per_s, name="ledger-producer"):
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
            with repeating(
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
        due = {row.id for row in self._of_this_era() if not self.is_poison(row.id)}
        count = len(due)

        def all_processed() -> bool:
            due.difference_update(row.id for row in self.processed.read())
            return not due

        try:
            eventually(all_processed, within_s=within_s, every_s=0.2, describe="")
        except AssertionError:
            msg = f"{len(due)} of {count} messages not within {within_s} s"
            raise AssertionError(msg) from None

    def await_committed(self, *, within_s: float) -> None:
        """Wait until the group has committed all that was acknowledged.

        Raises:
            AssertionError: Names a partition that is behind.
        """
        ends: dict[int, int] = {}
        for row in self._of_this_era():
            ends[row.partition] = max(ends.get(row.partition, 0), row.offset + 1)
        admin = Admin(self.bootstrap)

        def reached() -> bool:
            committed = {
                partition: offset
                for partition, (offset, told) in admin.commits(
                    self.group, self.topic
                ).items()
                if self._era_of(told) == self._eras[-1]
            }
            return all(committed.get(p, 0) >= end for p, end in ends.items())

        try:
            eventually(
                reached, within_s=within_s, describe=f"{self.group} committed {ends}"
            )
        finally:
            admin.close()

    def verdict(
        self, *, set_aside: tuple[Place, ...] = (), letters: Collection[int] = ()
    ) -> Verdict:
        """Judge all rows so far.

        Args:
            set_aside: Places that need no line.
            letters: Numbers of messages that need none.
        """
        rows = self.rows()
        produced = placed(list(self.produced), rows)
        ended = left_behind(
            produced, rows, self._eras[:-1], unnoticed=list(self._unnoticed())
        )
        spared = [
            (row.topic, row.partition, row.offset)
            for row in produced
            if row.id in letters or self._went_with_its_log(row)
        ]
        aside = (*set_aside, *ended, *spared)
        found = judge(
            produced,
            rows,
            self.committed,
            set_aside=aside,
            tries_next=self.tries_next,
        )
        return replace(found, **_noticed(found, rows, self._made_at_s))

    def poison(self) -> set[int]:
        """Return the numbers of what has to be put aside."""
        return {row.id for row in self._of_this_era() if self.is_poison(row.id)}

    def _went_with_its_log(self, row: Produced) -> bool:
        """Whether a message is poison whose last try may not have come in time."""
        return self.is_poison(row.id) and row.topic != self._eras[-1]

    def _unnoticed(self) -> Iterator[str]:
        """Yield the logs that were no more before anybody had to know of them."""
        for era, following in pairwise(self._eras):
            began_s = self._made_at_s.get(era, -inf)  # the first one was known
            if self._made_at_s.get(following, inf) - began_s < NOTICED_WITHIN_S:
                yield era

    def _of_this_era(self) -> list[Produced]:
        return [row for row in list(self.produced) if row.topic == self._eras[-1]]

    def _era_of(self, told: str) -> str | None:
        """Return of which era a commit is; None where it does not say.

        Before the topic was made anew there is one era, and nobody needs to say.
        """
        if len(self._eras) == 1:
            return self._eras[0]
        for topic_id, era in self._era_of_topic_id.items():
            if topic_id in told:
                return era
        return None

    def _send(self) -> None:
        with self._sends:
            self._send_next()

    def _send_next(self) -> None:
        number = next(self._ids)
        self._era_of_id[number] = self._eras[-1]
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
        number, offset = number_in(message.value()), message.offset()
        self.produced.append(
            Produced(
                topic=self._era_of_id[number],
                partition=message.partition() or 0,
                offset=UNTOLD if offset is None or offset < 0 else offset,
                id=number,
            )
        )

    def _sample(self, admin: Admin) -> None:
        try:
            committed = admin.commits(self.group, self.topic, timeout_s=2.0)
        except (KafkaException, KeyError):  # KeyError: it is being made anew
            self.missed_samples += 1
            return
        seen_at_s = monotonic()  # after the answer, see tests.ledger
        for partition, (offset, told) in committed.items():
            # Until a node knows of a new log it commits as of an old one: no harm.
            if self._era_of(told) == self._eras[-1]:
                self.committed.append(
                    Committed(
                        topic=self._eras[-1],
                        partition=partition,
                        offset=offset,
                        seen_at_s=seen_at_s,
                    )
                )


def _noticed(
    found: Verdict, rows: Sequence[Processed], made_at_s: Mapping[str, float]
) -> dict[str, Any]:
    """Return gaps and inversions but for those in a log that was too new to be known.

    Args:
        found: The verdict.
        rows: What was processed.
        made_at_s: When the log of each topic was begun anew.
    """
    done_at_s = {
        (row.topic, row.partition, row.offset): row.done_at_s for row in reversed(rows)
    }

    def is_noticed(place: Place) -> bool:
        began_s = made_at_s.get(place[0])
        return began_s is None or done_at_s[place] > began_s + NOTICED_WITHIN_S

    return {
        "gaps": [
            each for each in found.gaps if is_noticed((*each.place[:2], each.jumped_to))
        ],
        "inversions": [each for each in found.inversions if is_noticed(each.place)],
    }
