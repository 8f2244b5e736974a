"""How one group is judged and treated: all its settings that decide something."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.rules import Limits, Status
from swarm_event_listener.core.restart.restart import StopTimeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one group is judged and treated.

    Attributes:
        limits: The rules.
        backoff: How long a node stays down between two processes.
        stop_timeouts: How long a stop may take.
        max_unavailable: Nodes down at once by our hand; None: a quarter, at least 1.
        interval_s: Between a node's reports (``liveness_interval``).
        dry_run: Statuses to record but not to act on.
        start_nodes: How many nodes run where no order says otherwise; None: all.
    """

    limits: Limits = field(default_factory=Limits)
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)
    stop_timeouts: StopTimeouts = field(default_factory=StopTimeouts)
    max_unavailable: int | None = None
    interval_s: float = 5.0
    dry_run: frozenset[int] = frozenset()
    start_nodes: int | None = None

    @property
    def only_watches(self) -> bool:
        """Whether nothing at all is to be done (``--dry-run``)."""
        return self.dry_run.issuperset(Status)
