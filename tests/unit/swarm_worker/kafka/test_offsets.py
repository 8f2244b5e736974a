"""The last commit of a client, while its group rebalances."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from swarm_worker.app.app import Route
from swarm_worker.kafka import offsets
from swarm_worker.processing.lane import Lane

ROUTE = Route(
    topics=("t",), group="g", handler=lambda _: None, max_retries=None,
    dead_letter=None, max_messages=None,
)  # fmt: skip


class Client:
    """Answers commits as it is told, then takes them."""

    def __init__(self, *refusals: int) -> None:
        self.refusals = list(refusals)
        self.asked: list[dict[int, int]] = []

    def commit(self, **told: Any) -> list[TopicPartition]:
        """Refuse or take offsets."""
        self.asked.append({at.partition: at.offset for at in told["offsets"]})
        if self.refusals:
            raise KafkaException(KafkaError(self.refusals.pop(0)))
        offsets: list[TopicPartition] = told["offsets"]
        return offsets


def lane(partition: int) -> Lane:
    """A lane of which ten messages are done."""
    made = Lane("t", partition, ROUTE, moved_at_s=0.0)
    made.next_offset = 10
    return made


def commit(client: Client, lanes: list[Lane], **options: Any) -> dict[int, int]:
    """Commit, blocking; give what was taken."""
    taken = offsets.commit(client, lanes, group="g", wait=True, **options)  # type: ignore[arg-type]
    return {partition: offset for (_, partition), offset in taken.items()}


def test_commit_follows_a_rebalance_and_leaves_out_what_went_in_it() -> None:
    """What was revoked meanwhile is another's: its progress is not overwritten."""
    client = Client(KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION)
    left = [[lane(0), lane(1)], [lane(1)]]

    taken = commit(
        client, [lane(0), lane(1)], retry_for_s=10.0, follow=lambda: left.pop(0)
    )
    assert taken == {1: 10}
    assert client.asked == [{0: 10, 1: 10}, {0: 10, 1: 10}, {1: 10}]


def test_nothing_is_left_to_commit_after_a_rebalance() -> None:
    """Then nothing is asked for."""
    client = Client(KafkaError.REBALANCE_IN_PROGRESS)

    assert commit(client, [lane(0)], retry_for_s=10.0, follow=list) == {}
    assert client.asked == [{0: 10}]


@pytest.mark.parametrize(
    ("refusal", "retry_for_s"),
    [(KafkaError.REBALANCE_IN_PROGRESS, 0.0), (KafkaError.UNKNOWN_MEMBER_ID, 10.0)],
)
def test_refusal_that_does_not_pass_is_told(
    refusal: int, retry_for_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the reason; so is one that has lasted too long."""
    client = Client(refusal)

    assert commit(client, [lane(0)], retry_for_s=retry_for_s, follow=list) == {}
    assert len(client.asked) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("commit_failed group=g reason=")


@pytest.mark.parametrize(
    ("topic_id", "keeps_id", "metadata"),
    [("A", True, "swarm topic_id=A"), ("A", False, ""), (None, True, "")],
)
@pytest.mark.parametrize("leader_epoch", [None, 3])
def test_the_topics_id_stands_with_the_offset(
    topic_id: str | None, metadata: str, leader_epoch: int | None, *, keeps_id: bool
) -> None:
    """Unless it is not known, or Kafka does not take it."""
    made = lane(0)
    made.topic_id, made.keeps_id = topic_id, keeps_id
    made.leader_epoch = leader_epoch
    at = offsets._next_of(made)
    assert (at.offset, at.metadata, at.leader_epoch) == (10, metadata, leader_epoch)
