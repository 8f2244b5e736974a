"""The broker that other tests build on does what it promises."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from tests.awaits import await_committed
from tests.eventually import eventually
from tests.kafka.broker import BrokerError, KafkaBroker
from tests.kafka.ledgered import answers

OwnKafka = Callable[..., KafkaBroker]
QUIET = {"log_level": 0, "reconnect.backoff.max.ms": 200}


def produce(bootstrap: str, topic: str, *values: str) -> None:
    """Produce to partition 0 and wait until all are acknowledged."""
    refused: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, **QUIET})
    for value in values:
        producer.produce(
            topic,
            value,
            partition=0,
            on_delivery=lambda error, _: refused.append(error) if error else None,
        )
    assert producer.flush(30) == 0
    assert refused == []


def read(
    bootstrap: str, topic: str, count: int, *, group: str = "readers"
) -> list[str]:
    """Read ``count`` messages of partition 0 from its start, commit, return values."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, **QUIET})
    consumer.assign([TopicPartition(topic, 0, 0)])
    got: list[Message] = []

    def enough() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            got.append(message)
        return len(got) == count

    try:
        eventually(enough, within_s=20, every_s=0, describe=f"{count} messages read")
        consumer.commit(message=got[-1], asynchronous=False)
    finally:
        consumer.close()
    return [(message.value() or b"").decode() for message in got]


@pytest.fixture
def topic(kafka: KafkaBroker, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create a topic of three partitions for this test."""
    name = kafka.create_topic(request.node.name, 3)
    yield name
    kafka.delete_topic(name)


def test_messages_go_through_and_commits_are_seen(
    kafka: KafkaBroker, topic: str
) -> None:
    """What was produced is read; offsets are seen from outside the group."""
    produce(kafka.bootstrap, topic, "a", "b", "c")

    assert read(kafka.bootstrap, topic, 2, group=f"of-{topic}") == ["a", "b"]
    assert kafka.committed(f"of-{topic}", topic) == {0: 2}
    assert kafka.end_offsets(topic) == {0: 3, 1: 0, 2: 0}


def test_unknown_group_has_committed_nothing(kafka: KafkaBroker, topic: str) -> None:
    """A group that never was is an answer, not an error."""
    assert kafka.committed("never-was", topic) == {}


def test_partitions_can_be_added(kafka: KafkaBroker, topic: str) -> None:
    """A topic grows, and its new partitions can be used at once."""
    kafka.add_partitions(topic, 5)

    assert sorted(kafka.end_offsets(topic)) == [0, 1, 2, 3, 4]


def test_topics_appear_only_when_created(kafka: KafkaBroker) -> None:
    """A mistyped topic stays absent."""
    with pytest.raises(KeyError):
        kafka.end_offsets("mistyped")
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "g", **QUIET}
    )
    try:
        consumer.subscribe(["mistyped"])
        consumer.poll(1.0)

        assert "mistyped" not in consumer.list_topics(timeout=10).topics
    finally:
        consumer.close()


def test_group_may_have_a_short_session(kafka: KafkaBroker) -> None:
    """One group's session timeout of the new protocol can be set below a second."""
    kafka.set_group_config("short", {"consumer.session.timeout.ms": "600"})


@pytest.mark.parametrize("end", [KafkaBroker.stop, KafkaBroker.kill])
def test_data_and_address_survive_a_restart(
    own_kafka: OwnKafka, end: Callable[[KafkaBroker], None]
) -> None:
    """After ``stop`` or ``kill``, ``start`` brings back messages and offsets."""
    broker = own_kafka()
    broker.create_topic("kept", 1)
    produce(broker.bootstrap, "kept", "a", "b")
    read(broker.bootstrap, "kept", 1)
    first_pid = broker.pid

    end(broker)
    assert not broker.is_running()
    assert not psutil.pid_exists(first_pid)
    broker.start()

    # The group's coordinator may still be loading after a KILL.
    eventually(lambda: answers(broker, "readers", "kept"), describe="it knows groups")
    assert broker.committed("readers", "kept") == {0: 1}
    assert read(broker.bootstrap, "kept", 2) == ["a", "b"]


def test_frozen_broker_is_silent_until_thawed(own_kafka: OwnKafka) -> None:
    """A frozen broker answers nothing; thawed it goes on; it can be stopped frozen."""
    broker = own_kafka()
    broker.create_topic("t", 1)

    broker.freeze()
    assert broker.is_running()
    with pytest.raises(KafkaException):
        broker.committed("g", "t", timeout_s=1.0)
    broker.thaw()
    await_committed(broker, "g", "t", {}, within_s=30.0)

    broker.freeze()
    broker.stop(within_s=30)
    assert "shutting down" in broker.log_path.read_text()


def test_broker_that_cannot_start_says_why(own_kafka: OwnKafka) -> None:
    """The error has the log's end and its path."""
    with pytest.raises(BrokerError) as caught:
        own_kafka(config={"num.io.threads": "none"})

    assert "num.io.threads" in str(caught.value)
    assert "broker.log" in str(caught.value)


def test_passwords_are_checked(own_kafka: OwnKafka) -> None:
    """The listener with SASL lets in who knows the password, and nobody else."""
    broker = own_kafka(sasl_users={"ann": "right"})
    broker.create_topic("t", 1)
    login = {
        "bootstrap.servers": broker.sasl_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "ann",
        **QUIET,
    }

    allowed = Producer({**login, "sasl.password": "right"})
    assert "t" in allowed.list_topics(timeout=10).topics
    refused = Producer({**login, "sasl.password": "wrong"})
    with pytest.raises(KafkaException):
        refused.list_topics(timeout=2)


PARENT = """
import json, sys, threading
from pathlib import Path
from tests.kafka.broker import KafkaBroker
broker = KafkaBroker(Path(sys.argv[1]))
broker.start()
print(json.dumps(broker.pid), flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the tie to a parent is Linux's")
def test_broker_dies_with_its_test(kafka: KafkaBroker, tmp_path: Path) -> None:
    """KILL of the process that started a broker, even a frozen one, ends both."""
    del kafka  # only so that Kafka is known to be there
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        broker_pid = json.loads(parent.stdout.readline())
        os.kill(broker_pid, signal.SIGSTOP)
        parent.kill()

    eventually(lambda: not _lives(broker_pid), describe="the broker died")


def _lives(pid: int) -> bool:
    """Whether a process exists; a zombie that nobody reaps does not count."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
