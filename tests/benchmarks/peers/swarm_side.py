"""Ours: an app for ``swarm-worker``, run with its default settings."""

import os
from collections.abc import Callable
from json import loads

from swarm_worker import App, Batch
from tests.benchmarks.peers.window import ORDERS, Window

app = App(group=ORDERS["group"])
window = Window(os.environ.get("SIDE_NAME", ""))


def parse(batch: Batch) -> None:
    """JSON: what figure 1 asks for."""
    for message in batch:
        loads(message.value())  # type: ignore[arg-type] # none is a tombstone
    window.saw(len(batch), batch.partition)


def parse_fast(batch: Batch) -> None:
    """JSON by orjson, which has an environment of its own."""
    import orjson

    for message in batch:
        orjson.loads(message.value())
    window.saw(len(batch), batch.partition)


def toil(batch: Batch) -> None:
    """Some 25 µs of CPU a message: the work is the nodes', not the broker's."""
    for message in batch:
        value = message.value()
        for _ in range(8):
            loads(value)  # type: ignore[arg-type] # the same
    window.saw(len(batch), batch.partition)


def count(batch: Batch) -> None:
    """Nothing."""
    window.saw(len(batch), batch.partition)


WORK: dict[str, Callable[[Batch], None]] = {
    "json": parse,
    "orjson": parse_fast,
    "toil": toil,
    "nothing": count,
}
app.topic(ORDERS["topic"])(WORK[ORDERS["work"]])
