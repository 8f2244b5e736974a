"""What the demo came to, and whether that is a success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from swarm_worker.demo.faults import Fault
from swarm_worker.demo.story import Act, Finding

_ALL_WELL: Final = "OK: each fault was found and got over, and nothing was lost."


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures at the end, from the ledger and the acts.

    Attributes:
        produced: Messages that the broker has acknowledged.
        processed: Messages that were processed, each counted once.
        lost: Acknowledged, but not processed.
        duplicates: Processed once more than needed.
        faults: Those that belong to the demo.
        acts: Those that were begun.
        others: Restarts that nobody asked for.
        took_s: The whole demo.
        logs: The ends of all logs, where it was no success.
    """

    produced: int
    processed: int
    lost: int
    duplicates: int
    faults: Sequence[Fault]
    acts: Sequence[Act]
    others: Sequence[Finding] = ()
    took_s: float = 0.0
    logs: str = ""

    @property
    def is_success(self) -> bool:
        """Whether all statuses were seen, all nodes recovered, and nothing was lost."""
        return not self.complaints()

    def complaints(self) -> list[str]:
        """Give what is missing for a success, in plain words."""
        found = [] if self.processed else ["no message was processed"]
        if self.lost:
            found.append(f"{self.lost} messages are not processed")
        begun = {act.fault: act for act in self.acts}
        for fault in self.faults:
            found += _complaints(fault, begun.get(fault))
        return found

    def lines(self) -> list[str]:
        """Give the summary as lines of at most 80 columns."""
        return [
            self._counts(),
            "",
            "node  fault    status  found after  consumed again after",
            *(_line(act) for act in self.acts),
            *(
                f"also restarted: node {other.node}, status {other.status}: "
                f"{other.reason}"
                for other in self.others
            ),
            "",
            *(f"FAILED: {complaint}" for complaint in self.complaints()),
            *([_ALL_WELL] if self.is_success else ()),
        ]

    def _counts(self) -> str:
        return (
            f"produced {self.produced}   processed {self.processed}   "
            f"lost {self.lost}   duplicates {self.duplicates}   "
            f"({self.took_s:.0f} s)"
        )

    def as_json(self) -> dict[str, Any]:
        """Give the summary for programs; durations are seconds from the fault on."""
        return {
            "ok": self.is_success,
            "produced": self.produced,
            "processed": self.processed,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "seconds": round(self.took_s, 3),
            "faults": [_act_json(act) for act in self.acts],
            "other_restarts": len(self.others),
            "complaints": self.complaints(),
        }


def others(findings: Sequence[Finding], acts: Sequence[Act]) -> list[Finding]:
    """Give the restarts that belong to no act."""
    meant = {(act.fault.node, act.pid) for act in acts}
    return [finding for finding in findings if (finding.node, finding.pid) not in meant]


def _complaints(fault: Fault, act: Act | None) -> list[str]:
    who = f"node {fault.node} ({fault.kind})"
    if act is None or act.began_at_s is None:
        return [f"{who}: its turn did not come"]
    if act.finding is None:
        return [f"{who}: was not found"]
    if act.finding.status != fault.status:
        return [f"{who}: status {act.finding.status}, expected {fault.status}"]
    if act.recovered_at_s is None:
        return [f"{who}: did not consume again"]
    return []


def _line(act: Act) -> str:
    status = "-" if act.finding is None else str(act.finding.status)
    return (
        f"{act.fault.node:>4}  {act.fault.kind:<8} {status:>5}  "
        f"{_after(act, act.found_at_s):>11}  {_after(act, act.recovered_at_s):>20}"
    )


def _after(act: Act, at_s: float | None) -> str:
    seconds = _seconds(act, at_s)
    return "-" if seconds is None else f"{seconds:.1f} s"


def _seconds(act: Act, at_s: float | None) -> float | None:
    if at_s is None or act.began_at_s is None:
        return None
    return round(max(0.0, at_s - act.began_at_s), 3)


def _act_json(act: Act) -> dict[str, Any]:
    return {
        "node": act.fault.node,
        "fault": act.fault.kind.value,
        "status": None if act.finding is None else act.finding.status,
        "reason": None if act.finding is None else act.finding.reason,
        "found_after_s": _seconds(act, act.found_at_s),
        "consumed_again_after_s": _seconds(act, act.recovered_at_s),
    }
