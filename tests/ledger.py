"""The outside witness of delivery: what was produced, processed and committed.

Pure: rows in, verdict out. The rows come from three witnesses that share nothing with
the swarm: acknowledgements to a producer, lines that handlers append to a file
(`tests.apps.processed`), offsets that a stranger reads from the group's coordinator
(`tests.kafka.witness`).

Two facts make the judgement sound, that is free of false alarms:

* The lines of one file have one order. A message's line is written before its handler
  returns, so before its offset can be committed, so before the next owner of the
  partition can begin after it. Hence, in file order, a message whose lower neighbour
  has no line yet is one that jumped it.
* A line's ``done_at_s`` is taken before the line is written, a sample's ``seen_at_s``
  after the answer came, both on the machine's one monotonic clock. So for a node that
  commits after processing, ``done < commit < seen``. A sample of offset C in which
  some message below C is done later than ``seen_at_s`` was committed too early. The
  reverse is not proved: a too early commit shows only if a sample falls between it and
  the processing. Sample often, and let control runs show that it is enough.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import (
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from itertools import accumulate
from math import inf

from tests.apps.processed import Life, Processed

Place = tuple[str, int, int]  # topic, partition, offset
Partition = tuple[str, int]  # topic, partition
UNTOLD = -1  # an offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """One message whose producer got the acknowledgement of all replicas."""

    topic: str
    partition: int
    offset: int
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A committed offset as read by a stranger; ``seen_at_s`` is after the answer."""

    topic: str
    partition: int
    offset: int
    seen_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """A message processed once more; the earlier life is whose progress was lost.

    Attributes:
        is_ahead: It was tried before the message in front of it, which failed: so it
            could not be committed.
        was_committed: A stranger had read an offset beyond it, which went back since.
    """

    place: Place
    earlier: Life
    later: Life
    is_ahead: bool = False
    was_committed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A message that was jumped: a higher offset was processed first."""

    place: Place
    life: Life
    jumped_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inversion:
    """A life went back. Harmless if ``repeat``: the message had been done before.

    That is what a life does which lost a partition and got it back before its offsets
    were committed.
    """

    place: Place
    life: Life
    after: int
    repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFar:
    """A committed offset above a message that was not processed at that moment."""

    sample: Committed
    unprocessed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Two lives at work in the same moments."""

    earlier: Life
    later: Life
    overlap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the three witnesses prove together.

    Attributes:
        produced_count: Messages acknowledged.
        processed_count: Lines, so with repeats.
        lost: Acknowledged, but never processed. Final only when the run is over.
        strangers: Processed, but never acknowledged under this id at this place.
        duplicates: In the order in which they happened.
        gaps: Messages that were jumped, even if they were processed later.
        inversions: Lives that went back.
        too_far: Samples of offsets committed before the processing.
        went_back: Samples of an offset lower than one sampled before.
        slot_overlaps: Two lives of one node at work at once.
        partition_overlaps: Two lives in one partition at once. No fault in itself: a
            process that was frozen until its session ended finishes its message when
            it is thawed.
    """

    produced_count: int
    processed_count: int
    lost: Sequence[Produced]
    strangers: Sequence[Processed]
    duplicates: Sequence[Duplicate]
    gaps: Sequence[Gap]
    inversions: Sequence[Inversion]
    too_far: Sequence[TooFar]
    went_back: Sequence[Committed]
    slot_overlaps: Sequence[Overlap]
    partition_overlaps: Mapping[Partition, Sequence[Overlap]]

    def duplicates_of(self) -> Counter[Life]:
        """Count of repeated messages by the life whose progress was lost."""
        return Counter(duplicate.earlier for duplicate in self.duplicates)

    def faults(self) -> dict[str, Sequence[object]]:
        """What no schedule of faults excuses: at-least-once, in order, never too far.

        Duplicates are not among them; how many are allowed depends on the run.
        """
        found: dict[str, Sequence[object]] = {
            "lost": self.lost,
            "strangers": self.strangers,
            "gaps": self.gaps,
            "inversions": [i for i in self.inversions if not i.repeat],
            "committed too far": self.too_far,
            "committed went back": self.went_back,
            "two lives of one node": self.slot_overlaps,
        }
        return {name: rows for name, rows in found.items() if rows}

    def __str__(self) -> str:
        """One line of figures, and up to three examples of each fault."""
        figures = (
            f"produced={self.produced_count} processed={self.processed_count} "
            f"lost={len(self.lost)} duplicates={len(self.duplicates)}"
        )
        lines = [figures]
        for name, rows in self.faults().items():
            lines.append(f"{name}: {len(rows)}")
            lines += [f"  {row}" for row in rows[:3]]
        return "\n".join(lines)


def judge(
    produced: Iterable[Produced],
    processed: Sequence[Processed],
    committed: Sequence[Committed] = (),
    *,
    set_aside: Iterable[Place] = (),
    tries_next: bool = False,
) -> Verdict:
    """Find out what the rows prove.

    Args:
        produced: In any order; offsets that are missing (markers of transactions,
            compaction) are no gaps.
        processed: In the order of the file.
        committed: In the order in which they were read, one reader.
        set_aside: Places that need no line, such as those of dead letters.
        tries_next: While a message fails the one behind it may come first.
    """
    acknowledged = {_place(row): row for row in produced}
    first = _first_rows(processed)
    told = first.keys() | set(set_aside)
    due = _by_partition(acknowledged.keys() - (told - first.keys()))
    return Verdict(
        produced_count=len(acknowledged),
        processed_count=len(processed),
        lost=[row for place, row in acknowledged.items() if place not in told],
        strangers=list(_strangers(acknowledged, processed)),
        duplicates=list(_duplicates(acknowledged, processed, committed)),
        gaps=list(_gaps(due, first, processed, ahead=int(tries_next))),
        inversions=list(_inversions(processed)),
        too_far=list(_too_far(due, first, processed, committed)),
        went_back=list(_went_back(committed)),
        slot_overlaps=_slot_overlaps(processed),
        partition_overlaps=_partition_overlaps(processed),
    )


def placed(
    produced: Sequence[Produced], processed: Iterable[Processed]
) -> list[Produced]:
    """Return what was acknowledged with the places that Kafka has not told.

    A producer that has to send a message again, since the broker died, is told that it
    is there already: not where. Whoever has processed it knows; if nobody has, each
    such message stands at a place of its own, below all others.
    """
    places = {row.id: row.offset for row in processed}
    return [
        row
        if row.offset != UNTOLD
        else replace(row, offset=places.get(row.id, -2 - row.id))
        for row in produced
    ]


def left_behind(
    produced: Iterable[Produced],
    processed: Iterable[Processed],
    topics: Sequence[str],
    *,
    unnoticed: Sequence[str] = (),
) -> list[Place]:
    """Return the places of logs that are no more which nobody had come to.

    What lies behind the last that was processed of a partition went with its log, as
    may have what lies nobody knows where; what lies before that was due all the same,
    unless the log had gone before anybody had to know that it was a new one.
    """
    last: dict[Partition, int] = {}
    for row in processed:
        key = row.topic, row.partition
        last[key] = max(row.offset, last.get(key, -1))
    return [
        _place(row)
        for row in produced
        if row.topic in topics
        and (
            row.topic in unnoticed
            or not 0 <= row.offset <= last.get((row.topic, row.partition), -1)
        )
    ]


def _place(row: Produced | Processed) -> Place:
    return row.topic, row.partition, row.offset


def _first_rows(processed: Sequence[Processed]) -> dict[Place, int]:
    """Index of the line that first tells of a place."""
    first: dict[Place, int] = {}
    for index, row in enumerate(processed):
        first.setdefault(_place(row), index)
    return first


def _by_partition(places: Iterable[Place]) -> dict[Partition, list[int]]:
    """Offsets in ascending order."""
    offsets = defaultdict(list)
    for topic, partition, offset in places:
        offsets[topic, partition].append(offset)
    return {partition: sorted(found) for partition, found in offsets.items()}


def _strangers(
    acknowledged: Mapping[Place, Produced], processed: Sequence[Processed]
) -> Iterator[Processed]:
    for row in processed:
        known = acknowledged.get(_place(row))
        if known is None or known.id != row.id:
            yield row


def _duplicates(
    acknowledged: Container[Place],
    processed: Sequence[Processed],
    committed: Sequence[Committed],
) -> Iterator[Duplicate]:
    last: dict[Place, tuple[Life, bool]] = {}
    beyond = _highest_committed(committed)
    for row in processed:
        place = topic, partition, offset = _place(row)
        if place in last:
            life, is_ahead = last[place]
            yield Duplicate(
                place=place,
                earlier=life,
                later=row.life,
                is_ahead=is_ahead,
                was_committed=beyond((topic, partition), row.begun_at_s) > offset,
            )
        in_front = topic, partition, offset - 1
        last[place] = row.life, in_front in acknowledged and in_front not in last


def _highest_committed(
    committed: Sequence[Committed],
) -> Callable[[Partition, float], int]:
    """Return what tells the highest offset that was read before a moment."""
    moments: dict[Partition, list[float]] = defaultdict(list)
    highest: dict[Partition, list[int]] = defaultdict(list)
    for sample in committed:
        partition = sample.topic, sample.partition
        moments[partition].append(sample.seen_at_s)
        so_far = highest[partition][-1] if highest[partition] else 0
        highest[partition].append(max(so_far, sample.offset))

    def before(partition: Partition, at_s: float) -> int:
        index = bisect_left(moments[partition], at_s)
        return highest[partition][index - 1] if index else 0

    return before


def _gaps(
    due: Mapping[Partition, Sequence[int]],
    first: Mapping[Place, int],
    processed: Sequence[Processed],
    *,
    ahead: int,
) -> Iterator[Gap]:
    """Yield each due message that a higher one has overtaken in the file.

    The next ``ahead`` ones are allowed to.
    """
    for (topic, partition), offsets in due.items():
        earliest_higher = len(processed)
        allowed: deque[int] = deque()
        for offset in reversed(offsets):
            place = topic, partition, offset
            index = first.get(place, len(processed))
            if index > earliest_higher:
                jump = processed[earliest_higher]
                yield Gap(place=place, life=jump.life, jumped_to=jump.offset)
            allowed.append(index)
            if len(allowed) > ahead:
                earliest_higher = min(allowed.popleft(), earliest_higher)


def _inversions(processed: Sequence[Processed]) -> Iterator[Inversion]:
    at: dict[tuple[Life, Partition], int] = {}
    done: set[Place] = set()
    for row in processed:
        place, key = _place(row), (row.life, (row.topic, row.partition))
        if row.offset <= at.get(key, -1):
            repeat = place in done
            yield Inversion(place=place, life=row.life, after=at[key], repeat=repeat)
        at[key] = row.offset
        done.add(place)


def _too_far(
    due: Mapping[Partition, Sequence[int]],
    first: Mapping[Place, int],
    processed: Sequence[Processed],
    committed: Sequence[Committed],
) -> Iterator[TooFar]:
    def done_at_s(place: Place) -> float:
        index = first.get(place)
        return inf if index is None else processed[index].done_at_s

    # moments[i]: since when all of offsets[0..i] are done.
    all_done_at = {
        (topic, partition): list(
            accumulate((done_at_s((topic, partition, o)) for o in offsets), max)
        )
        for (topic, partition), offsets in due.items()
    }
    for sample in committed:
        partition = sample.topic, sample.partition
        moments = all_done_at.get(partition, [])
        offsets = due.get(partition, [])
        below = bisect_left(offsets, sample.offset)
        if below and moments[below - 1] > sample.seen_at_s:
            culprit = bisect_right(moments, sample.seen_at_s)
            yield TooFar(sample=sample, unprocessed=offsets[culprit])


def _went_back(committed: Sequence[Committed]) -> Iterator[Committed]:
    highest: dict[Partition, int] = {}
    for sample in committed:
        partition = sample.topic, sample.partition
        if sample.offset < highest.get(partition, 0):
            yield sample
        highest[partition] = max(sample.offset, highest.get(partition, 0))


def _slot_overlaps(processed: Sequence[Processed]) -> list[Overlap]:
    """Two lives of one node whose first-to-last spans of work intersect."""
    spans: dict[Life, tuple[float, float]] = {}
    for row in processed:
        begun, done = spans.get(row.life, (inf, -inf))
        spans[row.life] = min(begun, row.begun_at_s), max(done, row.done_at_s)
    by_node = defaultdict(list)
    for life, (begun, done) in spans.items():
        by_node[life.node].append((begun, done, life))
    return [o for works in by_node.values() for o in _overlaps(works)]


def _partition_overlaps(
    processed: Sequence[Processed],
) -> dict[Partition, list[Overlap]]:
    works = defaultdict(list)
    for row in processed:
        works[row.topic, row.partition].append(
            (row.begun_at_s, row.done_at_s, row.life)
        )
    found = {partition: list(_overlaps(w)) for partition, w in works.items()}
    return {partition: overlaps for partition, overlaps in found.items() if overlaps}


def _overlaps(works: Iterable[tuple[float, float, Life]]) -> Iterator[Overlap]:
    """Pairs of spans of different lives that share time, by the later one's start."""
    ends: dict[Life, float] = {}
    for begun, done, life in sorted(works):
        ends = {other: end for other, end in ends.items() if end > begun}
        for other, end in ends.items():
            if other != life:
                shared_s = min(end, done) - begun
                yield Overlap(earlier=other, later=life, overlap_s=shared_s)
        ends[life] = max(done, ends.get(life, -inf))
