"""``swarm-worker --check``: everything but joining, and a summary for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from swarm_worker.app.loading import load_app
from swarm_worker.app.routing import GroupPlan, plan
from swarm_worker.config.config import Invocation, check_report_timeout
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.shared.kafka_timeouts import slips
from swarm_worker.shared.parsers import duration_ms
from swarm_worker.shared.redaction import HIDDEN, is_secret
from swarm_worker.shared.settings import DURATION_OR_OFF, WORKER


def check(invocation: Invocation, environ: Mapping[str, str]) -> str:
    """Try settings, app, routes and librdkafka's properties; return the summary.

    All nodes are planned, unless a node id was given. What the app's import raises is
    not caught.

    Raises:
        ConfigError: Something cannot work.
    """
    from swarm_worker.kafka.client.making import try_out  # noqa: PLC0415 - loads the Kafka client

    settings = invocation.settings
    check_report_timeout(invocation.document, settings, environ)
    app = load_app(invocation.app)
    ids = range(settings.nodes) if invocation.every_node else (settings.node,)
    plans = {
        node: plan(
            app,
            node=node,
            nodes=settings.nodes,
            start_nodes=settings.start_nodes,
            selection=settings.selection,
        )
        for node in ids
    }
    for group in {g.group: g for groups in plans.values() for g in groups}.values():
        try_out(group, settings)
    return "\n".join(_summary(invocation, plans)) + "\n"


def _summary(
    invocation: Invocation, plans: Mapping[int, Sequence[GroupPlan]]
) -> Iterator[str]:
    settings = invocation.settings
    yield f"{invocation.app} with {invocation.document.path}: ok"
    for slip in slips(settings.kafka):
        yield f"warning: [kafka] {slip.why}; write {slip.line}"
    for node, groups in plans.items():
        yield f"node {node} of {settings.nodes}"
        for group in groups:
            yield f"  group {group.group}"
            for route in group.routes:
                yield f"    {', '.join(route.topics)} -> {route.name}"
            for topic, partition in group.assignments:
                yield f"    assigned directly: {topic}/{partition}"
    yield "settings"
    yield from (f"  {name} = {value}" for name, value in _in_force(settings))
    yield "kafka"
    # As written: what comes from the environment may well be a secret.
    written = invocation.document.table("kafka")
    yield from (
        f"  {name} = {HIDDEN if is_secret(name) else written.get(name)}"
        for name in settings.kafka
    )


def _in_force(settings: WorkerSettings) -> Iterator[tuple[str, object]]:
    for name, key in WORKER.items():
        value = getattr(settings, name)
        if value is None:
            yield name, key.absent or "off"
        elif key.read in (duration_ms, DURATION_OR_OFF):
            yield name, f"{value} ms"
        else:
            yield name, str(value).lower() if isinstance(value, bool) else value
