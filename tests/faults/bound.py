"""How much a process may leave to be done again: .8 of the design as a calculation.

Pure. *A process that ended in order leaves nothing. One that was killed leaves, of each
partition, at most one batch and what it did within the last second.* Of the ledger:

* A repeated message is charged to the process whose line came before the repeat.
* What a process is charged with in one partition must be the last that it did there.
* Of these messages the newest ``batch`` are free: they may be those of the batch in
  flight. Each other one must be *young*: done at most ``COMMIT_S + LATE_S`` before the
  process's end, in seconds in which it could commit. Seconds in which it was stopped or
  in which the broker was away do not count, since nobody can commit in them.
* Together they must be the work of at most ``COMMIT_S + LATE_S``, first to last. Here
  the seconds without a broker do count: who cannot commit must not go on.
* What was tried ahead of a message that failed, to see whether its handler works,
  cannot be committed: it is nobody's. Nor is what a stranger had seen committed, before
  that went back: the verdict has that.
* A process ended when it was killed, or when it was stopped never to go on.

A process that was told to end while the broker was away cannot commit, so is judged as
if it had been killed then; see `tests.faults.book.Book.close` for who else is.

In a rebalance nobody can commit either, and who loses a partition leaves what it has in
hand: the bound is for groups without any, in which sessions are longer than restarts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.apps.processed import Life, Processed
from tests.faults.book import Book, Span
from tests.ledger import Partition, Verdict

COMMIT_S = 1.0  # what the design promises
# The machine's share: a commit is sent by one thread, on two cores that are shared with
# a broker, four nodes and three witnesses.
LATE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one process left to be done again in one partition.

    Attributes:
        life: The process.
        partition: Where.
        repeated: How many messages.
        age_s: Age of the oldest but for a batch, at the process's end, in seconds in
            which it could commit; 0 where there is no more than a batch.
        span_s: From the oldest to the newest but for a batch, less the naps.
        excess: What breaks the bound; empty if it holds.
    """

    life: Life
    partition: Partition
    repeated: int
    age_s: float
    span_s: float = 0.0
    excess: str = ""


def charges(
    verdict: Verdict, processed: Sequence[Processed], book: Book, *, batch: int
) -> list[Charge]:
    """Charge each repeated message to the process whose progress was lost.

    Args:
        verdict: Of the ledger.
        processed: Its lines, in the order of the file.
        book: What was done to the processes.
        batch: Most messages in a batch.
    """
    offsets: dict[tuple[Life, Partition], set[int]] = defaultdict(set)
    ahead = {(d.earlier, d.place) for d in verdict.duplicates if d.is_ahead}
    for duplicate in verdict.duplicates:
        if duplicate.was_committed or duplicate.is_ahead:
            continue
        topic, partition, offset = duplicate.place
        offsets[duplicate.earlier, (topic, partition)].add(offset)
    counted = [
        row
        for row in processed
        if (row.life, (row.topic, row.partition, row.offset)) not in ahead
    ]
    rows = _rows_by_lane(counted, offsets)
    return [
        _charge(rows[lane], repeated, book, batch) for lane, repeated in offsets.items()
    ]


def _rows_by_lane(
    processed: Sequence[Processed], wanted: Mapping[tuple[Life, Partition], set[int]]
) -> dict[tuple[Life, Partition], list[Processed]]:
    rows: dict[tuple[Life, Partition], list[Processed]] = defaultdict(list)
    for row in processed:
        key = row.life, (row.topic, row.partition)
        if key in wanted:
            rows[key].append(row)
    return rows


def _charge(
    rows: Sequence[Processed], repeated: set[int], book: Book, batch: int
) -> Charge:
    """Charge one life for one partition; ``rows`` are what it did there."""
    life, partition = rows[0].life, (rows[0].topic, rows[0].partition)

    def found(excess: str = "", age_s: float = 0.0, span_s: float = 0.0) -> Charge:
        return Charge(
            life=life,
            partition=partition,
            repeated=len(repeated),
            age_s=age_s,
            span_s=span_s,
            excess=excess,
        )

    end_s = book.killed_at_s.get(life.pid)
    if end_s is None:
        return found("it was not killed")
    last = rows[-len(repeated) :]
    if {row.offset for row in last} != repeated:
        return found("these are not the last that it did there")
    older = last[:-batch]
    if not older:
        return found()
    age_s = _age_s(older[0].done_at_s, end_s, book.hindered(life.pid))
    naps = book.naps.get(life.pid, [])
    span_s = _age_s(older[0].done_at_s, older[-1].done_at_s, naps)
    excess = ""
    if age_s > COMMIT_S + LATE_S:
        excess = f"done {age_s:.2f} s before its end"
    elif span_s > COMMIT_S + LATE_S:
        excess = f"the work of {span_s:.2f} s"
    return found(excess, age_s, span_s)


def _age_s(done_at_s: float, end_s: float, hindered: Iterable[Span]) -> float:
    """Return the seconds between two moments, less those of the spans."""
    lost_s = sum(
        max(0.0, min(end_s, to_s) - max(done_at_s, from_s)) for from_s, to_s in hindered
    )
    return max(0.0, end_s - done_at_s - lost_s)
