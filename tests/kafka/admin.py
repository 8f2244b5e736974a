"""What tests ask a broker to do and to tell, through an admin client of their own."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # lacks __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from tests.eventually import eventually

TIMEOUT_S = 10.0
NOT_YET = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


class Admin:
    """One admin client; every call is over, and seen by others, when it returns.

    All methods block for at most ``TIMEOUT_S`` seconds or what they are given.

    Raises:
        KafkaException: The broker refused, or did not answer in time.
        AssertionError: It answered, but what was asked for did not come about.
    """

    def __init__(self, bootstrap: str) -> None:
        self._config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": bootstrap,
            "reconnect.backoff.max.ms": 200,
            # 0: not even errors. An absent broker is often the test's subject.
            "log_level": 0,
        }
        self._client = AdminClient(self._config)
        self._readers: dict[str, Consumer] = {}

    def close(self) -> None:
        """Close connections; the next call would open them again."""
        while self._readers:
            self._readers.popitem()[1].close()

    def brokers(self, *, timeout_s: float = TIMEOUT_S) -> int:
        """Count of brokers in the cluster; the question that tells "it answers"."""
        return len(self._client.list_topics(timeout=timeout_s).brokers)

    def create_topic(
        self, name: str, partitions: int, config: Mapping[str, str]
    ) -> None:
        """Create a topic and wait until it can be used."""
        topic = NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=-1,  # the broker's default
            config=dict(config),
        )
        _result(self._client.create_topics([topic]))
        self._await_leaders(name, partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        _result(self._client.delete_topics([name]))
        eventually(
            lambda: name not in self._client.list_topics(timeout=TIMEOUT_S).topics,
            describe=f"topic {name} is gone",
        )

    def add_partitions(self, name: str, total: int) -> None:
        """Raise a topic's count of partitions to ``total``."""
        _result(self._client.create_partitions([NewPartitions(name, total)]))
        self._await_leaders(name, total)

    def set_group_config(self, group: str, config: Mapping[str, str]) -> None:
        """Set a group's own properties, such as ``consumer.session.timeout.ms``."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource(
            ResourceType.GROUP, group, incremental_configs=entries
        )
        _result(self._client.incremental_alter_configs([resource]))

    def committed(
        self, group: str, topic: str, *, timeout_s: float = TIMEOUT_S
    ) -> dict[int, int]:
        """Committed offset by partition; see `commits`."""
        found = self.commits(group, topic, timeout_s=timeout_s)
        return {partition: offset for partition, (offset, _) in found.items()}

    def commits(
        self, group: str, topic: str, *, timeout_s: float = TIMEOUT_S
    ) -> dict[int, tuple[int, str]]:
        """Committed offset and metadata by partition; those without are left out.

        Read by a consumer that never subscribes, so is no member of the group: the
        admin client's request aborts the process when it times out while looking for
        the coordinator (librdkafka 2.16, issue 4605), as with a frozen broker.

        Raises:
            KeyError: There is no such topic.
        """
        partitions = self._client.list_topics(timeout=timeout_s).topics[topic]
        wanted = [TopicPartition(topic, p) for p in partitions.partitions]
        found = self._reader(group).committed(wanted, timeout=timeout_s)
        return {
            at.partition: (at.offset, at.metadata or "")
            for at in found
            if at.offset >= 0
        }

    def topic_id(self, name: str) -> str:
        """The id that a topic has got as it was created, as commits tell it."""
        topics = TopicCollection([name])
        found = self._client.describe_topics(topics, request_timeout=TIMEOUT_S)
        return str(found[name].result(TIMEOUT_S).topic_id)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset that the next message of each partition will get.

        Raises:
            KeyError: There is no such topic.
        """
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        partitions = self._client.list_topics(timeout=TIMEOUT_S).topics[topic]
        wanted = {TopicPartition(topic, p): latest for p in partitions.partitions}
        found = self._client.list_offsets(wanted, request_timeout=TIMEOUT_S)
        return {at.partition: f.result(TIMEOUT_S).offset for at, f in found.items()}

    def _reader(self, group: str) -> Consumer:
        if group not in self._readers:
            self._readers[group] = Consumer({**self._config, "group.id": group})
        return self._readers[group]

    def _await_leaders(self, name: str, partitions: int) -> None:
        """Wait until each partition answers, which is later than it has a leader.

        The metadata tells of leaders that do not know of it themselves yet.
        """

        def usable() -> bool:
            try:
                return len(self.end_offsets(name)) == partitions
            except KeyError:
                return False
            except KafkaException as error:
                if error.args[0].code() in NOT_YET:
                    return False
                raise

        eventually(usable, describe=f"{partitions} partitions of {name} answer")


def _result(futures: Mapping[Any, Any]) -> None:
    for future in futures.values():
        future.result(TIMEOUT_S)
