"""The settings of a node, as one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from swarm_worker.app.routing import Selection
from swarm_worker.reporting.schedule import Limits
from swarm_worker.shared.kafka_timeouts import kafka_ms
from swarm_worker.shared.report import MAX_POLL_INTERVAL_MS
from swarm_worker.shared.settings import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(Worker):
    """All settings of a node, checked: ``[worker]``, ``[kafka]``, limits and flags.

    Attributes:
        node: Node id, from 0.
        nodes: Number of nodes of the swarm.
        kafka: librdkafka properties as the user wrote them; none is reserved.
        instance_ids: By group, where the usual one belongs to another program's node.
        limits: At what ages the listener acts, as the file has it.
        selection: Topics and groups picked by flags.
    """

    node: int
    nodes: int
    kafka: Mapping[str, Any] = field(repr=False)  # there are secrets in it
    instance_ids: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    selection: Selection = field(default_factory=Selection)

    @property
    def max_poll_interval_ms(self) -> int:
        """As in ``kafka``, or librdkafka's default."""
        return kafka_ms(self.kafka, "max.poll.interval.ms", MAX_POLL_INTERVAL_MS)

    @property
    def max_wait_s(self) -> float:
        """Longest poll."""
        return self.max_wait_time / 1000

    @property
    def shutdown_timeout_s(self) -> float:
        """What a stopping node gives its handlers."""
        return self.shutdown_timeout / 1000

    @property
    def dead_letter_after_s(self) -> float:
        """How long nothing may succeed before ``max_retries`` counts alone."""
        return inf if self.dead_letter_after is None else self.dead_letter_after / 1000

    @property
    def liveness_interval_s(self) -> float:
        """Between reports."""
        return self.liveness_interval / 1000
