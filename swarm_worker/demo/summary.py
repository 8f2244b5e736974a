"""What a run of the demo came to: as plain data, and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from swarm_worker.demo.faults import Fault

ALL_WELL: Final = "OK: each fault was found and got over, and nothing was lost."


@dataclass(slots=True)
class Outcome:
    """What became of a fault; seconds are counted from its beginning."""

    node: int
    fault: str
    pid: int  # of the process that misbehaved
    status: int | None = None
    reason: str | None = None
    found_after_s: float | None = None
    consumed_again_after_s: float | None = None


def summary_of(
    figures: dict[str, Any],
    outcomes: list[Outcome],
    missing: dict[Fault, str],
    others: int,
) -> dict[str, Any]:
    """Return what a run came to; ``missing`` says what did not happen."""
    complaints = [] if figures["processed"] else ["no message was processed"]
    if figures["lost"]:
        complaints.append(f"{figures['lost']} messages are not processed")
    for fault, what in missing.items():
        complaints.append(f"node {fault.node} ({fault.name}): {what}")
    return {
        "ok": not complaints,
        **figures,
        "faults": [asdict(outcome) for outcome in outcomes],
        "other_restarts": others,
        "complaints": complaints,
    }


def as_text(summary: dict[str, Any]) -> str:
    """Return a summary as lines of at most 80 columns; what is missing stands last."""
    head = (
        "\nproduced {produced}   processed {processed}   lost {lost}   "
        "duplicates {duplicates}   ({seconds:.0f} s)\n\n"
        "node  fault    status  found after  consumed again after"
    )
    row = (
        "{node:>4}  {fault:<8} {status:>5}  {found_after_s:>9.1f} s  "
        "{consumed_again_after_s:>18.1f} s"
    )
    over = [outcome for outcome in summary["faults"] if None not in outcome.values()]
    rows = [head.format_map(summary), *(row.format_map(outcome) for outcome in over)]
    failures = [f"FAILED: {complaint}" for complaint in summary["complaints"]]
    return "\n".join([*rows, "", *(failures or [ALL_WELL])])
