"""An app whose handler never returns; it writes down when it began.

Its import takes as long as a random part of a report interval: what follows must not
keep step with the moments at which nodes report.
"""

import os
import random
import threading
import time
from pathlib import Path

from swarm_worker import App, Batch

TOPIC = os.environ["BENCH_TOPIC"]
NODES = int(os.environ["BENCH_NODES"])
BEGAN = Path(os.environ["BENCH_BEGAN"])

threading.Event().wait(random.uniform(0.0, float(os.environ["BENCH_INTERVAL_S"])))

app = App(group=TOPIC)


@app.topic(TOPIC, partitions={node: [node] for node in range(NODES)})
def hang(batch: Batch) -> None:
    """Hang."""
    began_s = time.clock_gettime(time.CLOCK_REALTIME)
    with BEGAN.open("a", encoding="ascii") as lines:
        lines.write(f"{os.getpid()} {began_s:.6f} {batch.partition}\n")
    threading.Event().wait()
