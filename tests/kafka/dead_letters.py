"""Dead letters as nodes write them, and the program that sends them back."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from swarm_worker.app.batch import message
from swarm_worker.kafka.dead_letters import headers_of
from swarm_worker.processing.failures import DeadLetter
from tests.kafka.broker import KafkaBroker
from tests.supervisord import ROOT

Headers = list[tuple[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Given:
    """A message that a node gives up."""

    topic: str
    partition: int = 0
    offset: int = 0
    key: bytes | None = None
    value: bytes | None = b"v"
    headers: Headers = field(default_factory=list)
    error: Exception = field(default_factory=lambda: ValueError("no price"))

    def as_dead_letter(self) -> dict[str, Any]:
        """Return what is produced of it."""
        origin = message(
            self.value,
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            headers=self.headers,
            timestamp_ms=1_795_516_543_518,
        )
        given_up = DeadLetter(message=origin, error=self.error, attempts=4)
        headers = headers_of(given_up)
        return {"key": self.key, "value": self.value, "headers": headers}


def numbered(topic: str, count: int, *, partitions: int = 1) -> list[Given]:
    """Return messages that each have a key of their own."""
    return [
        Given(topic=topic, partition=n % partitions, offset=n, key=b"%d" % n)
        for n in range(count)
    ]


def write(kafka: KafkaBroker, letters: str, *given: Given) -> None:
    """Write dead letters to the first partition."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5})
    for each in given:
        producer.produce(letters, partition=0, **each.as_dead_letter())
        producer.poll(0)
    assert producer.flush(30.0) == 0


def read_all(kafka: KafkaBroker, topic: str) -> list[Message]:
    """Return all that stands in a topic, aborted transactions apart."""
    ends = kafka.end_offsets(topic)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "reader",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, each, 0) for each in ends])
    found, left = [], set(ends)
    while left:
        got = consumer.poll(20.0)
        assert got is not None, f"{topic} is read to its end"
        error = got.error()
        if error is None:
            found.append(got)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            left.remove(got.partition() or 0)
    consumer.close()
    return found


class Admin:
    """``python -m swarm_worker.admin dlq`` for one broker."""

    def __init__(
        self, folder: Path, kafka: Mapping[str, Any], *, status: Path | None = None
    ) -> None:
        self._config = folder / "swarm.toml"
        lines = [f'"{name}" = "{value}"\n' for name, value in kafka.items()]
        self._config.write_text("[kafka]\n" + "".join(lines), "utf-8")
        self._status = ["--status", str(status)] if status else []

    def command(self, *words: str) -> list[str]:
        """Return a whole command."""
        program = [sys.executable, "-m", "swarm_worker.admin"]
        return [*program, "--config", str(self._config), *self._status, "dlq", *words]

    def run(self, *words: str, code: int = 0) -> str:
        """Run it; return all that it printed."""
        done = subprocess.run(
            self.command(*words),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run it meanwhile."""
        with subprocess.Popen(
            self.command(*words),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
