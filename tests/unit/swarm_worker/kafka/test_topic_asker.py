"""What the answers about topics mean; without Kafka."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
    Uuid,
)

from swarm_worker.kafka.topic_ids import Commit
from swarm_worker.kafka.topics.log_ends import ask_ends
from swarm_worker.kafka.topics.topic_asker import (
    TopicAsker,
    _commit_of,
    _ids_of,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient


def answered(value: object) -> Future[Any]:
    """A topic's description, or the error that came in its place."""
    future: Future[Any] = Future()
    if isinstance(value, int):
        future.set_exception(KafkaException(KafkaError(value)))
    elif isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(SimpleNamespace(topic_id=value))
    return future


def test_an_id_is_told_as_text() -> None:
    """The same for the same topic, and another for another."""
    told = [_ids_of({"t": answered(Uuid(1, n))}).ids["t"] for n in (2, 2, 3)]
    assert told[0] == told[1] != told[2]
    assert len(told[0]) == 22


def test_a_broker_without_ids_has_refused() -> None:
    """As one before Kafka 2.8: it says that the id is zero."""
    assert "no ids" in _ids_of({"t": answered(Uuid(0, 0))}).refused["t"]


@pytest.mark.parametrize(
    ("code", "field"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "missing"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "refused"),
        (KafkaError.UNSUPPORTED_VERSION, "refused"),
        (KafkaError._UNSUPPORTED_FEATURE, "refused"),
        (KafkaError._TIMED_OUT, "failure"),
        (KafkaError._TRANSPORT, "failure"),
        (KafkaError.NOT_CONTROLLER, "failure"),
    ],
)
def test_an_error_is_of_its_topic(code: int, field: str) -> None:
    """And is one that passes, or one that does not; other topics are told."""
    answer = _ids_of({"t": answered(code), "u": answered(Uuid(1, 2))})
    assert set(answer.ids) == {"u"}
    for name in ("missing", "refused", "failure"):
        assert bool(getattr(answer, name)) == (name == field)


def test_an_answer_that_does_not_come_is_no_answer() -> None:
    """Nothing is known of the topic then."""
    answer = _ids_of({"t": answered(TimeoutError())})
    assert (answer.ids, answer.failure) == ({}, "no answer")


def test_what_is_committed_is_read() -> None:
    """librdkafka has a name, -1001, for nothing."""
    assert _commit_of(TopicPartition("t", 0, -1001)) == Commit(None)
    assert _commit_of(TopicPartition("t", 0, 0, "swarm topic_id=A")) == Commit(0, "A")
    assert _commit_of(TopicPartition("t", 0, 7, "a note")) == Commit(7, None)


# --- the ends of logs -----------------------------------------------------------------


class FakeAdmin:
    """Is asked about ends, as an admin client is; answers when told to."""

    def __init__(self) -> None:
        self.asked: dict[TopicPartition, Future[Any]] = {}
        self.options: dict[str, Any] = {}

    def poll(self, timeout_s: float) -> None:
        """Serve nothing."""

    def list_offsets(
        self, asked: dict[TopicPartition, Any], **options: Any
    ) -> dict[TopicPartition, Future[Any]]:
        """Take the question."""
        self.options = options
        self.asked = {at: Future() for at in asked}
        return self.asked

    def answer(self, *answers: object) -> None:
        """Answer: one for each partition, in their order."""
        for future, answer in zip(self.asked.values(), answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(SimpleNamespace(offset=answer))


def test_ends_are_those_that_were_told() -> None:
    """What has timed out has no error, and -1001 in place of an offset."""
    admin, told = FakeAdmin(), SimpleQueue[Any]()
    ask_ends(cast("AdminClient", admin), [("t", n) for n in range(4)], told.put)
    assert told.empty()

    refused = KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    admin.answer(70, -1001, refused, 0)
    assert told.get_nowait() == {("t", 0): 70, ("t", 3): 0}
    assert told.empty()
    assert admin.options["isolation_level"] is IsolationLevel.READ_UNCOMMITTED


def test_no_thread_waits_for_ends() -> None:
    """A leader that does not answer holds up no question, and the end of no node."""
    asker, admin = TopicAsker({}, "g", None), FakeAdmin()
    asker._admin = cast("AdminClient", admin)
    asker.ask_ends([("t", 0)])
    asker.close()
    asker._run()
    assert asker.ends() is None
    admin.answer(7)
    assert asker.ends() == {("t", 0): 7}


def test_a_client_that_cannot_ask_has_told_of_no_end() -> None:
    """The answer comes, whatever happens: without one nobody would ask again."""
    asker = TopicAsker({"security.protocol": "none such"}, "g", None)
    asker.ask_ends([("t", 0)])
    asker.close()
    asker._run()
    assert asker.ends() == {}
