"""``python -m tests.kafka.statistics_cost``: what librdkafka's statistics cost a node.

Pairs of nodes, one with statistics and one without, side by side in groups of their own
on one topic; the CPU time of each process, librdkafka's threads with it. At the default
interval the difference drowns in noise, so there are pairs at a hundredth of it, too,
which tell what one emission costs.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event
from typing import Final

from swarm_worker.app.app import App
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import Node, Seen, settings, unique
from tests.kafka.witness import Ledger
from tests.supervisord import ROOT

DEFAULT_MS: Final = 5_000
QUICK_MS: Final = 50
PAIRS: Final = 3
LASTS_S: Final = 15.0
PER_S: Final = 1_000
NEVER: Final = Event()


def consume(bootstrap: str, topic: str, partitions: int, interval_ms: int) -> None:
    """Be a node; print the CPU seconds of a time of steady work."""
    app, seen = App(group=unique(topic)), Seen()
    app.topic(topic)(seen)
    own = {"auto.offset.reset": "latest", "statistics.interval.ms": interval_ms}
    with Node(app, settings(bootstrap, kafka=own)) as node:
        node.await_assigned(partitions, within_s=60.0)
        NEVER.wait(3.0)  # the fetches begin
        began_s = _cpu_s()
        NEVER.wait(LASTS_S)
        sys.stdout.write(json.dumps([_cpu_s() - began_s, len(seen.offsets)]))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def pair(kafka: KafkaBroker, topic: str, partitions: int, interval_ms: int) -> float:
    """Return the CPU seconds by which the one with statistics was above the other."""
    here = [sys.executable, "-m", "tests.kafka.statistics_cost"]
    nodes = [
        subprocess.Popen(
            [*here, kafka.bootstrap, topic, str(partitions), str(ms)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for ms in (interval_ms, 0)
    ]  # fmt: skip
    (with_s, _), (without_s, count) = [
        json.loads(node.communicate(timeout=120.0)[0]) for node in nodes
    ]
    sys.stdout.write(
        f"  every {interval_ms} ms: {with_s:.3f} s, without {without_s:.3f} s"
        f" ({count} messages)\n"
    )
    sys.stdout.flush()
    return float(with_s - without_s)


def main() -> None:
    """Measure with 12 and with 1 000 partitions, idle and at work."""
    with KafkaBroker(Path(tempfile.mkdtemp(prefix="cost"))) as kafka:
        for partitions in (12, 1_000):
            topic = kafka.create_topic(unique("cost"), 12)
            for total in range(200, partitions + 1, 200):  # by and by: it takes long
                kafka.add_partitions(topic, total)
            ledger = Ledger(
                bootstrap=kafka.bootstrap,
                topic=topic,
                partitions=partitions,
                group=topic,
                path=kafka.home / "none",
            )
            _told(kafka, topic, partitions, "idle")
            with ledger.producing(per_s=PER_S):
                _told(kafka, topic, partitions, f"{PER_S} messages/s")


def _told(kafka: KafkaBroker, topic: str, partitions: int, what: str) -> None:
    sys.stdout.write(f"{partitions} partitions, {what}\n")
    normal = [pair(kafka, topic, partitions, DEFAULT_MS) for _ in range(PAIRS)]
    quick = [pair(kafka, topic, partitions, QUICK_MS) for _ in range(PAIRS)]
    emission_s = statistics.median(quick) / (LASTS_S * 1000 / QUICK_MS)
    sys.stdout.write(
        f"  default: {100 * statistics.median(normal) / LASTS_S:+.2f} % of a core; an "
        f"emission {1000 * emission_s:.2f} ms, so "
        f"{100 * emission_s / (DEFAULT_MS / 1000):.3f} %\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) == 5:
        consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
