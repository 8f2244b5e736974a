"""What a dead-letter topic is asked while its broker starts; without Kafka."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import (  # type: ignore[attr-defined] # lacks __all__
    ListConsumerGroupsResult,
)

from swarm_worker.admin.refusals import RefusedError
from swarm_worker.admin.topic import DeadLetterTopic

LOADS = KafkaError.COORDINATOR_LOAD_IN_PROGRESS
FORBIDDEN = KafkaError.GROUP_AUTHORIZATION_FAILED


class GroupsOf:
    """Answers about groups, as an admin client does: errors stand in the answer."""

    def __init__(self, *codes: int) -> None:
        """Answer with these errors, then without one."""
        self.codes = list(codes)

    def list_consumer_groups(
        self, *, request_timeout: float
    ) -> Future[ListConsumerGroupsResult]:
        """Answer once; ``request_timeout`` is in seconds."""
        assert request_timeout > 0
        answer: Future[ListConsumerGroupsResult] = Future()
        errors = [KafkaError(self.codes.pop(0))] if self.codes else []
        answer.set_result(
            ListConsumerGroupsResult(
                valid=[SimpleNamespace(group_id="another")],  # type: ignore[list-item]
                errors=errors,  # type: ignore[arg-type] # its hint is wrong
            )
        )
        return answer


@pytest.fixture
def topic() -> DeadLetterTopic:
    """Without a broker behind it."""
    return DeadLetterTopic({"bootstrap.servers": "127.0.0.1:1"}, "t.dlq", None)


def test_groups_are_asked_for_again_while_their_broker_starts(
    topic: DeadLetterTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so within its answer, which is whole but for that."""
    groups = GroupsOf(LOADS, LOADS)
    monkeypatch.setattr(DeadLetterTopic, "_admin", groups)
    topic.others_progress({})
    assert not groups.codes


def test_another_error_is_a_refusal(
    topic: DeadLetterTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an answer about groups it is told as of any other."""
    monkeypatch.setattr(DeadLetterTopic, "_admin", GroupsOf(FORBIDDEN))
    with pytest.raises(RefusedError, match=r"cannot list groups: .*grant"):
        topic.others_progress({})


def test_offsets_are_asked_for_again_while_their_broker_starts(
    topic: DeadLetterTopic,
) -> None:
    """Each partition has its own answer."""
    answers = [
        [SimpleNamespace(partition=0, offset=-1001, error=KafkaError(LOADS))],
        [SimpleNamespace(partition=0, offset=7, error=None)],
    ]
    one_partition = SimpleNamespace(error=None, partitions={0: None})
    topic._consumer = SimpleNamespace(  # type: ignore[assignment]
        list_topics=lambda *_, **__: SimpleNamespace(topics={"t.dlq": one_partition}),
        committed=lambda *_, **__: answers.pop(0),
        poll=lambda _: None,
    )
    assert topic.own_progress() == {0: 7}
