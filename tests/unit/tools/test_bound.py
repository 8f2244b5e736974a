"""The bound of duplicates, as it is calculated from a ledger."""

from __future__ import annotations

from math import inf

from tests.apps.processed import Life, Processed
from tests.faults.book import Book, Process
from tests.faults.bound import COMMIT_S, LATE_S, Charge, charges
from tests.ledger import Committed, Produced, judge
from tests.process.lives import Life as Ended

FIRST, SECOND = Life(0, 11, 1.0), Life(0, 12, 50.0)
LATEST_S = COMMIT_S + LATE_S
BATCH = 2


def row(life: Life, offset: int, done_at_s: float) -> Processed:
    """Return a line of the only partition."""
    return Processed(
        life=life,
        topic="t",
        partition=0,
        offset=offset,
        id=offset,
        begun_at_s=done_at_s,
        done_at_s=done_at_s,
    )


def charged(first: list[float], repeated: list[int], book: Book) -> list[Charge]:
    """Judge one life that did a message at each moment, and one that repeats some."""
    rows = [row(FIRST, offset, at_s) for offset, at_s in enumerate(first)]
    rows += [row(SECOND, offset, 60.0 + offset) for offset in repeated]
    produced = [
        Produced(topic="t", partition=0, offset=offset, id=offset)
        for offset in range(len(first))
    ]
    return charges(judge(produced, rows), rows, book, batch=BATCH)


def excesses(first: list[float], repeated: list[int], book: Book) -> list[str]:
    """Return what is wrong with the only charge."""
    return [charge.excess for charge in charged(first, repeated, book)]


def test_nothing_repeated_is_nothing_charged() -> None:
    """A life that was killed may also leave nothing."""
    assert charged([1.0, 2.0], [], Book(killed_at_s={11: 3.0})) == []


def test_a_life_that_was_not_killed_may_leave_nothing() -> None:
    """Not even one message of its last batch."""
    assert excesses([1.0, 2.0], [1], Book()) == ["it was not killed"]


def test_a_batch_is_free_and_what_is_older_must_be_young() -> None:
    """The batch in flight may have begun long ago; what came before it is committed."""
    killed = Book(killed_at_s={11: 10.0})

    assert excesses([1.0, 2.0, 3.0], [1, 2], killed) == [""]
    assert excesses([10.0 - LATEST_S, 9.0, 9.5], [0, 1, 2], killed) == [""]
    assert excesses([9.9 - LATEST_S, 9.0, 9.5], [0, 1, 2], killed) == [
        "done 1.60 s before its end"
    ]


def test_what_is_repeated_is_what_was_done_last() -> None:
    """A hole means that an offset went back."""
    killed = Book(killed_at_s={11: 10.0})

    assert excesses([9.0, 9.1, 9.2], [0, 2], killed) == [
        "these are not the last that it did there"
    ]


def test_seconds_without_a_chance_to_commit_do_not_count() -> None:
    """A nap and an outage that overlap are counted once."""
    book = Book(killed_at_s={11: 30.0}, naps={11: [(5.0, 15.0)], 99: [(20.0, 29.0)]})
    book.outages.append((10.0, 20.0))
    (charge,) = charged([4.0, 29.0, 29.0], [0, 1, 2], book)

    assert charge.age_s == 26.0 - 15.0
    assert charge.excess


def test_who_cannot_commit_must_not_go_on() -> None:
    """Away or not, a second's work; a nap between two messages is no work."""
    away = Book(killed_at_s={11: 30.0}, outages=[(3.0, 30.0)])
    work = [4.0, 4.0 + LATEST_S + 0.1, 25.0, 25.0]

    assert excesses(work, [0, 1, 2, 3], away) == ["the work of 1.60 s"]
    assert excesses(work, [1, 2, 3], away) == [""]
    away.naps[11] = [(4.0, 4.2)]
    assert excesses(work, [0, 1, 2, 3], away) == [""]


def test_who_had_no_chance_to_end_in_order_counts_as_killed() -> None:
    """That is who is ill, went with supervisord, or was told to while none can commit.

    Who went with supervisord needs no record either.
    """
    slot, gone_at_s = "w:w_00", {1: 20.0, 2: 20.0, 3: 20.0, 4: 9.5, 5: 30.5, 6: 20.0}
    lives = {slot: [Ended(slot, pid, 0, 0.0, at_s) for pid, at_s in gone_at_s.items()]}
    book = Book(outages=[(10.0, 12.0)], upheavals=[(30.0, 31.0)])
    book.explain(Process(slot, 1), {2})
    for pid, told_at_s in ((2, 11.0), (3, 12.5), (4, 9.0), (7, 11.0)):  # 7: never seen
        book.is_told_to_end(Process(slot, pid), at_s=told_at_s)
    book.is_killed(Process(slot, 6), at_s=3.0)
    book.explain(Process(slot, 6), {-1})
    book.close(lives, now_s=40.0)

    assert book.killed_at_s == {1: 20.0, 2: 20.0, 5: 30.5, 6: 3.0, 7: inf}
    assert {process.pid for process in book.ended} == {2, 3, 4, 6, 7}
    assert book.excused == {Process(slot, 5)}


def test_what_was_tried_ahead_is_nobodys_loss() -> None:
    """Nor is what was committed: an offset that goes back is another's fault."""
    rows = [row(FIRST, offset, 1.0 + n) for n, offset in enumerate([0, 2, 1])]
    rows += [row(SECOND, offset, 60.0 + offset) for offset in (1, 2)]
    produced = [
        Produced(topic="t", partition=0, offset=offset, id=offset)
        for offset in range(4)
    ]
    (charge,) = charges(judge(produced, rows), rows, Book(), batch=BATCH)
    assert (charge.repeated, charge.excess) == (1, "it was not killed")

    seen = [Committed(topic="t", partition=0, offset=2, seen_at_s=50.0)]
    assert charges(judge(produced, rows, seen), rows, Book(), batch=BATCH) == []
