"""What is done of a replay, and what is committed of a batch."""

from __future__ import annotations

from typing import Any

import pytest

from swarm_worker.admin.refusals import RefusedError
from swarm_worker.admin.replay import BATCH_MAX, Batch, Replay, Wanted
from swarm_worker.admin.selection import Filter, Progress


def wanted(per_s: float | None) -> Wanted:
    """Return what is asked for, at a rate."""
    return Wanted(
        filter=Filter(), most=None, per_s=per_s, is_dry=False, failing_alike=dict
    )


def test_all_is_committed_that_was_taken_in() -> None:
    """Where each message was acknowledged."""
    assert Batch(next_offsets={0: 8, 1: 3}).before({}) == {0: 8, 1: 3}


def test_nothing_is_committed_past_a_message_that_was_refused() -> None:
    """The first of each partition counts; what is before it is done."""
    why = RefusedError("too large")
    failed = {(0, 6): why, (0, 4): why, (0, 7): why}

    assert Batch(next_offsets={0: 8, 1: 3}).before(failed) == {0: 4, 1: 3}


def test_a_batch_is_what_a_second_may_have() -> None:
    """So a KILL repeats no more than that, and Ctrl-C waits no longer."""
    assert [wanted(rate).batch_max for rate in (None, 0.2, 7.5, 1e6)] == [
        BATCH_MAX, 1, 7, BATCH_MAX
    ]  # fmt: skip


class Interrupted:
    """A topic whose reading is ended, and who ends it."""

    topic = "orders.dlq"

    def __call__(self) -> bool:
        """Whether to end."""
        return True

    def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """Return where it begins and ends."""
        return {0: 0}, {0: 9}

    def own_progress(self) -> dict[int, int]:
        """Return nothing: none has begun."""
        return {}

    def others_progress(self, _ends: dict[int, int]) -> Progress:
        """Return nothing."""
        return Progress({})

    def messages(self, *_: object) -> tuple[()]:
        """Yield nothing more."""
        return ()


def test_a_look_that_was_ended_makes_no_plan() -> None:
    """What it has not seen would be told as if it were not there."""
    topic: Any = Interrupted()
    replay = Replay(topic, wanted(None), topic, topic)

    with pytest.raises(RefusedError, match="nothing was sent"):
        replay.plan()
