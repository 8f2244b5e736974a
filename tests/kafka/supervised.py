"""Nodes as in production: under supervisord and the listener, on real Kafka."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import QUICK
from tests.process.scenes import scene
from tests.process.swarms import Swarm
from tests.supervisord import ROOT, SUPERVISORD

COMMAND: Final = (
    "{python} -m swarm_worker tests.apps.deadly:app --config {folder}/swarm.toml "
    "--state-dir {folder}/slots --node %(process_num)d --nodes %(numprocs)d"
)
_PLUGIN: Final = (
    "[ctlplugin:swarm]\n"
    "supervisor.ctl_factory = swarm_event_listener.supervisorctl:make_ctl"
)


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
        more=f"{_PLUGIN}\n{more}",
    ) as swarm:
        yield swarm


def supervisorctl(swarm: Swarm, *command: str) -> str:
    """Run ``supervisorctl`` as an operator would; give what it says."""
    done = subprocess.run(
        [SUPERVISORD.with_name("supervisorctl"), "-c",
         swarm.daemon.folder / "supervisord.conf", *command],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def handled(swarm: Swarm) -> list[tuple[int, int, int]]:
    """Give partition, offset and pid of what was handled, in that order."""
    rows = [line.split() for line in swarm.daemon.file("handled").splitlines()]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows if len(row) == 3]


def deaths(swarm: Swarm) -> list[tuple[int, int, int]]:
    """Give partition, offset and pid of what killed, in that order."""
    rows = [line.split() for line in swarm.daemon.file("handled").splitlines()]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows if len(row) == 4]
