"""What a group is known to have heard of a node's topics."""

from __future__ import annotations

import pytest

from swarm_worker.kafka.subscribed_topics import SubscribedTopics


class Slot:
    """Keeps what one process leaves for the next."""

    def __init__(self, before: set[str] | None) -> None:
        self.kept: list[set[str]] = []
        self._before = None if before is None else frozenset(before)

    def begin(self, *topics: str, outlives_member: bool = True) -> SubscribedTopics:
        """Begin a process that subscribes to topics."""
        return SubscribedTopics(
            topics,
            before=self._before,
            keep=lambda topics: self.kept.append(set(topics)),
            outlives_member=outlives_member,
        )


def test_topics_that_were_taken_up_or_given_up_are_changed_until_accepted() -> None:
    """Then the group goes by those of this process, which the next one is to know."""
    slot = Slot({"a", "b"})
    topics = slot.begin("b", "c")
    assert topics.changed == {"a", "c"}

    for _ in range(2):
        topics.accepted()
        assert topics.changed == frozenset()
    assert slot.kept == [{"b", "c"}]


def test_what_has_not_changed_is_not_written_again() -> None:
    """A restart costs no write to the disk."""
    slot = Slot({"a"})
    topics = slot.begin("a")
    assert topics.changed == frozenset()
    topics.accepted()

    assert slot.kept == []


@pytest.mark.parametrize(("before", "outlives_member"), [(None, True), ({"b"}, False)])
def test_a_group_that_does_not_go_by_former_topics_has_none_changed(
    before: set[str] | None, *, outlives_member: bool
) -> None:
    """The next process is told all the same: it may be a static member."""
    slot = Slot(before)
    topics = slot.begin("a", outlives_member=outlives_member)
    assert topics.changed == frozenset()
    topics.accepted()

    assert slot.kept == [{"a"}]
