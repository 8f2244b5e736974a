"""What must hold however a swarm was treated: pure, over the witnesses' evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from swarm_event_listener.core.model.rules import LONE
from tests.faults.aside import Aside
from tests.faults.book import Book, Process
from tests.faults.bound import Charge
from tests.ledger import Verdict
from tests.process.lives import Life

# Each node asks for the ids of its topics every 30 s; then come report and stop.
NOTICED_WITHIN_S = 45.0
# The limit of rule 4, for each of those that wait for another one to recover.
NOT_BACK_WITHIN_S = 60.0
PUT_RIGHT_S = 2.0  # the next commit, and the sampler's wait for an answer


@dataclass(kw_only=True)
class Evidence:
    """What the witnesses saw, and what the faults explain.

    Attributes:
        book: What was done.
        lives: All processes of each slot, as sampled in /proc.
        overlaps: Pairs of live processes of one slot.
        records: The history of restarts.
        stopped: Processes that an independent listener saw being stopped.
        listener_log: What the listeners wrote.
        listener_ends: How often one was ended by a fault.
        ledger: What was produced, processed and committed; None without Kafka.
        aside: What was put aside; None without Kafka.
        charges: What each process left to be done again.
        left_down: Processes after which supervisord started none.
        offspring: What is wrong with what handlers have started.
        max_restarts: So many deaths of a slot are answered by nothing but a start.
    """

    book: Book
    lives: Mapping[str, list[Life]]
    overlaps: list[tuple[Life, Life]]
    records: list[Mapping[str, Any]]
    stopped: set[Process]
    listener_log: str = ""
    listener_ends: int = 0
    ledger: Verdict | None = None
    aside: Aside | None = None
    charges: Sequence[Charge] = ()
    left_down: set[Process] = field(default_factory=set)
    offspring: Sequence[str] = ()
    max_restarts: int = 5

    @property
    def gone(self) -> set[Process]:
        """Processes that are no more."""
        return {
            Process(slot, life.pid)
            for slot, lives in self.lives.items()
            for life in lives
            if life.gone_at_s is not None
        }

    @property
    def recorded(self) -> Counter[Process]:
        """How many records there are of each process."""
        return Counter(
            Process(r["node"], r["pid"]) for r in self.records if r["pid"] is not None
        )

    def life(self, process: Process) -> Life | None:
        """Return what was seen of a process; None where nothing was."""
        lives = self.lives.get(process.slot, [])
        return next((life for life in lives if life.pid == process.pid), None)


def complaints(evidence: Evidence) -> list[str]:
    """Return all that does not hold; empty when all is well."""
    return [
        *_overlaps(evidence),
        *_deaths(evidence),
        *_records(evidence),
        *_rolls(evidence),
        *_stops(evidence),
        *_operator(evidence),
        *_held(evidence),
        *_left_down(evidence),
        *_one_at_a_time(evidence),
        *evidence.offspring,
        *_listener(evidence),
        *_ledger(evidence),
        *(evidence.aside.complaints() if evidence.aside else ()),
        *_bound(evidence),
    ]


def _overlaps(evidence: Evidence) -> Iterator[str]:
    for one, other in evidence.overlaps:
        yield f"two live processes of a slot: {one}, {other}"


def _deaths(evidence: Evidence) -> Iterator[str]:
    """Nobody ends but by a fault, a stop, or an illness."""
    book = evidence.book
    known = book.ended | book.excused | evidence.stopped | book.explained.keys()
    for process in sorted(evidence.gone - known):
        life = evidence.life(process)
        is_spare = book.was_spare(process.slot, life)
        if not is_spare and (life is None or not book.was_turned_away(life)):
            yield f"it ended by itself: {process}"


def _records(evidence: Evidence) -> Iterator[str]:
    """Each record is of one restart of one process, for a cause that was there."""
    tried = {
        Process(record["node"], record["pid"])
        for record in evidence.records
        if record["cause"] == "exited"  # it may end before it is seen, or stopped
    }
    for process, count in evidence.recorded.items():
        if count > 1:
            yield f"{count} records of one process: {process}"
        if process not in evidence.gone | tried:
            yield f"a record of a process that was not restarted: {process}"
        if process not in evidence.stopped | evidence.book.excused | tried:
            yield f"a record without a stop: {process}"
    for record in evidence.records:
        process, status = Process(record["node"], record["pid"]), record["status"]
        if not _is_explained(evidence, process, record):
            reason = record["reason"]
            yield f"restarted without a cause: {process} status {status}, {reason}"


def _is_explained(
    evidence: Evidence, process: Process, record: Mapping[str, Any]
) -> bool:
    book, status = evidence.book, record["status"]
    if record["cause"] == "exited":
        if record["pid"] is None:  # it was down, and is tried again
            return process.slot in book.refused or book.was_spare(process.slot)
        return _had_died_often(evidence, process)
    told = {2: "stalled", 4: LONE}.get(status, "")
    return (
        record["cause"] == "roll"
        or status in book.explained.get(process, ())
        or bool(told and told in record["reason"] and _ended_after(evidence, process))
    )


def _had_died_often(evidence: Evidence, process: Process) -> bool:
    """Whether supervisord may be kept from starting a slot's processes at once."""
    lives = evidence.lives.get(process.slot, [])
    own = evidence.life(process)
    before = [x for x in lives if own is None or x.seen_at_s < own.seen_at_s]
    return len(before) > evidence.max_restarts


def _ended_after(evidence: Evidence, process: Process) -> bool:
    """Whether a process ended while what was done to Kafka may have kept it from work.

    One may stand before a new log until it asks for its id. Another may not find its
    broker again after an outage: that is what it is healed for.
    """
    life = evidence.life(process)
    gone_at_s = None if life is None else life.gone_at_s
    anews = [(f, t + NOTICED_WITHIN_S) for f, t in evidence.book.anews]
    outages = [(f, t + NOT_BACK_WITHIN_S) for f, t in evidence.book.outages]
    return gone_at_s is not None and any(
        from_s <= gone_at_s <= to_s for from_s, to_s in (*anews, *outages)
    )


def _left_down(evidence: Evidence) -> Iterator[str]:
    """Nothing that passes is an end for good; some end too soon to be seen."""
    book = evidence.book
    for process in sorted(evidence.left_down):
        life = evidence.life(process)
        is_refused = process.slot in book.refused and (
            life is None or book.was_turned_away(life, by_name=True)
        )
        if not is_refused and not book.was_spare(process.slot, life):
            yield f"it ended for good: {process}"


def _one_at_a_time(evidence: Evidence) -> Iterator[str]:
    """Nodes that alone have no broker wait for the one before them."""
    lone = [r for r in evidence.records if r["status"] == 4 and LONE in r["reason"]]
    lone.sort(key=lambda record: datetime.fromisoformat(record["detected_at"]))
    for one, other in pairwise(lone):
        began_at = datetime.fromisoformat(one["detected_at"])
        took_s = one["seconds"].get("total", 0.0)
        apart = datetime.fromisoformat(other["detected_at"]) - began_at
        if apart.total_seconds() < took_s:
            yield f"two healed at once: {one['node']}, {other['node']}"


def _rolls(evidence: Evidence) -> Iterator[str]:
    rolled = sum(record["cause"] == "roll" for record in evidence.records)
    rolls, nodes = evidence.book.rolls, len(evidence.lives)
    if rolled > rolls * nodes:
        yield f"{rolled} restarts in {rolls} rolls of {nodes}"


def _stops(evidence: Evidence) -> Iterator[str]:
    needed = evidence.stopped - evidence.book.excused
    for process in sorted(needed - evidence.recorded.keys()):
        yield f"a stop without a record: {process}"


def _operator(evidence: Evidence) -> Iterator[str]:
    for slot, from_s, to_s in evidence.book.downs:
        for life in evidence.lives.get(slot, []):
            if life.seen_at_s > from_s and (to_s is None or life.seen_at_s < to_s):
                yield f"started although an operator had stopped it: {life}"


def _held(evidence: Evidence) -> Iterator[str]:
    """A held node may die, or be stopped by its operator: not by us."""
    ours = evidence.recorded.keys() | (evidence.stopped - evidence.book.excused)
    for slot, from_s, to_s in evidence.book.holds:
        for life in evidence.lives.get(slot, []):
            ended_s = life.gone_at_s
            is_within = ended_s and from_s < ended_s and (not to_s or ended_s < to_s)
            if is_within and Process(slot, life.pid) in ours:
                yield f"restarted although an operator holds it: {life}"


def _listener(evidence: Evidence) -> Iterator[str]:
    for word in ("Traceback", "listener_crashed", "listener_unheard"):
        if word in evidence.listener_log:
            yield f"the listener said {word}"
    starts = evidence.listener_log.count("listener_started")
    if starts > evidence.listener_ends + 1:
        yield f"{starts} listeners, but only {evidence.listener_ends} were ended"


def _ledger(evidence: Evidence) -> Iterator[str]:
    """At least once, in order, never committed too far.

    That a committed offset went back is no fault after a broker was killed. The commit
    that was under way then is sent again by the client after those that waited for the
    broker, so the oldest is taken last; the next commit, within a second, puts that
    right. What it costs is repeats, which are charged like any others. A broker that is
    killed loses nothing that it has acknowledged. (Both tried: the answers to a client
    come in that order, and of a group without members what was acknowledged is read.)
    """
    if evidence.ledger is None:
        return
    faults = evidence.ledger.faults()
    if all(
        any(f <= row.seen_at_s <= t + PUT_RIGHT_S for f, t in evidence.book.outages)
        for row in evidence.ledger.went_back
    ):
        faults.pop("committed went back", None)
    if faults:
        yield str(evidence.ledger)


def _bound(evidence: Evidence) -> Iterator[str]:
    for charge in evidence.charges:
        if charge.excess:
            yield f"beyond the bound: {charge}"
