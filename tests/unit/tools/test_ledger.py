"""The ledger finds each kind of fault, and none where there is none."""

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.apps.processed import Life, Processed
from tests.ledger import (
    UNTOLD,
    Committed,
    Produced,
    Verdict,
    judge,
    left_behind,
    placed,
)

A = Life(0, 100, 1.0)
B = Life(1, 200, 1.0)
A_AGAIN = Life(0, 300, 50.0)


def produced(*offsets: int, partition: int = 0) -> list[Produced]:
    """Acknowledged messages whose id is 1000 times the partition plus the offset."""
    return [
        Produced(topic="t", partition=partition, offset=o, id=1000 * partition + o)
        for o in offsets
    ]


def line(
    life: Life, offset: int, *, at_s: float, took_s: float = 0.5, partition: int = 0
) -> Processed:
    """One message done at ``at_s``."""
    return Processed(
        life=life,
        topic="t",
        partition=partition,
        offset=offset,
        id=1000 * partition + offset,
        begun_at_s=at_s - took_s,
        done_at_s=at_s,
    )


def lines(life: Life, offsets: Iterable[int], *, from_s: float) -> list[Processed]:
    """One message a second, in the order given."""
    return [line(life, o, at_s=from_s + n) for n, o in enumerate(offsets)]


def sample(offset: int, *, at_s: float, partition: int = 0) -> Committed:
    """A committed offset, read at ``at_s``."""
    return Committed(topic="t", partition=partition, offset=offset, seen_at_s=at_s)


def fault_names(verdict: Verdict) -> list[str]:
    """Names of the faults found."""
    return list(verdict.faults())


def test_run_without_faults_is_blameless() -> None:
    """All processed once, in order, committed afterwards: nothing to say."""
    verdict = judge(
        produced(0, 1, 2),
        lines(A, [0, 1, 2], from_s=10),
        [sample(1, at_s=10.1), sample(3, at_s=12.1)],
    )

    assert verdict.faults() == {}
    assert verdict.duplicates == []
    assert str(verdict) == "produced=3 processed=3 lost=0 duplicates=0"


def test_offsets_that_hold_no_message_are_no_gaps() -> None:
    """Transaction markers and compaction leave holes that nobody can process."""
    verdict = judge(
        produced(0, 3, 7), lines(A, [0, 3, 7], from_s=10), [sample(9, at_s=12)]
    )

    assert verdict.faults() == {}


def test_message_never_processed_is_lost() -> None:
    """The last message has no line: lost, yet nothing has jumped it."""
    verdict = judge(produced(0, 1), lines(A, [0], from_s=10))

    assert [row.offset for row in verdict.lost] == [1]
    assert fault_names(verdict) == ["lost"]
    assert "lost: 1\n  Produced(" in str(verdict)


def test_skipped_offset_is_lost_and_a_gap() -> None:
    """A node that skips an offset is convicted of both."""
    verdict = judge(produced(0, 1, 2), lines(A, [0, 2], from_s=10))

    assert fault_names(verdict) == ["lost", "gaps"]
    [gap] = verdict.gaps
    assert (gap.place, gap.life, gap.jumped_to) == (("t", 0, 1), A, 2)


def test_offset_caught_up_later_is_still_a_gap() -> None:
    """Out of order is a fault even when nothing is missing in the end."""
    verdict = judge(produced(0, 1, 2), lines(A, [0, 2, 1], from_s=10))

    assert fault_names(verdict) == ["gaps", "inversions"]
    assert not verdict.inversions[0].repeat


def test_first_message_of_a_life_may_not_jump() -> None:
    """A node that begins beyond what was done (`latest`) is convicted."""
    verdict = judge(
        produced(0, 1, 2, 3),
        [*lines(A, [0], from_s=10), *lines(A_AGAIN, [3, 1, 2], from_s=60)],
    )

    assert [gap.place[2] for gap in verdict.gaps] == [2, 1]
    assert {gap.life for gap in verdict.gaps} == {A_AGAIN}


def test_duplicate_is_charged_to_the_earlier_life() -> None:
    """What a killed node had not committed is done again by the next."""
    verdict = judge(
        produced(0, 1, 2),
        [*lines(A, [0, 1], from_s=10), *lines(A_AGAIN, [1, 2], from_s=60)],
    )

    assert verdict.faults() == {}
    assert verdict.duplicates_of() == {A: 1}
    assert verdict.duplicates[0].later == A_AGAIN


def test_life_that_repeats_itself_is_no_fault() -> None:
    """A partition lost and regained before the commit is read again."""
    verdict = judge(produced(0, 1, 2), lines(A, [0, 1, 0, 1, 2], from_s=10))

    assert verdict.faults() == {}
    assert [i.repeat for i in verdict.inversions] == [True]
    assert verdict.duplicates_of() == {A: 2}


def test_commit_before_processing_is_found_when_sampled_between() -> None:
    """The offset read while its message was in work convicts the node."""
    verdict = judge(
        produced(0, 1, 2),
        lines(A, [0, 1, 2], from_s=10),  # done at 10, 11, 12
        [sample(1, at_s=10.5), sample(3, at_s=11.5)],
    )

    assert fault_names(verdict) == ["committed too far"]
    assert verdict.too_far[0].unprocessed == 2


def test_commit_of_what_was_never_processed_is_found() -> None:
    """At the end of a run, one sample is enough."""
    verdict = judge(
        produced(0, 1, 2), lines(A, [0, 2], from_s=10), [sample(3, at_s=99)]
    )

    assert verdict.too_far[0].unprocessed == 1


def test_commit_read_at_the_moment_of_processing_is_none() -> None:
    """Equal times prove nothing."""
    verdict = judge(produced(0), lines(A, [0], from_s=10), [sample(1, at_s=10.0)])

    assert verdict.too_far == []


def test_committed_offset_that_goes_back_is_found() -> None:
    """A late commit of an owner that was replaced."""
    verdict = judge(
        produced(0, 1),
        lines(A, [0, 1], from_s=10),
        [sample(2, at_s=20), sample(1, at_s=21), sample(2, at_s=22)],
    )

    assert [s.seen_at_s for s in verdict.went_back] == [21]


def test_two_lives_of_one_node_at_once_are_found() -> None:
    """The old process still works after its successor began."""
    verdict = judge(
        [*produced(0, 1, 2), *produced(0, partition=1)],
        [
            *lines(A, [0, 1, 2], from_s=10),
            line(A_AGAIN, 0, at_s=11.5, partition=1),
        ],
    )

    [overlap] = verdict.slot_overlaps
    assert (overlap.earlier, overlap.later) == (A, A_AGAIN)
    assert fault_names(verdict) == ["two lives of one node"]


def test_lives_that_follow_each_other_do_not_overlap() -> None:
    """Nor do lives of different nodes, however they share the time."""
    verdict = judge(
        [*produced(0, 1, 2), *produced(0, 1, partition=1)],
        [
            *lines(A, [0, 1], from_s=10),
            line(B, 0, at_s=10.2, partition=1),
            line(B, 1, at_s=60.2, partition=1),
            line(A_AGAIN, 2, at_s=60),
        ],
    )

    assert verdict.slot_overlaps == []
    assert verdict.partition_overlaps == {}


def test_two_nodes_in_one_partition_at_once_are_told() -> None:
    """A thawed node finishes its message beside the new owner: told, no fault."""
    verdict = judge(
        produced(0, 1),
        [
            line(B, 0, at_s=20),
            line(A, 0, at_s=21, took_s=11),
            line(B, 1, at_s=22),
        ],
    )

    [overlap] = verdict.partition_overlaps["t", 0]
    assert (overlap.earlier, overlap.later) == (A, B)
    assert verdict.faults() == {}


def test_message_that_was_not_acknowledged_here_is_a_stranger() -> None:
    """Another id at a known place is one too: the topic was made anew."""
    foreign = line(A, 5, at_s=10)

    assert judge([], [foreign]).strangers == [foreign]
    [row] = produced(5)
    other = Produced(topic="t", partition=0, offset=5, id=row.id + 1)
    assert judge([other], [foreign]).strangers == [foreign]


def test_dead_letters_are_neither_lost_nor_jumped() -> None:
    """What was set aside with acknowledgement needs no line; commits may pass it."""
    verdict = judge(
        produced(0, 1, 2),
        lines(A, [0, 2], from_s=10),
        [sample(3, at_s=12)],
        set_aside=[("t", 0, 1)],
    )

    assert verdict.faults() == {}


Run = tuple[list[Produced], list[Processed], list[Committed]]
STEPS = st.lists(
    st.tuples(st.sampled_from(["process", "commit", "sample"]), st.integers(0, 1)),
    max_size=30,
)


def correct_run(ends: list[int], lives: list[list[tuple[str, int]]]) -> Run:
    """Play lives that follow each other, each from the commit, then one to the end.

    ``ends`` has the count of messages of each partition; steps beyond it do nothing.
    """
    committed = [0 for _ in ends]
    now_s = 100.0
    done: list[Processed] = []
    samples: list[Committed] = []
    to_the_end = [
        (act, p)
        for p, end in enumerate(ends)
        for act in [*["process"] * end, "commit", "sample"]
    ]
    for pid, steps in enumerate([*lives, to_the_end]):
        life, at = Life(0, pid, now_s), list(committed)
        for act, p in steps:
            now_s += 1
            if act == "process" and at[p] < ends[p]:
                done.append(line(life, at[p], at_s=now_s, partition=p))
                at[p] += 1
            elif act == "commit":
                committed[p] = at[p]
            elif act == "sample":
                samples.append(sample(committed[p], at_s=now_s, partition=p))
    messages = [
        m for p, end in enumerate(ends) for m in produced(*range(end), partition=p)
    ]
    return messages, done, samples


correct_runs = st.builds(
    correct_run,
    st.lists(st.integers(1, 12), min_size=2, max_size=2),
    st.lists(STEPS, max_size=5),
)


@given(correct_runs)
def test_correct_history_is_never_blamed(
    run: Run,
) -> None:
    """However lives end, messages repeat and samples fall: no fault is found."""
    assert judge(*run).faults() == {}


@given(correct_runs, st.data())
def test_removed_message_is_always_found(run: Run, data: st.DataObject) -> None:
    """Whatever message has no line: it is lost, and the commit beyond it too far."""
    messages, done, _ = run
    victim = data.draw(st.sampled_from(messages))
    left = [row for row in done if row.id != victim.id]
    last = sample(victim.offset + 1, at_s=1e9, partition=victim.partition)

    verdict = judge(messages, left, [last])

    assert verdict.lost == [victim]
    assert [t.unprocessed for t in verdict.too_far] == [victim.offset]


@given(correct_runs, st.data())
def test_commit_before_processing_is_found_at_every_sample_between(
    run: Run, data: st.DataObject
) -> None:
    """Whichever message: its offset seen committed while it was in work is too far."""
    messages, done, _ = run
    victim = data.draw(st.sampled_from(messages))
    first_done_at_s = min(row.done_at_s for row in done if row.id == victim.id)
    early = sample(
        victim.offset + 1, at_s=first_done_at_s - 0.1, partition=victim.partition
    )

    assert [t.unprocessed for t in judge(messages, done, [early]).too_far] == [
        victim.offset
    ]


def test_a_place_that_kafka_has_not_told_is_that_of_whoever_came_there() -> None:
    """A message that was sent again is acknowledged without an offset."""
    told = [replace(row, offset=UNTOLD) for row in produced(0, 1, 2)]
    rows = lines(A, [0, 1], from_s=10)

    verdict = judge(placed([*told[:2], *produced(2)], [*rows]), rows)
    assert fault_names(verdict) == ["lost"]
    assert [row.id for row in verdict.lost] == [2]

    verdict = judge(placed(told, rows), rows)
    assert [row.id for row in verdict.lost] == [2]


def test_what_went_with_its_log_is_not_lost() -> None:
    """But what was jumped in it was."""
    told, rows = produced(0, 1, 2, 3), lines(A, [0, 2], from_s=10)
    ended = left_behind(told, rows, ["t"])

    assert ended == [("t", 0, 3)]
    assert left_behind(told, rows, ["u"]) == []
    assert len(left_behind(told, rows, ["t"], unnoticed=["t"])) == len(told)
    verdict = judge(told, rows, set_aside=ended)
    assert [row.offset for row in verdict.lost] == [1]


def test_the_message_behind_one_that_fails_may_come_first() -> None:
    """One, not two; and only where a node is known to try it."""
    tried, jumped = [1, 0, 1, 2], [1, 2, 0, 1, 2]

    def gaps_of(offsets: list[int], *, tries_next: bool) -> list[int]:
        rows = lines(A, offsets, from_s=10)
        verdict = judge(produced(0, 1, 2), rows, tries_next=tries_next)
        return [gap.place[2] for gap in verdict.gaps]

    assert gaps_of(tried, tries_next=True) == []
    assert gaps_of(tried, tries_next=False) == [0]
    assert gaps_of(jumped, tries_next=True) == [0]


def test_a_repeat_tells_why_its_first_time_was_not_committed() -> None:
    """It came ahead of one that failed; or it was, and the offset went back."""
    rows = [*lines(A, [1, 0, 1], from_s=10), *lines(A_AGAIN, [0, 1], from_s=20)]
    verdict = judge(produced(0, 1), rows, [sample(1, at_s=13), sample(0, at_s=19)])

    told = [(d.place[2], d.is_ahead, d.was_committed) for d in verdict.duplicates]
    assert told == [(1, True, False), (0, False, True), (1, False, False)]
