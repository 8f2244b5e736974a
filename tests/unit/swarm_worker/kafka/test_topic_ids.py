"""The id of a topic beside an offset, and what it tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.kafka.topic_ids import (
    ASK_AGAIN_MAX_S,
    ASK_AGAIN_S,
    ASK_EVERY_S,
    Commit,
    id_of_commit,
    metadata_of,
    next_delay_s,
    topic_id_in,
)
from swarm_worker.kafka.topics.topic_changes import (
    BROKERS_LAG_S,
    OUTDATED_S,
    SHARED_WITHIN_S,
    UNSHARED_S,
    TopicChanges,
)

ID = "OGUkp0UJRr+nuzoN28V5Ag"


def test_what_is_written_is_read() -> None:
    """And is short: brokers bound it, by 4096 bytes unless told otherwise."""
    assert topic_id_in(metadata_of(ID)) == ID
    assert len(metadata_of(ID)) < 64
    assert metadata_of(None) == ""


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "swarm",
        "swarm topic_id=",
        f"topic_id={ID}",
        f"other topic_id={ID}",
        f"Swarm topic_id={ID}",
        f'{{"topic_id": "{ID}"}}',
        "swarm topic_id=a topic_id=b",
        "swarm topic_id=" + "x" * 65,
        "my own note about swarm topic_id=x",
    ],
)
def test_what_others_have_written_is_no_id(metadata: str | None) -> None:
    """Of which log such an offset is, is not known."""
    assert topic_id_in(metadata) is None


def test_a_later_version_may_write_more() -> None:
    """What is not known of it is passed over."""
    assert topic_id_in(f"swarm v=2 topic_id={ID} node=7") == ID


@given(st.text())
def test_any_text_is_read(metadata: str) -> None:
    """Nothing that stands there raises."""
    told = topic_id_in(metadata)
    assert told is None or told in metadata


@pytest.mark.parametrize("first_known", [None, "old"])
def test_the_id_beside_the_offset_counts(first_known: str | None) -> None:
    """Whatever this node has known of the topic; without an id nothing is known."""
    assert id_of_commit(Commit(5, "own"), first_known=first_known) == "own"
    assert id_of_commit(Commit(5), first_known=first_known) is None


def test_without_an_offset_it_is_the_log_that_the_node_has_known_first() -> None:
    """Kafka has forgotten the offsets of the old log with its topic."""
    assert id_of_commit(Commit(None), first_known="old") == "old"
    assert id_of_commit(Commit(None), first_known=None) is None


def test_what_is_open_is_asked_for_again_soon_and_then_less_often() -> None:
    """Each half minute where nothing is."""
    delays, delay_s = [], ASK_EVERY_S
    for _ in range(5):
        delay_s = next_delay_s(delay_s, is_complete=False)
        delays.append(delay_s)
    assert delays[0] == ASK_AGAIN_S
    assert delays == sorted(delays)
    assert delays[-1] == ASK_AGAIN_MAX_S
    assert next_delay_s(delay_s, is_complete=True) == ASK_EVERY_S == 30.0


def made_anew(
    *topics: str,
    there_s: float,
    back_s: float,
    assigned_at_s: float | None = None,
    node: int = 0,
) -> TopicChanges:
    """Return what a client knows of topics that were there, and then were others."""
    changes = TopicChanges(node=node)
    if assigned_at_s is not None:
        changes.assigned(now_s=assigned_at_s)
    for topic_id, at_s in (("A", there_s), ("B", back_s)):
        changes.note(dict.fromkeys(topics, topic_id), asked_at_s=at_s, now_s=at_s)
    return changes


def test_a_client_is_outdated_where_both_have_lasted() -> None:
    """That the topic is another one, and that nothing is told of it since then."""
    silent = {("u", 0): 0.0, ("t", 1): 0.0, ("t", 0): 100.0}
    changes = made_anew("t", there_s=0.0, back_s=50.0)

    assert TopicChanges(node=0).outdated(silent, now_s=1_000.0) == []
    assert changes.outdated({}, now_s=1_000.0) == []
    assert changes.outdated(silent, now_s=50.0) == []
    assert changes.outdated(silent, now_s=50.0 + OUTDATED_S) == [("t", 1)]
    at_s = 100.0 + OUTDATED_S
    assert changes.outdated(silent, now_s=at_s) == [("t", 0), ("t", 1)]


def test_a_topic_is_unshared_where_it_may_have_been_away_when_all_was_shared_out() -> (
    None
):
    """From when the former one was there to when the new one was seen, and a bit."""
    early_s, late_s = 100.0 - BROKERS_LAG_S, 130.0 + SHARED_WITHIN_S

    def judged(assigned_at_s: float | None) -> list[str]:
        changes = made_anew(
            "t", there_s=100.0, back_s=130.0, assigned_at_s=assigned_at_s
        )
        return changes.unshared((), now_s=1_000.0)

    assert judged(None) == judged(early_s - 0.1) == judged(late_s + 0.1) == []
    assert judged(early_s) == judged(late_s) == ["t"]


def test_a_topic_of_which_this_node_holds_something_is_not_unshared() -> None:
    """All of a topic is shared out, or nothing."""
    changes = made_anew("u", "t", "s", there_s=0.0, back_s=10.0, assigned_at_s=5.0)
    assert changes.unshared({"t"}, now_s=99.0) == ["s", "u"]


@pytest.mark.parametrize(
    ("node", "after_s"), [(0, 10.0), (1, 15.0), (3, 25.0), (10, 60.0), (999, 60.0)]
)
def test_nodes_find_topics_unshared_one_after_the_other(
    node: int, after_s: float
) -> None:
    """The first that mends it does so for all."""
    changes = made_anew("t", there_s=0.0, back_s=100.0, assigned_at_s=50.0, node=node)
    assert changes.unshared((), now_s=100.0 + after_s - 0.1) == []
    assert changes.unshared((), now_s=100.0 + after_s) == ["t"]


def test_the_first_to_mend_is_seen_by_the_others() -> None:
    """What is shared out by then is not taken for what was shared out before."""
    assert UNSHARED_S > SHARED_WITHIN_S + ASK_AGAIN_MAX_S - 1.0
