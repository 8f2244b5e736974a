"""Whether a message fails or the world: outages, poison; on Kafka, with the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.processing import failures
from tests.apps.processed import append_processed, number_in
from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import Node, lines_of, settings, unique
from tests.kafka.witness import Ledger

Place = tuple[int, int]  # partition, offset

ALIKE = "all messages fail alike (ConnectionError)"


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-off of 20 ms up to 0.3 s, so that 4 tries are over after 0.14 s."""
    monkeypatch.setattr(failures, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(failures, "BACKOFF_MAX_S", 0.3)


class Shop:
    """A topic whose handler needs something that may be away.

    Attributes:
        is_away: While it is set each call fails.
        calls: Of the handler, with the first message of each.
    """

    def __init__(
        self,
        kafka: KafkaBroker,
        tmp_path: Path,
        *,
        partitions: int = 1,
        poison: Iterable[Place] = (),
        letters: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.kafka, self.poison = kafka, set(poison)
        self.name = kafka.create_topic(unique("world"), partitions)
        self.letters = kafka.create_topic(f"{self.name}.dlq", 1, config=letters or {})
        self.is_away = threading.Event()
        self.calls: list[Place] = []
        self.ledger = Ledger(
            bootstrap=kafka.bootstrap,
            topic=self.name,
            partitions=partitions,
            group=self.name,
            path=tmp_path / "processed",
        )
        self.app = App(group=self.name)
        self.app.topic(self.name, dead_letter=self.letters, **more)(self.sell)

    def sell(self, batch: Batch) -> None:
        """Tell of each message, or fail."""
        self.calls.append((batch.partition, batch[0].offset() or 0))
        for message in batch:
            offset = message.offset() or 0
            if self.is_away.is_set() or (batch.partition, offset) in self.poison:
                raise ConnectionError("the shop's database")
            append_processed(
                self.ledger.path,
                node=batch.node,
                topic=batch.topic,
                partition=batch.partition,
                messages=[(offset, number_in(message.value()))],
                begun_at_s=time.monotonic(),
            )
            batch.mark_done(message)

    def node(self) -> Node:
        """Make a node for it."""
        return Node(self.app, settings(self.kafka.bootstrap))

    @property
    def letters_count(self) -> int:
        """How many messages were put aside."""
        return self.kafka.end_offsets(self.letters).get(0, 0)

    def await_calls(self, count: int) -> None:
        """Wait for so many calls more."""
        until = len(self.calls) + count
        eventually(lambda: len(self.calls) >= until, describe=f"{count} calls more")

    def check(self, *, put_aside: Iterable[Place] = ()) -> None:
        """See that these were put aside, and all else handled once and in order."""
        places = tuple((self.name, *place) for place in put_aside)
        verdict = self.ledger.verdict(set_aside=places)
        assert verdict.faults() == {}, str(verdict)
        assert verdict.duplicates == []
        assert self.letters_count == len(places)
        assert self.poison.isdisjoint(
            (row.partition, row.offset) for row in self.ledger.processed.read()
        )


@pytest.mark.parametrize("partitions", [1, 12])
def test_an_outage_makes_no_dead_letters(
    kafka: KafkaBroker,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    partitions: int,
) -> None:
    """And a bad message within it is given up, once it is over; nothing else is.

    With one partition in the node its next message shows that the handler works.
    """
    log = lines_of(caplog)
    bad = (0, 3)
    shop = Shop(kafka, tmp_path, partitions=partitions, poison=[bad])
    shop.is_away.set()
    shop.ledger.produce(20 * partitions)
    with shop.ledger.sampling(every_s=0.05), shop.node() as node:
        shop.await_calls(20 * partitions)
        told = node.snapshot
        assert {each.error for each in told.failing} == {ALIKE}
        assert told.failing_count == partitions
        assert (shop.letters_count, told.messages) == (0, 0)
        assert len(log("dead_letter_withheld", shop.name)) == partitions
        shop.is_away.clear()
        shop.ledger.await_committed(within_s=30.0)
    shop.check(put_aside=[bad])


def test_poison_in_each_partition_is_given_up(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Each one's own next message is its witness."""
    bad = [(partition, 2) for partition in range(12)]
    shop = Shop(kafka, tmp_path, partitions=12, poison=bad)
    shop.ledger.produce(120)
    with shop.ledger.sampling(every_s=0.05), shop.node() as node:
        shop.ledger.await_committed(within_s=30.0)
        assert node.snapshot.dead_letters == 12
    shop.check(put_aside=bad)


def test_a_message_an_hour_waits_for_the_next(
    kafka: KafkaBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Alone it may be the world; the next one, an hour later, tells."""
    log = lines_of(caplog)
    shop = Shop(kafka, tmp_path, poison=[(0, 0)])
    shop.ledger.produce(1)
    with shop.ledger.sampling(every_s=0.05), shop.node() as node:
        shop.await_calls(12)
        assert "has taken no other" in log("dead_letter_withheld", shop.name)[0]
        assert "the shop's database" in node.snapshot.failing[0].error
        assert kafka.committed(shop.name, shop.name) == {}
        shop.ledger.produce(1)
        shop.ledger.await_committed(within_s=30.0)
    shop.check(put_aside=[(0, 0)])


def test_another_partition_is_witness_enough(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """One message of it, handled since."""
    shop = Shop(kafka, tmp_path, partitions=2, poison=[(0, 0)])
    shop.ledger.produce(1)
    with shop.ledger.sampling(every_s=0.05), shop.node():
        shop.await_calls(8)
        shop.ledger.produce(1)
        shop.ledger.await_committed(within_s=30.0)
    shop.check(put_aside=[(0, 0)])


def test_where_nothing_succeeds_max_retries_counts_in_the_end(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Poison everywhere ends."""
    bad = [(partition, offset) for partition in range(3) for offset in range(4)]
    shop = Shop(kafka, tmp_path, partitions=3, poison=bad, dead_letter_after=2_000)
    shop.ledger.produce(12)
    with shop.node() as node:
        shop.await_calls(20)
        assert node.snapshot.dead_letters == 0
        shop.ledger.await_committed(within_s=30.0)
        assert node.snapshot.dead_letters == 12
    shop.check(put_aside=bad)


def test_nothing_is_committed_past_a_message_before_its_dead_letter(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Nor is the one that was tried behind it handled twice, and order is kept."""
    shop = Shop(
        kafka, tmp_path, poison=[(0, 2)], letters={"max.message.bytes": "100"}
    )  # refuses each copy
    shop.ledger.produce(10)
    with shop.ledger.sampling(every_s=0.05), shop.node() as node:
        eventually(
            lambda: any("is refused" in each.error for each in node.snapshot.failing),
            describe="the dead letter is refused",
        )
        await_committed(kafka, shop.name, shop.name, {0: 2})
        assert [row.offset for row in shop.ledger.processed.read()] == [0, 1, 3]
        kafka.delete_topic(shop.letters)
        kafka.create_topic(shop.letters, 1)
        shop.ledger.await_committed(within_s=60.0)
    shop.check(put_aside=[(0, 2)])
    assert shop.calls.count((0, 3)) == 1


def test_restarts_within_an_outage_begin_anew(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """What failed in one life is put aside in none that has no witness."""
    bad = (0, 0)
    shop = Shop(kafka, tmp_path, partitions=2, poison=[bad])
    shop.is_away.set()
    shop.ledger.produce(20)
    with shop.ledger.sampling(every_s=0.05):
        for _ in range(3):
            with shop.node():
                shop.await_calls(24)
        assert (shop.letters_count, kafka.committed(shop.name, shop.name)) == (0, {})
        shop.is_away.clear()
        with shop.node():
            shop.ledger.await_committed(within_s=30.0)
    shop.check(put_aside=[bad])
