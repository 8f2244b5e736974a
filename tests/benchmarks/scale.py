"""Figure 11: how costs grow, with nodes and with the partitions of one node.

What supervisord itself needs is shown apart, and what a bare consumer of as many
partitions needs beside the node: neither is ours to change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Final

from tests.benchmarks import lone
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import LEAST_PAIRS, Curve, Figure, Goal, Side
from tests.benchmarks.lone import Lone
from tests.benchmarks.usage import cpu_of, memory_of
from tests.benchmarks.watching import OURS, Watched, at_most, sizes, up_to_hundred

PARTITIONS: Final = (1, 100, 1_000)
QUICK_PARTITIONS: Final = (1, 10, 50)
EVERY_S: Final = 0.01  # a message on each of the topics
SETTLE_S: Final = 10.0
WATCHERS: Final = {"listener": "listener", "supervisord": "daemon"}


def growth(bench: Bench) -> Iterator[Figure | Curve]:
    """Yield both curves, and what they come to."""
    yield from _by_nodes(bench)
    yield from _by_partitions(bench)


# --- nodes ----------------------------------------------------------------------------


def _by_nodes(bench: Bench) -> Iterator[Figure | Curve]:
    one, few, hundred, most = sizes(bench)
    runs = up_to_hundred(bench)
    watched = {size: runs[OURS, size] for size in (one, few, hundred)}
    watched[most] = at_most(bench)[OURS, most]
    yield from _node_curves(watched)
    goal = None if bench.quick else Goal("<=", 1)
    yield _per_node("11a", "listener", watched[hundred], watched[most], goal)
    yield _per_node("11b", "supervisord", watched[hundred], watched[most], None)


def _node_curves(watched: Mapping[int, Sequence[Watched]]) -> Iterator[Curve]:
    yield Curve(
        key="11",
        what="CPU of watching, per node",
        x="nodes",
        unit="% of a core",
        series={
            name: [
                (size, median(100 * seen.shares[of] / size for seen in windows))
                for size, windows in watched.items()
            ]
            for name, of in WATCHERS.items()
        },
        note="reports each 5 s, memory each second",
    )
    yield Curve(
        key="11",
        what="memory of what watches",
        x="nodes",
        unit="MB",
        series={
            name: [
                (size, median(seen.memory_mb[of]["rss"] for seen in windows))
                for size, windows in watched.items()
            ]
            for name, of in WATCHERS.items()
        },
    )


def _per_node(
    key: str,
    name: str,
    some: Sequence[Watched],
    most: Sequence[Watched],
    goal: Goal | None,
) -> Figure:
    sides = [
        Side(
            f"{windows[0].size} nodes",
            "% of a core",
            [100 * seen.shares[WATCHERS[name]] / seen.size for seen in windows],
        )
        for windows in (most, some)
    ]
    return Figure(
        key=key,
        what=f"CPU of {name} per node, {most[0].size} nodes by {some[0].size}",
        unit="x",
        values=[a / b for a, b in zip(sides[0].values, sides[1].values, strict=True)],
        goal=goal,
        sides=sides,
        note="1 is growth in proportion; a part that does not grow makes it less. "
        "The two crowds were watched one after the other, in windows of unlike length",
    )


# --- partitions -----------------------------------------------------------------------


def _by_partitions(bench: Bench) -> Iterator[Figure | Curve]:
    counts = QUICK_PARTITIONS if bench.quick else PARTITIONS
    shares: dict[tuple[str, int], list[float]] = {}
    memory: dict[tuple[str, int], float] = {}
    with ExitStack() as stack:
        running = {
            (kind, count): lone_one
            for count in counts
            for kind, lone_one in _start(bench, stack, count).items()
        }
        for lone_one in running.values():
            lone_one.noted_at_s("first")
        threading.Event().wait(2.0 if bench.quick else SETTLE_S)
        for turn in range(1 if bench.quick else LEAST_PAIRS):
            bench.say(f"partitions: window {turn + 1}")
            for key, share in _window(running, bench.window_s * 2):
                shares.setdefault(key, []).append(100 * share)
        for key, lone_one in running.items():
            memory[key] = memory_of(lone_one.process.pid)["rss"]
    yield from _curves(counts, shares, memory)
    yield _per_partition(counts, shares, goal=None if bench.quick else Goal("<=", 1))


def _start(bench: Bench, stack: ExitStack, count: int) -> dict[str, Lone]:
    """Start a node and a bare consumer of a topic with so many partitions."""
    topic = lone.fresh_topic(bench, "scale", partitions=count, messages=count)
    begin = stack.enter_context
    begin(lone.stream(bench, topic, partitions=count, every_s=EVERY_S))
    folders = [begin(bench.folder(f"scale-{kind}")) for kind in ("node", "bare")]
    return {
        "node": begin(lone.node(bench, folders[0], topic)),
        "bare": begin(lone.bare(bench, folders[1], topic)),
    }


def _window(
    running: Mapping[tuple[str, int], Lone], window_s: float
) -> Iterator[tuple[tuple[str, int], float]]:
    before = {
        key: (time.monotonic(), cpu_of(of.process.pid)) for key, of in running.items()
    }
    threading.Event().wait(window_s)
    for key, of in running.items():
        begun_s, cpu_s = before[key]
        share = (cpu_of(of.process.pid) - cpu_s) / (time.monotonic() - begun_s)
        yield key, share


def _curves(
    counts: Sequence[int],
    shares: Mapping[tuple[str, int], Sequence[float]],
    memory: Mapping[tuple[str, int], float],
) -> Iterator[Curve]:
    kinds = {"node": "node", "bare consumer": "bare"}
    yield Curve(
        key="11",
        what=f"CPU with {1 / EVERY_S:.0f} messages/s, all partitions",
        x="partitions of one node",
        unit="% of a core",
        series={
            name: [(count, median(shares[kind, count])) for count in counts]
            for name, kind in kinds.items()
        },
    )
    yield Curve(
        key="11",
        what="memory with so many partitions",
        x="partitions of one node",
        unit="MB",
        series={
            name: [(count, memory[kind, count]) for count in counts]
            for name, kind in kinds.items()
        },
    )


def _per_partition(
    counts: Sequence[int],
    shares: Mapping[tuple[str, int], Sequence[float]],
    *,
    goal: Goal | None,
) -> Figure:
    _, some, many = counts
    at_many = [share / many for share in shares["node", many]]
    at_some = [share / some for share in shares["node", some]]
    return Figure(
        key="11c",
        what=f"CPU of a node per partition, {many} partitions by {some}",
        unit="x",
        values=[a / b for a, b in zip(at_many, at_some, strict=True)],
        goal=goal,
        sides=(
            Side(f"{many} partitions", "% of a core", at_many),
            Side(f"{some} partitions", "% of a core", at_some),
        ),
        note=f"{1 / EVERY_S:.0f} messages/s spread over all; librdkafka's is in it; "
        "the messages cost as much with few partitions, which makes it less than 1",
    )
