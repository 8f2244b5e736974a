"""The lag that a report gives, against end minus committed as an admin client sees it.

``python -m tests.kafka.test_lag`` prints the two for a minute of each situation, with
statistics at the default interval.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final

import pytest
from confluent_kafka import Producer

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from swarm_worker.kafka.errors import Kind
from swarm_worker.kafka.monitoring import ends, lags
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import QUICK, Node, Seen, produce, settings, unique
from tests.kafka.witness import Ledger

DEFAULT: Final = {"auto.offset.reset": "earliest", "statistics.interval.ms": 5_000}
STATISTICS_S: Final = 0.5  # of `QUICK`

# Above what a lane takes in, so that a handler that does not go on has its partition
# paused, where librdkafka learns of no end.
AHEAD: Final = 4_500
PARTITIONS: Final = 2


class Situation:
    """One node on one topic, and what an admin client sees of it."""

    node: Node  # from `consume` on

    def __init__(self, kafka: KafkaBroker, *, properties: dict[str, object]) -> None:
        self.kafka, self.properties = kafka, properties
        self.name = kafka.create_topic(unique("lag"), PARTITIONS)
        self.ledger = Ledger(
            bootstrap=kafka.bootstrap,
            topic=self.name,
            partitions=PARTITIONS,
            group=self.name,
            path=Path(tempfile.gettempdir()) / self.name,
        )
        self.app = App(group=self.name)
        self.released = Event()
        self.seen = Seen()

    def new_node(self) -> Node:
        """Make a node, or the one that follows it."""
        told = settings(
            self.kafka.bootstrap, kafka=self.properties, max_messages=100,
            shutdown_timeout_s=3.0,
        )  # fmt: skip
        return Node(self.app, told)

    def consume(self, handle: Callable[[Batch], None]) -> None:
        """Start the node, with this handler."""
        self.app.topic(self.name)(handle)
        self.node = self.new_node().start().await_assigned(PARTITIONS)

    def get_ahead(self) -> None:
        """Produce so much that its partitions pause, where nothing is handled."""
        for partition in range(PARTITIONS):
            produce(self.kafka.bootstrap, self.name, AHEAD, partition=partition)

    def await_produced(self, count: int) -> None:
        """Wait until so many have come since the situation began."""
        eventually(
            lambda: len(self.ledger.produced) >= count,
            within_s=20.0,
            describe=f"{count} messages come",
        )

    @property
    def true_lag(self) -> int:
        """End minus committed."""
        committed = self.kafka.committed(self.name, self.name)
        ends = self.kafka.end_offsets(self.name)
        return sum(end - committed.get(at, 0) for at, end in ends.items())

    def is_told(self, *, within: float) -> bool:
        """Whether the report's lag is the true one, to 5 % or so many messages."""
        true, told = self.true_lag, self.node.snapshot.lag
        return told is not None and abs(told - true) <= max(0.05 * true, within)

    def close(self) -> None:
        """Stop."""
        self.released.set()
        self.node.stop()


# --- the situations -------------------------------------------------------------------


def idle(it: Situation) -> None:
    """All is done as it comes."""
    it.consume(it.seen)


def busy(it: Situation) -> None:
    """A handler that takes its time."""

    def handle(batch: Batch) -> None:
        it.released.wait(len(batch) / 2_000)

    it.consume(handle)


def hanging(it: Situation) -> None:
    """A handler that does not return."""

    def handle(_: Batch) -> None:
        it.released.wait()

    it.get_ahead()
    it.consume(handle)


def failing(it: Situation) -> None:
    """A handler that raises for each message."""

    def handle(_: Batch) -> None:
        raise ValueError

    it.get_ahead()
    it.consume(handle)


def quiet(it: Situation) -> None:
    """A node that takes no new work."""
    it.consume(it.seen)
    produce(it.kafka.bootstrap, it.name, 10)
    it.seen.await_count(10)
    it.node.consumers[0].quiet()


def rolling(it: Situation) -> None:
    """A node that is followed by another one of its id, all the time."""
    it.consume(it.seen)


SITUATIONS: Final = (idle, busy, hanging, failing, quiet, rolling)


def go_on(it: Situation, begin: Callable[[Situation], None]) -> None:
    """Replace a node that rolls."""
    if begin is rolling:
        it.node.stop()
        it.node = it.new_node().start().await_assigned(PARTITIONS)


@contextmanager
def situation(
    kafka: KafkaBroker,
    begin: Callable[[Situation], None],
    properties: dict[str, object],
) -> Iterator[Situation]:
    """Begin one, and end it."""
    it = Situation(kafka, properties=properties)
    begin(it)
    try:
        yield it
    finally:
        it.close()


@pytest.mark.parametrize("per_s", [100, 1_000])
@pytest.mark.parametrize("begin", SITUATIONS, ids=lambda begin: begin.__name__)
def test_lag_is_what_an_admin_client_sees(
    kafka: KafkaBroker, begin: Callable[[Situation], None], per_s: int
) -> None:
    """To 5 %, or what comes in 2.4 of the intervals of statistics, while it grows.

    At the default interval that is what comes in 12 s.
    """
    within = 2.4 * STATISTICS_S * per_s
    with situation(kafka, begin, dict(QUICK)) as it:
        eventually(lambda: it.is_told(within=within), describe="told at first")
        with it.ledger.producing(per_s=per_s):
            for number in range(1, 4):
                it.await_produced(per_s * number)
                go_on(it, begin)
                eventually(
                    lambda: it.is_told(within=within), describe=f"told, round {number}"
                )
        if begin is not busy:  # which commits for as long as it lasts
            await_exact(it)


def await_exact(it: Situation) -> None:
    """Wait until the report's lag is the true one: nothing comes any more."""
    eventually(
        lambda: it.node.snapshot.lag == it.true_lag,
        within_s=30.0,
        describe="the lag is the true one",
    )


def test_a_transaction_that_hangs_is_told(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written since is lag, and no stall: it is not to be read yet."""
    monkeypatch.setattr(lags, "LSO_BEHIND_S", 1.0)
    with situation(kafka, idle, dict(QUICK)) as it:
        producer = Producer(
            {"bootstrap.servers": kafka.bootstrap, "transactional.id": it.name}
        )
        producer.init_transactions()
        producer.begin_transaction()
        producer.produce(it.name, "open", partition=0)
        producer.flush()
        produce(kafka.bootstrap, it.name, 5)
        eventually(
            lambda: (it.node.snapshot.lso_behind_ms or 0) > 1_000,
            describe="the last stable offset stands behind the end",
        )
        told = it.node.snapshot
        assert (told.lag, told.stalled, it.seen.offsets) == (6, (), [])
        (row,) = [p for p in it.node.progress.partitions()[it.name] if p.lag]
        assert (row.partition, row.lso_behind_since_s is None) == (0, False)

        producer.abort_transaction()
        it.seen.await_count(5)
        eventually(lambda: it.node.snapshot.lso_behind_ms is None, describe="no longer")
        await_exact(it)


def test_a_quota_that_is_used_up_is_told(kafka: KafkaBroker) -> None:
    """For how long an answer was held back, and why all is slow."""
    with situation(kafka, idle, dict(QUICK)) as it:
        client_id = str(it.node.consumers[0].group.properties["client.id"])
        kafka.set_client_quota(client_id, fetch_bytes_per_s=1_000)
        it.get_ahead()
        told_ms = eventually(
            lambda: it.node.snapshot.throttled_ms,
            within_s=30.0,
            describe="the report says so",
        )
        assert told_ms > 100
        assert it.node.monitor.troubles.has(Kind.QUOTA)
        kafka.set_client_quota(client_id, fetch_bytes_per_s=10**9)


def test_a_broker_that_is_frozen_costs_the_figure_alone(
    own_kafka: Callable[..., KafkaBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls go on while it is asked in vain; the last lag stands, and says its age."""
    monkeypatch.setattr(ends, "ASK_AGAIN_S", 1.0)
    monkeypatch.setattr(ends, "ASK_AGAIN_MAX_S", 2.0)
    kafka = own_kafka()
    outlives_it = {**QUICK, "session.timeout.ms": 45_000}
    with situation(kafka, hanging, outlives_it) as it:
        await_exact(it)
        before, polls = it.true_lag, it.node.monitor.polls
        kafka.freeze()
        eventually(
            lambda: (it.node.snapshot.lag_age_ms or 0) > 6_000,
            within_s=30.0,
            describe="the lag's age grows",
        )
        assert it.node.snapshot.lag == before
        assert it.node.monitor.polls > polls + 20
        kafka.thaw()
        produce(kafka.bootstrap, it.name, 100)
        eventually(
            lambda: it.node.snapshot.lag == before + 100,
            within_s=30.0,
            describe="what came since is in the lag",
        )
        eventually(
            lambda: (it.node.snapshot.lag_age_ms or 0) < 2_000,
            within_s=30.0,
            describe="it is of now",
        )


# --- by hand --------------------------------------------------------------------------

LASTS_S: Final = 60.0
NEVER: Final = Event()


def main() -> None:
    """Print, for each situation, how far off the report was at most, in messages."""
    with KafkaBroker(Path(tempfile.mkdtemp(prefix="lag"))) as kafka:
        for begin in SITUATIONS:
            for per_s in (100, 1_000):
                with situation(kafka, begin, dict(DEFAULT)) as it:
                    off, true = _watch(it, begin, per_s)
                sys.stdout.write(
                    f"{begin.__name__} at {per_s}/s: off by {off} of {true} at most, "
                    f"which is what comes in {off / per_s:.1f} s\n"
                )
                sys.stdout.flush()


def _watch(
    it: Situation, begin: Callable[[Situation], None], per_s: int
) -> tuple[int, int]:
    """Return the largest error, and the true lag of then."""
    worst = 0, 0
    looks = round(LASTS_S)
    with it.ledger.producing(per_s=per_s):
        NEVER.wait(12.0)
        for number in range(looks):
            NEVER.wait(1.0)
            if number % 20 == 10:
                go_on(it, begin)
                NEVER.wait(12.0)
            told = it.node.snapshot.lag
            if told is not None:
                worst = max(worst, (abs(told - it.true_lag), it.true_lag))
    return worst


if __name__ == "__main__":
    main()
