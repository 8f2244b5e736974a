"""The four faults of the demo, in the order in which they are run.

The demo orders one by an empty file, ``NODE.NAME``. The node takes it by removing the
file, so that it strikes once: the node's next life is a healthy one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """What one node does (`swarm_worker.demo.app`), and which status that leads to."""

    name: str
    node: int
    status: int
    story: str  # what is printed of it, after "Node N"


FAULTS: Final = (
    Fault(
        "hangs",
        node=2,
        status=2,
        story="hangs: its handler waits for an answer that never comes; "
        "it still polls and reports, only its work stands still",
    ),
    Fault(
        "leaks",
        node=1,
        status=3,
        story="leaks: 80 MB a second are allocated and never given back; "
        "it consumes well, until the machine has no memory left",
    ),
    Fault(
        "deaf",
        node=3,
        status=1,
        story="stops polling: its poll loop is wedged, as by a bug in a library; "
        "no batch is late, none comes any more; soon Kafka drops it",
    ),
    Fault(
        "silent",
        node=0,
        status=-1,
        story="goes silent: C code holds the interpreter's lock for ever; "
        "no thread of it runs, the one that reports neither",
    ),
)
