"""Figure 5: from produce to handler, next to a bare ``poll()`` loop.

Both sides read the same messages at the same time, in a group each. Half of the figure
is measured while four other partitions are busy in slow handlers of ours; the bare loop
has none: it could not do that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import (
    BOOT_S,
    PEERS,
    await_file,
    child,
    configuration,
)
from tests.benchmarks.figures import Figure, Goal, Pairs, percentile

PARTITIONS: Final = 12
BUSY: Final = 4  # the first ones; the others carry what is timed
RATES: Final = (10, 1_000)
PERCENTS: Final = (50, 99)
WARM_EVERY_S: Final = 0.05
SLOW_S: Final = 1.0
SLOW_MESSAGES: Final = 60  # of a partition: a minute of work, longer than a run takes
CONCURRENCY: Final = 8
FIRST: Final = "result.first"

OURS: Final = "swarm-worker"
BARE: Final = "poll loop"

Latencies = Mapping[str, list[float]]  # by rate, in seconds
Running = tuple[subprocess.Popen[bytes], Path]


@dataclass(frozen=True, slots=True)
class Stream:
    """What is produced, on a topic of its own, and for how long at each rate."""

    producer: Producer
    topic: str
    seconds: Mapping[int, float]

    @property
    def count(self) -> int:
        """How many messages are timed."""
        return sum(self.count_at(rate) for rate in self.seconds)

    def count_at(self, rate: int) -> int:
        """How many messages are timed at a rate."""
        return round(rate * self.seconds[rate])

    def occupy(self) -> None:
        """Give the handlers of the busy partitions their slow work."""
        for partition in range(BUSY):
            for _ in range(SLOW_MESSAGES):
                self.producer.produce(self.topic, b"slow", partition=partition)
        assert self.producer.flush(10.0) == 0, "all messages are acknowledged"

    def warm_up(self, running: Collection[Running]) -> None:
        """Send until all sides have seen some on every partition that is timed.

        Raises:
            ContenderFailedError: One ended, or saw none in time.
        """
        give_up_at_s = time.monotonic() + BOOT_S
        while not all((place / FIRST).exists() for _, place in running):
            is_late = time.monotonic() > give_up_at_s
            for process, place in running:
                if is_late or process.poll() is not None:
                    await_file(process, place, FIRST, within_s=0)
            self._warm_up()
        for _ in range(10):  # connections, caches, the interpreter's specialisations
            self._warm_up()

    def _warm_up(self) -> None:
        self._send(b"warm", range(BUSY, PARTITIONS))
        threading.Event().wait(WARM_EVERY_S)

    def send_all(self) -> None:
        """Send what is timed, evenly in time."""
        for rate in self.seconds:
            begin_s = time.monotonic()
            for number in range(self.count_at(rate)):
                wait_s = begin_s + number / rate - time.monotonic()
                if wait_s > 0:
                    threading.Event().wait(wait_s)
                partition = BUSY + number % (PARTITIONS - BUSY)
                self._send(str(rate).encode(), [partition])
        assert self.producer.flush(10.0) == 0, "all messages are acknowledged"

    def _send(self, kind: bytes, partitions: range | list[int]) -> None:
        for partition in partitions:
            value = b"%s %d" % (kind, time.monotonic_ns())
            self.producer.produce(self.topic, value, partition=partition)
        self.producer.poll(0)


def produce_to_handler(bench: Bench) -> Iterator[Figure]:
    """Measure with nothing else to do, then with busy partitions."""
    letters = iter("abcdefgh")
    for busy in (False, True):
        found = {(rate, percent): Pairs() for rate in RATES for percent in PERCENTS}
        for turn in range(bench.pairs):
            ours, theirs = run(bench, busy=busy)
            for (rate, percent), pairs in found.items():
                of = [percentile(side[str(rate)], percent) for side in (ours, theirs)]
                pairs.add(1e3 * of[0], 1e3 * of[1])
            told = [f"{p.ours[-1]:.2f}/{p.theirs[-1]:.2f}" for p in found.values()]
            bench.say(f"latency, ms: pair {turn + 1} of {bench.pairs}: {told}")
        for (rate, percent), pairs in found.items():
            yield Figure(
                key=f"5{next(letters)}",
                what=f"produce to handler, p{percent} at {rate:,}/s"
                + (", 4 partitions busy" if busy else ""),
                unit="x",
                values=pairs.ratios,
                goal=Goal("<=", 1.2),
                sides=pairs.sides(OURS, BARE, unit="ms"),
            )


def run(bench: Bench, *, busy: bool) -> tuple[Latencies, Latencies]:
    """Run both sides on a new topic; give what each measured, ours first."""
    # No linger: the default of 5 ms would be most of what is measured.
    config = {"bootstrap.servers": bench.kafka.bootstrap, "linger.ms": 0}
    seconds = {10: 3.0, 1_000: 1.0} if bench.quick else {10: 12.0, 1_000: 3.0}
    with bench.folder("latency") as folder, Producer(config) as producer:
        topic = bench.kafka.create_topic(folder.name, PARTITIONS)
        stream = Stream(producer, topic, seconds)
        if busy:
            stream.occupy()
        with ExitStack() as stack:
            running: dict[str, Running] = {}
            for name in bench.rng.sample([OURS, BARE], 2):
                place = folder / name.replace(" ", "-")
                place.mkdir()
                orders = _orders(bench, stream, place)
                command = _command(bench, name, place, busy=busy)
                process = stack.enter_context(child(command, place, orders))
                running[name] = process, place
            stream.warm_up(running.values())
            stream.send_all()
            found = _result(*running[OURS]), _result(*running[BARE])
        bench.kafka.delete_topic(topic)
    shutil.rmtree(folder)
    return found


def _orders(bench: Bench, stream: Stream, place: Path) -> dict[str, Any]:
    return {
        "bootstrap": bench.kafka.bootstrap,
        "topic": stream.topic,
        "group": f"{stream.topic}-{place.name}",
        "expected": stream.count,
        "result": str(place / "result"),
        "slow_s": SLOW_S,
    }


def _command(bench: Bench, name: str, place: Path, *, busy: bool) -> list[str]:
    if name == BARE:
        return [sys.executable, str(PEERS / "poll_side.py")]
    config = configuration(bench.kafka.bootstrap, {})
    if busy:
        config += f"[worker]\nconcurrency = {CONCURRENCY}\n"
    (place / "swarm.toml").write_text(config, encoding="utf-8")
    return [
        sys.executable,
        "-m",
        "swarm_worker",
        "tests.benchmarks.peers.swarm_poll_side:app",
    ]


def _result(process: subprocess.Popen[bytes], place: Path) -> Latencies:
    await_file(process, place, "result", within_s=10.0)
    told: dict[str, list[float]] = json.loads((place / "result").read_text())
    return told
