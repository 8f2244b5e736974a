"""The course of the demo: what is seen becomes what is said and done next.

Pure: `Story.go_on` takes one `Seen` after the other and gives `Step`s. Faults come one
at a time; the next one waits until the last one is over and all nodes consume again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from swarm_worker.demo.faults import Fault

SETTLED_S: Final = 1.5  # a node that consumed within this time consumes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the listener has written of one restart.

    Attributes:
        node: Node id.
        pid: The process that it was about.
        status: The status code; None when no rule was broken.
        reason: The listener's own words.
        detected_at_s: CLOCK_MONOTONIC; None when only the finished record was seen.
    """

    node: int
    pid: int | None
    status: int | None
    reason: str
    detected_at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is seen from outside at one moment.

    Attributes:
        now_s: CLOCK_MONOTONIC.
        began: Whether the node has taken its order, for each fault ordered so far.
        consumer_pids: The process of each node that consumed last.
        consumed_at_s: When that was.
        findings: All that the listener has written so far.
        lost_count: Messages acknowledged and not processed yet.
    """

    now_s: float
    began: frozenset[Fault] = frozenset()
    consumer_pids: Mapping[int, int] = field(default_factory=dict)
    consumed_at_s: Mapping[int, float] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    lost_count: int = 0


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the audience."""

    text: str


@dataclass(frozen=True, slots=True)
class Order:
    """Have a node misbehave."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class StopProducing:
    """No more messages: those that are there shall be finished."""


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over."""


Step = Say | Order | StopProducing | Finish


@dataclass(slots=True, kw_only=True)
class Act:
    """One fault from its order to the node's recovery; moments are monotonic.

    Attributes:
        fault: Which.
        began_at_s: When the node took its order.
        pid: The process that did.
        finding: What the listener made of it.
        found_at_s: When it did.
        recovered_at_s: When another process of the node consumed.
    """

    fault: Fault
    began_at_s: float | None = None
    pid: int | None = None
    finding: Finding | None = None
    found_at_s: float | None = None
    recovered_at_s: float | None = None

    @property
    def is_right(self) -> bool:
        """Whether it was found, called by the right status, and got over."""
        return (
            self.finding is not None
            and self.finding.status == self.fault.status
            and self.recovered_at_s is not None
        )


class Scene(Enum):
    """Where the demo stands."""

    BOOT = auto()
    QUIET = auto()
    FAULT = auto()
    DRAIN = auto()
    OVER = auto()


class Story:
    """Goes through the faults, each in its time."""

    def __init__(self, faults: Sequence[Fault], *, nodes: int) -> None:
        self.acts: list[Act] = []
        self.scene = Scene.BOOT
        self._waiting = list(faults)
        self._nodes = range(nodes)

    def go_on(self, seen: Seen) -> list[Step]:
        """Give what follows from what is seen now."""
        return list(self._steps(seen))

    def _steps(self, seen: Seen) -> Iterator[Step]:
        match self.scene:
            case Scene.BOOT:
                yield from self._boot(seen)
            case Scene.QUIET:
                yield from self._quiet(seen)
            case Scene.FAULT:
                yield from self._fault(self.acts[-1], seen)
            case Scene.DRAIN:
                yield from self._drain(seen)
            case Scene.OVER:
                return

    def _boot(self, seen: Seen) -> Iterator[Step]:
        if self._all_consume(seen):
            yield Say(f"All {len(self._nodes)} nodes consume. Now for some trouble.")
            self.scene = Scene.QUIET

    def _quiet(self, seen: Seen) -> Iterator[Step]:
        if not self._all_consume(seen):
            return
        if not self._waiting:
            yield Say("No more faults. The producer stops; what is left is finished.")
            yield StopProducing()
            self.scene = Scene.DRAIN
            return
        self.acts.append(Act(fault=self._waiting.pop(0)))
        yield Order(self.acts[-1].fault)
        self.scene = Scene.FAULT

    def _fault(self, act: Act, seen: Seen) -> Iterator[Step]:
        if act.began_at_s is None:
            yield from self._begin(act, seen)
            return
        if act.finding is None:
            yield from self._find(act, seen)
        if seen.consumer_pids.get(act.fault.node) != act.pid:
            act.recovered_at_s = seen.consumed_at_s[act.fault.node]
            yield Say(
                f"Node {act.fault.node} consumes again, "
                f"{act.recovered_at_s - act.began_at_s:.1f} s after it went wrong."
            )
            self.scene = Scene.QUIET

    def _begin(self, act: Act, seen: Seen) -> Iterator[Step]:
        if act.fault in seen.began:
            act.began_at_s = seen.now_s
            act.pid = seen.consumer_pids[act.fault.node]
            yield Say(f"Node {act.fault.node} {act.fault.deed}; {act.fault.cause}.")

    def _find(self, act: Act, seen: Seen) -> Iterator[Step]:
        who = (act.fault.node, act.pid)
        finding = next((f for f in seen.findings if (f.node, f.pid) == who), None)
        if finding is not None:
            act.finding = finding
            act.found_at_s = finding.detected_at_s or seen.now_s
            yield Say(
                f"Found: status {finding.status}, {finding.reason}. "
                "The listener restarts it."
            )

    def _drain(self, seen: Seen) -> Iterator[Step]:
        if seen.lost_count == 0:
            yield Finish()
            self.scene = Scene.OVER

    def _all_consume(self, seen: Seen) -> bool:
        return all(
            seen.now_s - seen.consumed_at_s.get(node, float("-inf")) < SETTLED_S
            for node in self._nodes
        )
