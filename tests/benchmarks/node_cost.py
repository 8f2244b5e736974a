"""Figure 10: what a node costs more than a bare confluent-kafka script.

The script does the same work with the same handler, and none of what a node is for: no
reports, no handler threads, no retries, no drain. Both consume from Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from tests.benchmarks import lone
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Figure, Goal, Pairs
from tests.benchmarks.lone import Lone
from tests.benchmarks.usage import memory_of

PARTITIONS: Final = 12
MESSAGES: Final = 12_000
PAIRS: Final = 7
KINDS: Final = ("rss", "uss")

Start = Callable[[Path], AbstractContextManager[Lone]]


def memory_and_boot(bench: Bench) -> Iterator[Figure]:
    """Start both in turn, and look at each when it has handled all that there is."""
    topic = lone.fresh_topic(bench, "cost", partitions=PARTITIONS, messages=MESSAGES)
    memory = {kind: Pairs() for kind in KINDS}

    def ours() -> float:
        return _measure(
            bench,
            lambda folder: lone.node(bench, folder, topic),
            {kind: memory[kind].ours for kind in KINDS},
        )

    def theirs() -> float:
        return _measure(
            bench,
            lambda folder: lone.bare(bench, folder, topic),
            {kind: memory[kind].theirs for kind in KINDS},
        )

    boot = bench.measure(
        ours, theirs, say="a node, boot", pairs=1 if bench.quick else PAIRS
    )
    yield Figure(
        key="10a",
        what="boot of a node to its first poll, more than a bare script",
        unit="ms",
        values=boot.differences,
        goal=Goal("<=", 120),
        sides=boot.sides("node", "bare", unit="ms"),
    )
    for key, kind, goal in (("10b", "rss", Goal("<=", 8)), ("10c", "uss", None)):
        yield Figure(
            key=key,
            what=f"memory of a node ({kind}), more than a bare script",
            unit="MB",
            values=memory[kind].differences,
            goal=goal,
            sides=memory[kind].sides("node", "bare", unit="MB"),
        )


def _measure(bench: Bench, start: Start, memory: dict[str, list[float]]) -> float:
    """Return the milliseconds to the first poll; adds the memory after some work."""
    with bench.folder("node-cost") as folder, start(folder) as process:
        polled_at_s = process.noted_at_s("polled")
        process.noted_at_s("handled", count=MESSAGES // 2)
        found = memory_of(process.process.pid)
        for kind, values in memory.items():
            values.append(found[kind])
        return (polled_at_s - process.started_at_s) * 1000
