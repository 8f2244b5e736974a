"""What a topic holds, counted."""

from __future__ import annotations

from swarm_worker.admin.dead_letter import DeadLetter
from swarm_worker.admin.selection import Fate
from swarm_worker.admin.survey import Survey

AT_MS = 1_795_516_543_518


def letter(
    error: str = "ValueError", *, topic: str = "orders", replays: int = 0
) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(
        topic=topic,
        partition=1,
        offset=7,
        error=error,
        text="no \x1b[31mprice",
        replays=replays,
        headers=(),
    )


def survey() -> Survey:
    """Return one of two origins, and a message of somebody else's."""
    made = Survey()
    made.add(letter(), Fate.DONE, "dlq/0@1", AT_MS + 5_000)
    made.add(letter(replays=1), Fate.REPLAY, "dlq/0@2", AT_MS + 9_000)
    made.add(letter(), Fate.ATTEMPTS, "dlq/1@0", AT_MS)
    made.add(letter("E", topic="refunds"), Fate.REPLAY, "dlq/1@3", -1)
    made.add(None, Fate.FOREIGN, "dlq/1@4", AT_MS)
    return made


def test_it_counts_by_origin_and_error() -> None:
    """With first and last, and what became of each; the most frequent first."""
    often, seldom = survey().as_json()

    assert often == {
        "origin": "orders",
        "error": "ValueError",
        "count": 3,
        "first": "2026-11-24T10:35:43Z",
        "last": "2026-11-24T10:35:52Z",
        "replayed": 1,
        "waiting": 1,
        "stay": 1,
        "failed_again": 1,
        "last_at": "dlq/0@2",
        "last_origin": "orders/1@7",
        "last_text": "no \x1b[31mprice",
    }
    assert (seldom["origin"], seldom["first"], seldom["last"]) == (
        "refunds",
        None,
        None,
    )


def test_all_are_counted() -> None:
    """Those of nobody's, too."""
    made = survey()

    assert made.count == 4
    assert made.origins == {"orders": 3, "refunds": 1}
    assert [made.of(fate) for fate in Fate] == [2, 0, 1, 1, 1]


def test_its_table_steers_no_terminal() -> None:
    """Its texts are of whoever wrote the messages."""
    title, *lines = survey().table()

    assert title.split() == [
        "ORIGIN", "ERROR", "COUNT", "WAITING", "REPLAYED", "STAY"
    ]  # fmt: skip
    assert lines[1] == "  from 2026-11-24T10:35:43Z to 2026-11-24T10:35:52Z"
    assert lines[2] == "  last: dlq/0@2, of orders/1@7: no ?[31mprice"


def test_a_time_that_no_calendar_has_is_unknown() -> None:
    """A producer may have written any number."""
    made = Survey()
    made.add(letter(), Fate.REPLAY, "dlq/0@0", 2**62)

    assert made.as_json()[0]["last"] is None
