"""What the clients of one Kafka group, one after another, have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarm_worker.app.routing import GroupPlan
    from swarm_worker.config.worker_settings import WorkerSettings
    from swarm_worker.kafka.dead_letters import DeadLetterProducer
    from swarm_worker.kafka.monitoring.monitor import Monitor
    from swarm_worker.kafka.subscribed_topics import SubscribedTopics
    from swarm_worker.processing.handlers import Processing
    from swarm_worker.processing.lanes import Lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One Kafka group of a node, and what works for it.

    Attributes:
        plan: What the node consumes for it.
        settings: The node's.
        properties: Of its consumer.
        processing: What becomes of its messages.
        dead_letters: Where those go that are given up.
        monitor: How its clients are doing.
        subscribed: By which topics it knows the node.
        clock: Seconds, as in the reports.
        first_known: The first id of each topic that the node has known; added to.
        stopping: Set once the node stops.
    """

    plan: GroupPlan
    settings: WorkerSettings
    properties: Mapping[str, Any]
    processing: Processing
    dead_letters: DeadLetterProducer
    monitor: Monitor
    subscribed: SubscribedTopics
    clock: Callable[[], float]
    first_known: dict[str, str] = field(default_factory=dict)
    stopping: Event = field(default_factory=Event)

    @property
    def name(self) -> str:
        """Its name."""
        return self.plan.group

    @property
    def lanes(self) -> Lanes:
        """The partitions that the node holds of it."""
        return self.processing.lanes
