"""What counts beside the nodes when it is decided what is due for one of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from swarm_event_listener.core.evidence import Evidence
from swarm_event_listener.core.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known beside the nodes.

    Attributes:
        evidence: Which reports count, and whether silence does.
        reporting_groups: Groups whose nodes have ever reported.
        ends: The listener ends: nothing is begun.
        supervisor_ends: supervisord ends: nothing is begun.
    """

    evidence: Evidence = field(default_factory=Evidence)
    reporting_groups: frozenset[str] = frozenset()
    ends: bool = False
    supervisor_ends: bool = False

    @property
    def is_closing(self) -> bool:
        """Whether nothing may be begun."""
        return self.ends or self.supervisor_ends

    def heard(self, before: Node, after: Node, *, now_s: float) -> Known:
        """Look at a report that has come; `before` is the node without it."""
        evidence = self.evidence.came(before, after, now_s=now_s)
        groups = self.reporting_groups
        if evidence is self.evidence and after.group in groups:
            return self
        return replace(self, evidence=evidence, reporting_groups=groups | {after.group})

    def answered(self, *, now_s: float) -> Known:
        """supervisord has answered a survey."""
        return replace(self, evidence=replace(self.evidence, answered_at_s=now_s))

    def thawed(self, *, for_s: float, now_s: float) -> Known:
        """supervisord or the listener stood still until now."""
        evidence = self.evidence.thawed(for_s=for_s, now_s=now_s)
        return replace(self, evidence=evidence)
