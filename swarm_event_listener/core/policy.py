"""How one group is judged and treated: all its settings that decide something."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarm_event_listener.core.model.pacing import Pace
from swarm_event_listener.core.model.rules import Limits, Status
from swarm_event_listener.core.restart.restart import Patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one group is judged and treated.

    Attributes:
        limits: The rules.
        pace: Gap and back-off of one node.
        patience: How long a stop may take.
        max_unavailable: Nodes down at once by our hand; None: a quarter, at least 1.
        interval_s: Between a node's reports (``liveness_interval``).
        dry_run: Statuses to record but not to act on.
    """

    limits: Limits = field(default_factory=Limits)
    pace: Pace = field(default_factory=Pace)
    patience: Patience = field(default_factory=Patience)
    max_unavailable: int | None = None
    interval_s: float = 5.0
    dry_run: frozenset[int] = frozenset()

    @property
    def only_watches(self) -> bool:
        """Whether nothing at all is to be done (``--dry-run``)."""
        return self.dry_run.issuperset(Status)
