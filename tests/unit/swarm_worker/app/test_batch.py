"""A batch: a sequence with marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.app.batch import Batch, message


def test_batch_is_a_sequence_of_messages() -> None:
    """It has a length, can be indexed, sliced and iterated again."""
    batch = Batch.of("a", b"b", None, topic="orders", partition=3, node=2)

    assert (batch.topic, batch.partition, batch.node) == ("orders", 3, 2)
    assert len(batch) == 3
    assert (
        [m.value() for m in batch] == [m.value() for m in batch] == [b"a", b"b", None]
    )
    assert [m.offset() for m in batch[1:]] == [1, 2]
    assert batch[-1].partition() == 3


def test_batch_to_test_with_takes_whole_messages() -> None:
    """Key, headers, offset and timestamp of a message are as the test wants them."""
    made = message("x", key=b"k", headers=[("h", b"1")], offset=7, timestamp_ms=1_000)
    (seen,) = Batch.of(made)

    assert (seen.key(), seen.headers(), seen.offset()) == (b"k", [("h", b"1")], 7)
    assert seen.timestamp()[1] == 1_000


def test_batch_is_never_empty() -> None:
    """There is no batch without messages."""
    with pytest.raises(ValueError, match="at least one message"):
        Batch.of()


def test_marks_in_order_move_the_position() -> None:
    """The position is the first message that is not done."""
    batch = Batch.of("a", "b", "c", topic="t", first_offset=10)

    assert (batch.done_count, batch.position) == (0, "t/0@10")
    batch.mark_done(batch[0])
    batch.mark_done(batch[0])
    assert (batch.done_count, batch.position) == (1, "t/0@11")


def test_marks_beyond_a_gap_count_once_it_is_closed() -> None:
    """A handler that works on messages side by side may finish them in any order."""
    batch = Batch.of("a", "b", "c", "d", topic="t", first_offset=10)

    batch.mark_done(batch[1])
    batch.mark_done(batch[2])
    assert (batch.done_count, batch.position) == (0, "t/0@10")
    batch.mark_done(batch[0])
    assert (batch.done_count, batch.position) == (3, "t/0@13")


def test_message_of_another_batch_is_refused() -> None:
    """Whatever differs: offset, partition or topic."""
    batch = Batch.of("a", "b", topic="t", first_offset=10)

    for stranger in (
        message("a", topic="t", offset=12),
        message("a", topic="t", partition=1, offset=10),
        message("a", topic="u", offset=10),
    ):
        with pytest.raises(ValueError, match="expected a message of this batch"):
            batch.mark_done(stranger)
    assert batch.done_count == 0


@given(st.integers(1, 30), st.data())
def test_done_is_what_has_no_gap_before_it(size: int, data: st.DataObject) -> None:
    """In whatever order messages are marked, with gaps in the offsets too."""
    batch = Batch.of(*(message("x", offset=3 * n) for n in range(size)))
    marked: set[int] = set()
    for index in data.draw(st.lists(st.integers(0, size - 1))):
        batch.mark_done(batch[index])
        marked.add(index)
        assert batch.done_count == next(n for n in range(size + 1) if n not in marked)
