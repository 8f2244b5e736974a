"""The metrics endpoint as the loop sees it. Loaded only where it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial

from swarm_event_listener.config.config import METRICS_EXTRA
from swarm_event_listener.core.health import Word, down_for_good
from swarm_event_listener.core.model.events import Reported
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.outlets.metrics.family import Family
from swarm_event_listener.outlets.metrics.files import Holder
from swarm_event_listener.outlets.metrics.metrics import families
from swarm_event_listener.outlets.metrics.page import WATCHED_S, Page
from swarm_event_listener.outlets.metrics.server import MetricsServer, Snapshot
from swarm_event_listener.outlets.metrics.totals import Totals
from swarm_event_listener.outlets.status import Counters
from swarm_worker.shared.report import Report

logger = logging.getLogger(__name__)

Write = Callable[[Iterable[Family]], Sequence[bytes]]


def writer() -> Write | None:
    """Return what writes a scrape; None without the extra, which only that needs."""
    try:
        from swarm_event_listener.outlets.metrics.exposition import exposition  # noqa: PLC0415
    except ImportError as error:
        logger.error(  # noqa: TRY400 - a stack says no more
            "metrics_not_written why=%r do=%r",
            str(error),
            f"{METRICS_EXTRA}, restart the listener; until then /metrics answers 503",
        )
        return None
    return exposition


def _down(swarm: Swarm) -> str:
    """Return a line for each node that is down for good."""
    told = (
        (name, down_for_good(node, swarm.policies[node.group]))
        for name, node in sorted(swarm.nodes.items())
    )
    return "".join(f"{name} is down for good: {why}\n" for name, why in told if why)


def _failing(swarm: Swarm, *, now_s: float) -> str:
    """Return a line for each node that is well but for a message that fails."""
    told = (
        (name, swarm.health(node, now_s=now_s))
        for name, node in sorted(swarm.nodes.items())
        if node.report is not None and node.report.failing
    )
    return "".join(
        f"{name} is {health.word}: {health.why}\n"
        for name, health in told
        if health.word is Word.FAILING
    )


def _holder(node: Node) -> Holder:
    """Return what a node holds; None also for a loop of the user's own."""
    report = node.report if node.pid is not None else None
    is_told = isinstance(report, Report) and report.brokers_up is not None
    held = report.assigned if report and is_told else None
    return Holder(node=node.name, pid=node.pid, partitions=held)


class MetricsOutlet:
    """Sums up what is reported, and has the server show it."""

    def __init__(self, server: MetricsServer, page: Page, write: Write | None) -> None:
        """Take a server that is started, what its page shows, and the `writer`."""
        self._server = server
        self._page = page
        self._write = write
        self._totals = Totals()

    def reported(self, swarm: Swarm, event: Reported) -> None:
        """Count a report that the core took in: one of a former process is not."""
        node = swarm.nodes.get(event.name)
        report = event.report
        if node is not None and node.report is report and isinstance(report, Report):
            self._totals.reported(event.name, event.pid, report)

    def restarted(self, record: Record) -> None:
        """Count a restart that has ended, or that a dry run left out."""
        self._totals.restarted(record)
        self._page.restarted(record)

    def show(
        self, swarm: Swarm, counters: Counters, *, now_s: float, trouble: str
    ) -> None:
        """Make and hand over what is served until the next time."""
        self._totals.forget_all_but(swarm.nodes)
        shown = families(
            swarm, counters, self._totals, now_s=now_s, is_well=not trouble
        )
        # Taken now, written when a scrape asks, once: 400 nodes take the server 70 ms.
        metrics = cache(partial(self._write, tuple(shown))) if self._write else None
        self._page.look(swarm, now_s=now_s)
        is_watched = now_s - self._server.watched_at_s < WATCHED_S
        data = b""
        if is_watched:  # the costliest part: 20 ms for 100 nodes
            data = self._page.data(swarm, now_s=now_s, trouble=trouble)
        self._server.show(
            Snapshot(
                metrics=metrics,
                trouble=trouble,
                down=_down(swarm),
                failing=_failing(swarm, now_s=now_s),
                made_at_s=now_s,
                data=data,
                restarts=self._page.restarts,
                holders=[_holder(node) for node in swarm.nodes.values()],
            )
        )
