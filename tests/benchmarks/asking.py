"""Figure 12: what a node pays for knowing the ends of what it does not fetch.

Two quiet nodes with statistics at a hundredth of the default interval, so that the
difference is more than noise: one asks for the ends of its partitions with each, the
other never. ``python -m tests.benchmarks.asking BOOTSTRAP TOPIC ends|none SECONDS``
prints the CPU seconds of such a node.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from typing import Final

from swarm_worker.app.app import App
from swarm_worker.app.batch import Batch
from tests.benchmarks import lone
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Figure, Goal
from tests.kafka.nodes import Node, settings, unique
from tests.supervisord import ROOT

PARTITIONS: Final = 12
DEFAULT_S: Final = 5.0
QUICK_S: Final = 0.05
WARM_S: Final = 2.0
NEVER: Final = Event()


def cost_of_asking(bench: Bench) -> Iterator[Figure]:
    """Run one of each in turn; give what it would be at the default interval."""
    topic = lone.fresh_topic(bench, "ends", partitions=PARTITIONS, messages=12_000)
    window_s = 2 * bench.window_s

    def cpu_s(what: str) -> float:
        here = [sys.executable, "-m", "tests.benchmarks.asking"]
        told = subprocess.run(
            [*here, bench.kafka.bootstrap, topic, what, str(window_s)],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=120.0,
        )  # fmt: skip
        return float(told.stdout)

    found = bench.measure(
        lambda: cpu_s("ends"), lambda: cpu_s("none"), say="asking for ends"
    )
    a_time_s = [each * QUICK_S / window_s for each in found.differences]
    yield Figure(
        key="12a",
        what=f"a quiet node asks for the ends of {PARTITIONS} partitions, of a core",
        unit="%",
        values=[100 * each / DEFAULT_S for each in a_time_s],
        goal=Goal("<=", 0.1),
        note=f"CPU of {window_s:.0f} s with statistics each {QUICK_S * 1000:.0f} ms, "
        f"more than without asking, as it is at {DEFAULT_S:.0f} s",
    )


def _be_a_node(bootstrap: str, topic: str, what: str, window_s: float) -> None:
    app = App(group=unique(topic))

    @app.topic(topic)
    def handle(_: Batch) -> None:
        """Nothing comes here: the node is quiet."""

    own = {
        "auto.offset.reset": "earliest",
        "statistics.interval.ms": round(QUICK_S * 1000),
    }
    node = Node(app, settings(bootstrap, kafka=own))
    if what == "none":
        node.monitor.partitions._end_asker = None
    node.consumers[0].quiet()
    with node:
        node.await_assigned(PARTITIONS, within_s=60.0)
        NEVER.wait(WARM_S)
        began_s = _cpu_s()
        NEVER.wait(window_s)
        sys.stdout.write(str(_cpu_s() - began_s))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    _be_a_node(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
