"""Which reports count: none that tells of a standstill, or of before its end.

supervisord hands over late what nodes said while it stood still: they are well by now,
or were held up by it, since what they print waits in its pipes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from swarm_event_listener.core.node import Node
from swarm_worker.shared.report import Report

# A report that comes so much later than the one before did was held up.
LATE_S: Final = 2.0
# A younger report is waited for, for so many intervals; then the last one counts.
INTERVALS: Final = 2
# Silence is acted on when supervisord has answered since, and the node has had this
# long to be heard: a supervisord that stood still has reports of healthy nodes to tell.
SILENCE_CONFIRMED_S: Final = 0.5


@dataclass(slots=True)
class Evidence:
    """From when on reports count, and which time does not.

    Attributes:
        counts_from_s: Reports that were made before it are no evidence.
        stood_from_s: From when until then supervisord or the listener stood still.
        answered_at_s: When supervisord last answered a survey.
    """

    counts_from_s: float | None = None
    stood_from_s: float = 0.0
    answered_at_s: float | None = None

    def stood_still(self, *, for_s: float, now_s: float) -> None:
        """Record that supervisord or the listener stood still until now."""
        self.counts_from_s, self.stood_from_s = now_s, now_s - for_s

    def came(self, before: Node, after: Node, *, now_s: float) -> None:
        """Record a standstill that a late report tells; `before` is without it.

        A machine that is too busy has all reports come late, each by as much: it is
        the change that tells of a standstill.
        """
        late_s = _lateness_s(after)
        if late_s - _lateness_s(before) <= LATE_S:
            return
        made_s = after.made_at_s
        if self.counts_from_s is None or made_s >= self.counts_from_s:
            self.stood_still(for_s=late_s, now_s=now_s)
        else:
            self.stood_from_s = min(self.stood_from_s, made_s)

    def of(self, node: Node, *, interval_s: float) -> Report | None:
        """Return what a node's report tells of the time without the standstill.

        None where it was made before the end of that. What a node prints waits for
        supervisord, so its work may have stood still, too.
        """
        report, from_s = node.report, self.counts_from_s
        if report is None or node.reported_at_s is None or from_s is None:
            return report
        made_s = node.made_at_s
        if made_s < from_s and node.reported_at_s < from_s + INTERVALS * interval_s:
            return None

        def without_ms(age_ms: int | None) -> int | None:
            if age_ms is None:
                return None
            began_s = max(self.stood_from_s, made_s - age_ms / 1000)
            return age_ms - round(1000 * max(0.0, from_s - began_s))

        return replace(
            report,
            poll_age_ms=without_ms(report.poll_age_ms),
            consume_age_ms=without_ms(report.consume_age_ms),
            stalled_ms=without_ms(report.stalled_ms),
            unsteady_ms=without_ms(report.unsteady_ms),
        )


def _lateness_s(node: Node) -> float:
    return 0.0 if node.reported_at_s is None else node.reported_at_s - node.made_at_s
