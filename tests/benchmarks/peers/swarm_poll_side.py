"""Ours, for latency: a handler that notes the time, and takes its time where told."""

from threading import Event

from swarm_worker import App, Batch
from tests.benchmarks.peers.stopwatch import ORDERS, Stopwatch

app = App(group=ORDERS["group"])
stopwatch = Stopwatch()


@app.topic(ORDERS["topic"])
def handle(batch: Batch) -> None:
    """Note when each came; the slow ones keep their partition busy."""
    for message in batch:
        value = message.value()
        if value == b"slow":
            Event().wait(ORDERS["slow_s"])
        else:
            stopwatch.stop(value)
