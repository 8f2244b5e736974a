"""The swarm of a run of chaos, with its witnesses, as it is before the first fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.faults.mayhem import NODES, Mayhem
from tests.faults.sickness import REPORTED, Illnesses
from tests.faults.state_disk import StateDisk
from tests.process import scenes
from tests.process.proxy import Proxy

LIMITS: Final[Mapping[str, Any]] = {
    "node_report_timeout": 2_000,
    "shutdown_timeout": 1_000,
    "node_restart_timeout": 500,
    "max_unavailable": 3,
    "max_restarts": 100_000,  # back-off would only make it wait
}


@contextmanager
def staged(
    *,
    illnesses: Illnesses = REPORTED,
    limits: Mapping[str, Any] = LIMITS,
    prepare: Callable[[Path], None] = lambda _: None,
    **options: Any,
) -> Iterator[Mayhem]:
    """Start a swarm and its witnesses, and wait until all is well.

    Args:
        illnesses: What nodes fall ill of.
        limits: Of the listener.
        prepare: May put files into supervisord's folder.
        **options: Of `tests.process.scenes.scene`.
    """
    proxies: list[Proxy] = []
    disks: list[StateDisk] = []

    def prepare_all(folder: Path) -> None:
        proxies.append(Proxy(folder))
        disks.append(StateDisk(folder / "run"))
        prepare(folder)

    with scenes.watched_scene(
        nodes=NODES,
        limits=limits,
        listener={"environment": 'SUPERVISOR_SERVER_URL="unix://{folder}/p"'},
        prepare=prepare_all,
        **{"program": {"stopwaitsecs": "1"}, **options},
    ) as (swarm, lives):
        scenes.wait_for_reports(swarm, NODES)
        one = Mayhem(swarm, lives, proxies[0], disks[0], illnesses)
        try:
            yield one
        finally:
            one.thaw()
            proxies[0].close()
            disks[0].close()
