"""Figures 1 and 2: how fast a backlog is drained, next to a bare loop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException, Producer

from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import (
    BARE,
    BARE_ORJSON,
    OURS,
    OURS_ORJSON,
    TUNED,
    Contender,
    Measured,
)
from tests.benchmarks.figures import Figure, Goal, Pairs
from tests.eventually import eventually
from tests.kafka.admin import NOT_YET
from tests.kafka.broker import KafkaBroker

PARTITIONS: Final = 12
MESSAGE_BYTES: Final = 200
FULL_COUNT: Final = 10_000_000  # 2.3 GB on disk; 2.5 million a second leave some
QUICK_COUNT: Final = 4_000_000
AT_ONCE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """A topic full of messages, which every side reads in a group of its own."""

    topic: str
    count: int

    def measure(self, contender: Contender, bench: Bench, *, work: str) -> Measured:
        """Have somebody drain it for the length of a window."""
        return contender.measure(bench, self.topic, count=self.count, work=work)


def backlog(bench: Bench) -> Backlog:
    """Return the backlog of a bench; filled at the first use."""
    count = QUICK_COUNT if bench.quick else FULL_COUNT
    topic = f"backlog-{count}"
    there = messages_in(bench.kafka, topic)
    if there not in (None, count):  # a bench was ended while it filled
        bench.kafka.delete_topic(topic)
    if there != count:
        bench.say(f"filling a topic with {count:,} messages ...")
        bench.kafka.create_topic(topic, PARTITIONS)
        fill(bench.kafka, topic, count)
    return Backlog(topic, count)


def messages_in(kafka: KafkaBroker, topic: str) -> int | None:
    """Return how many messages a topic has; None without such a topic.

    The data of an earlier bench is kept. A broker that has just begun with it does not
    lead its partitions at once.
    """

    def ask() -> tuple[int | None] | None:
        try:
            return (sum(kafka.end_offsets(topic).values()),)
        except KeyError:
            return (None,)
        except KafkaException as error:
            if error.args[0].code() in NOT_YET:
                return None
            raise

    return eventually(ask, describe=f"partitions of {topic} answer")[0]


def fill(kafka: KafkaBroker, topic: str, count: int) -> None:
    """Produce ``count`` messages, evenly, each acknowledged.

    Raises:
        AssertionError: Not all of them are in the topic.
    """
    messages = [{"value": message(number)} for number in range(AT_ONCE)]
    config = {"bootstrap.servers": kafka.bootstrap, "linger.ms": 50}
    with Producer(config) as producer:
        for turn in range(count // AT_ONCE):
            while len(producer) > 10 * AT_ONCE:
                producer.poll(0.01)
            partition = turn % PARTITIONS
            taken = producer.produce_batch(topic, messages, partition=partition)
            assert taken == AT_ONCE, "the producer's queue has room"
        assert producer.flush(60.0) == 0, "all messages are acknowledged"
    assert sum(kafka.end_offsets(topic).values()) == count, "all are there"


def message(number: int) -> bytes:
    """Return an order as JSON, of 200 bytes: a flat object of eight fields."""
    order = {
        "id": number,
        "customer": f"customer-{number % 1000:04d}",
        "sku": "A-1002",
        "count": 3,
        "total": 129.95,
        "currency": "EUR",
        "ordered_at": "2026-01-31T12:00:00Z",
        "note": "",
    }
    order["note"] = "x" * (MESSAGE_BYTES - len(json.dumps(order)))
    return json.dumps(order).encode()


def json_backlog(bench: Bench) -> Iterator[Figure]:
    """Figure 1: each message is parsed as JSON."""
    bare, tuned, fast = Pairs(), Pairs(), Pairs()
    rivals = [BARE, TUNED, OURS_ORJSON, BARE_ORJSON]
    bench.environments.python("orjson")  # installed before anything is measured
    for ours, theirs in rounds(bench, rivals, work="json"):
        rates = [measured.rate for measured in theirs]
        bare.add(ours.rate, rates[0])
        tuned.add(ours.rate, rates[1])
        fast.add(rates[2], rates[3])
    yield ahead_of(BARE.name, "1a", bare, Goal(">=", 2.5))
    yield ahead_of(TUNED.name, "1b", tuned, Goal(">=", 0.97))
    yield ahead_of(BARE.name, "1c", fast, Goal(">=", 3.0), handler="orjson both")


def ahead_of(
    rival: str, key: str, rates: Pairs, goal: Goal | None, *, handler: str = "JSON"
) -> Figure:
    """Return the figure of a backlog, our speed against somebody's."""
    return Figure(
        key=key,
        what=f"backlog, {handler}: speed against {rival}",
        unit="x",
        values=rates.ratios,
        goal=goal,
        sides=rates.sides(OURS.name, rival, unit="msg/s"),
    )


def empty_backlog(bench: Bench) -> Iterator[Figure]:
    """Figure 2: the handler does nothing, so the rest is all there is."""
    rates, costs = Pairs(), Pairs()
    for ours, (tuned,) in rounds(bench, [TUNED], work="nothing"):
        rates.add(ours.rate, tuned.rate)
        costs.add(ours.cpu_us, tuned.cpu_us)
    yield ahead_of(TUNED.name, "2a", rates, Goal(">=", 0.85), handler="empty handler")
    yield Figure(
        key="2b",
        what="empty handler: CPU a message more than tuned loop",
        unit="µs",
        values=costs.differences,
        goal=Goal("<=", 0.10),
        sides=costs.sides(OURS.name, TUNED.name, unit="µs"),
    )


def rounds(
    bench: Bench, rivals: Sequence[Contender], *, work: str
) -> Iterator[tuple[Measured, list[Measured]]]:
    """Measure ourselves and rivals right after each other, in shuffled order."""
    shared = backlog(bench)
    everybody = [OURS, *rivals]
    for turn in range(bench.pairs):
        order = bench.rng.sample(everybody, len(everybody))
        found = {who.name: shared.measure(who, bench, work=work) for who in order}
        told = ", ".join(
            f"{name} {measured.rate:,.0f}/s {measured.cpu_us:.2f} µs"
            for name, measured in found.items()
        )
        bench.say(f"{work}: round {turn + 1} of {bench.pairs}: {told}")
        yield found[OURS.name], [found[rival.name] for rival in rivals]
