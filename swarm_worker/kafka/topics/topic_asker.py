"""The thread that asks: for ids of topics, what is committed, and where logs end.

It has clients of its own, since a call of the node's would hold up its polls. None of
its requests is an admin client's to a coordinator: these can abort the process when the
broker is frozen (librdkafka issue 4605).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)

from swarm_worker.kafka.client.properties import connection_of
from swarm_worker.kafka.errors import text_of
from swarm_worker.kafka.topic_ids import NO_ID, Answer, Commit, topic_id_in
from swarm_worker.kafka.topics.log_ends import ask_ends
from swarm_worker.kafka.topics.topic_memory import TopicMemory
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.processing.lane import Key
from swarm_worker.shared.redaction import without_secrets

if TYPE_CHECKING:
    from confluent_kafka.admin import (  # type: ignore[attr-defined] # lacks __all__
        AdminClient,
        TopicDescription,
    )

ANSWER_S: Final = 5.0  # for each of the two requests

_MISSING: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID}
)
# Time does not change these.
_REFUSALS: Final = frozenset(
    {
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001 - librdkafka's own code
    }
)
_NO_CONTROLLER: Final = "the cluster has no controller, which would be asked for them"
_NO_IDS: Final = "the broker gives topics no ids, as before Kafka 2.8"

# What making a client or asking it may raise: a token that does not come, too.
_FAILURES: Final = (KafkaException, RuntimeError, TimeoutError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked.

    Attributes:
        topics: Whose ids.
        partitions: Of which the commit is wanted.
        settled: Ids that the next process of this node is to know, for all that is held
            is begun in their logs.
    """

    topics: tuple[str, ...]
    partitions: tuple[Key, ...] = ()
    settled: Mapping[str, str] = field(default_factory=dict)


class TopicAsker(OwnThread):
    """Asks for one group, one question at a time.

    `ask`, `answer`, `ask_ends` and `ends` never block.
    """

    def __init__(
        self, properties: Mapping[str, Any], group: str, memory: TopicMemory | None
    ) -> None:
        """Prepare; nothing is connected before `start`."""
        super().__init__(f"swarm-topics-{group}")
        # Nobody serves their logs and errors: what is wrong, the consumer tells.
        self._connection = {**connection_of(properties), "log_level": 0}
        self._connection.pop("debug", None)
        self._properties = properties
        self._group = group
        self._memory = memory
        self._cluster: str | None = None
        self._can_ask = False
        # Those in a tuple are about the ends of partitions.
        self._questions: SimpleQueue[Question | tuple[Key, ...] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Question, Answer]] = SimpleQueue()
        self._ends: SimpleQueue[Mapping[Key, int]] = SimpleQueue()
        self._admin: AdminClient | None = None
        self._reader: Consumer | None = None

    def close(self) -> None:
        """End the thread once it has its answer; does not wait for that."""
        self._questions.put(None)

    def ask(self, question: Question) -> None:
        """Ask; the answer comes, whatever happens."""
        self._questions.put(question)

    def answer(self) -> tuple[Question, Answer] | None:
        """Return the next answer with its question, or None."""
        try:
            return self._answers.get_nowait()
        except Empty:
            return None

    def ask_ends(self, partitions: Collection[Key]) -> None:
        """Ask for the ends of partitions; the answer comes, whatever happens."""
        self._questions.put(tuple(partitions))

    def ends(self) -> Mapping[Key, int] | None:
        """Return the next answer, with the ends that were told; None without one."""
        return None if self._ends.empty() else self._ends.get_nowait()

    # --- on the thread ----------------------------------------------------------------

    def _run(self) -> None:
        is_first = True  # an assignment is about to come: the reader may connect
        while (question := self._questions.get()) is not None:
            if not isinstance(question, Question):
                self._ask_ends(question)
                continue
            answer = self._answer_to(question, keeps_reader=is_first)
            failure = without_secrets(answer.failure, self._properties)
            self._answers.put((question, replace(answer, failure=failure)))
            is_first = False
        self._close_reader()
        self._admin = None

    def _answer_to(self, question: Question, *, keeps_reader: bool) -> Answer:
        try:
            lacks_controller = self._lacks_controller(question.topics[0])
            asked = {} if lacks_controller else self._describe(question.topics)
        except _FAILURES as error:
            return Answer(failure=text_of(error))
        commits, unread = self._commits(question, keeps_reader=keeps_reader)
        answer = _ids_of(asked)
        if lacks_controller:
            answer = Answer(refused=dict.fromkeys(question.topics, _NO_CONTROLLER))
        return replace(
            answer,
            commits=commits,
            former=self._recalled(answer.ids, question.settled),
            failure=answer.failure or unread,
        )

    def _ask_ends(self, partitions: tuple[Key, ...]) -> None:
        """Ask; the answer is not awaited: questions about topics may follow it."""
        try:
            ask_ends(self._open_admin(), partitions, self._ends.put)
        except _FAILURES:
            self._ends.put({})

    def _lacks_controller(self, topic: str) -> bool:
        """Whether nobody would answer; as librdkafka's mock cluster. Asked until not.

        By a consumer: it does not make the topic that it asks for.
        """
        if self._can_ask:
            return False
        cluster = self._open_reader().list_topics(topic, timeout=ANSWER_S)
        self._can_ask = cluster.controller_id in cluster.brokers
        return not self._can_ask

    def _recalled(
        self, ids: Mapping[str, str], settled: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Return what was known, which is asked for once; keep what is."""
        if self._memory is None or self._admin is None:
            return {}
        former: Mapping[str, str] = {}
        if self._cluster is None:
            with suppress(*_FAILURES):  # the next question is another chance
                self._cluster = self._admin.cluster_id(timeout=ANSWER_S)
            if self._cluster is None:
                return {}
            former = self._memory.recall(self._cluster, self._group)
        first = {**ids, **former}
        self._memory.keep(self._cluster, self._group, first, settled=settled)
        return former

    def _describe(
        self, topics: tuple[str, ...]
    ) -> Mapping[str, Future[TopicDescription]]:
        wanted = TopicCollection(list(topics))
        return self._open_admin().describe_topics(wanted, request_timeout=ANSWER_S)

    def _open_admin(self) -> AdminClient:
        if self._admin is None:
            # Takes 8 ms, for which no poll has to wait.
            from confluent_kafka.admin import AdminClient  # noqa: PLC0415

            self._admin = AdminClient(self._connection)
        self._admin.poll(0)
        return self._admin

    def _commits(
        self, question: Question, *, keeps_reader: bool
    ) -> tuple[Mapping[Key, Commit], str]:
        """Return what is committed, and why something of it is not known.

        Read by a consumer that never subscribes, so is no member of the group. It is
        kept only for as long as assignments come.
        """
        if not (question.partitions or keeps_reader):
            self._close_reader()
            return {}, ""
        try:
            reader = self._open_reader()
            if not question.partitions:
                return {}, ""
            wanted = [TopicPartition(*key) for key in question.partitions]
            answer = reader.committed(wanted, timeout=ANSWER_S)
        except _FAILURES as error:
            return {}, text_of(error)
        commits = {
            (at.topic, at.partition): _commit_of(at)
            for at in answer
            if at.error is None
        }
        failures = [at.error.str() for at in answer if at.error is not None]
        return commits, failures[0] if failures else ""

    def _open_reader(self) -> Consumer:
        if self._reader is None:
            self._reader = Consumer({**self._connection, "group.id": self._group})
        return self._reader

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _commit_of(at: TopicPartition) -> Commit:
    if at.offset < 0:  # a name of librdkafka's for none
        return Commit(None)
    return Commit(at.offset, topic_id_in(at.metadata))


def _ids_of(asked: Mapping[str, Future[TopicDescription]]) -> Answer:
    """Wait for what is told of each topic."""
    ids: dict[str, str] = {}
    missing: list[str] = []
    refused: dict[str, str] = {}
    without_id: list[str] = []
    failure = ""
    for topic, future in asked.items():
        try:
            topic_id = str(future.result(2 * ANSWER_S).topic_id).rstrip("=")
        except KafkaException as error:
            code, text = error.args[0].code(), text_of(error)
            if code in _MISSING:
                missing.append(topic)
            elif code in _REFUSALS:
                refused[topic] = text
            else:
                failure = text
        except TimeoutError:
            failure = "no answer"
        else:
            if topic_id == NO_ID:
                refused[topic] = _NO_IDS
                without_id.append(topic)
            else:
                ids[topic] = topic_id
    return Answer(
        ids=ids,
        missing=missing,
        refused=refused,
        without_id=without_id,
        failure=failure,
    )
