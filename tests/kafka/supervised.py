"""Nodes as in production: under supervisord and the listener, on real Kafka."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import QUICK
from tests.process.scenes import FAULTY_APP, NODE, scene
from tests.process.swarms import Swarm

COMMAND: Final = NODE.replace(FAULTY_APP, "tests.apps.deadly:app")


@contextmanager
def deadly_swarm(
    kafka: KafkaBroker,
    topic: str,
    *,
    nodes: int = 2,
    concurrency: int = 1,
    own: Mapping[str, Any] = QUICK,
    limits: Mapping[str, Any] = MappingProxyType({}),
    more: str = "",
    **environ: str,
) -> Iterator[Swarm]:
    """Run a swarm of `tests.apps.deadly`, which reads topic as group of that name.

    Args:
        kafka: The broker.
        topic: What is consumed.
        nodes: How many.
        concurrency: Batches in flight in a node.
        own: Properties of the consumers.
        limits: Keys of ``[listener]`` other than those of `scene`.
        more: Further sections, such as those of another program.
        **environ: ``AFTER``, ``BY``, ``EACH`` and ``LETTERS`` of the app.
    """
    told = {"TOPIC": topic, "PATH": "{folder}/handled", **environ}
    with scene(
        nodes=nodes,
        command=COMMAND,
        limits=limits,
        worker={"concurrency": concurrency},
        kafka={"bootstrap.servers": kafka.bootstrap, **own},
        program={
            "environment": ",".join(f'DEADLY_{k}="{v}"' for k, v in told.items()),
        },
        more=more,
    ) as swarm:
        yield swarm


def handled(swarm: Swarm, *, fields: int = 3) -> list[tuple[int, int, int]]:
    """Return partition, offset and pid of what was handled, in that order."""
    rows = [line.split() for line in swarm.daemon.file("handled").splitlines()]
    return [(int(r[0]), int(r[1]), int(r[2])) for r in rows if len(r) == fields]


def deaths(swarm: Swarm) -> list[tuple[int, int, int]]:
    """Return partition, offset and pid of what killed, in that order."""
    return handled(swarm, fields=4)
