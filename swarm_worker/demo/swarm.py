"""The swarm of the demo: a broker, a folder, and supervisord under its keeper."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Final

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from swarm_worker.echo_conf import conf_directory

PARTITIONS: Final = 4  # those of a topic that librdkafka's mock makes
KAFKA_WAIT_S: Final = 15.0

# The mock lets members of a new group wait 3 s for others, and looks once a second for
# those that it has not heard of in this time: less than 2 s would lose some. Each later
# rebalance takes 1 s less than this. Source: librdkafka's rdkafka_mock_cgrp.c.
MOCK_SESSION_TIMEOUT_MS: Final = 2_500
KAFKA_SESSION_TIMEOUT_MS: Final = 10_000  # brokers refuse less than 6 s by default

HEALTH_IS_KNOWN: Final = (0, 1, 3)  # exit codes of `supervisorctl swarm status`
LOG_TAIL_CHARS: Final = 2_000


@contextmanager
def demo_swarm(kafka: str | None) -> Iterator[DemoSwarm]:
    """Run a swarm, on a real Kafka if one is given; clear everything up at the end."""
    topic = f"swarm-demo-{uuid.uuid4().hex[:8]}"
    broker = kafka_topic(kafka, topic) if kafka else mock_broker(topic)
    session_ms = KAFKA_SESSION_TIMEOUT_MS if kafka else MOCK_SESSION_TIMEOUT_MS
    # A longer path could not be that of supervisord's socket (108 bytes).
    parent = gettempdir() if len(gettempdir()) < 60 else "/tmp"  # noqa: S108
    with (
        broker as bootstrap,
        TemporaryDirectory(prefix="swarm-demo-", dir=parent) as folder,
    ):
        swarm = DemoSwarm(Path(folder), bootstrap, topic, session_ms)
        try:
            yield swarm
        finally:
            swarm.keeper.communicate()  # closes its stdin, and waits for its end


@contextmanager
def mock_broker(topic: str) -> Iterator[str]:
    """Run a broker with one topic on 127.0.0.1; yield its HOST:PORT.

    It is librdkafka's own mock cluster, so that the demo needs neither a download nor
    Java. It keeps messages and committed offsets in memory and knows consumer groups
    well enough for a demo; it proves nothing about membership, fencing or durability.
    """
    host = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = host.list_topics(topic, KAFKA_WAIT_S).brokers.values()  # and makes it
    yield f"{broker.host}:{broker.port}"


@contextmanager
def kafka_topic(bootstrap: str, topic: str) -> Iterator[str]:
    """Make a topic on a real Kafka; delete it and its group at the end."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        admin.create_topics([NewTopic(topic, PARTITIONS)])[topic].result(KAFKA_WAIT_S)
    except (KafkaException, TimeoutError) as error:
        why = f"expected a Kafka at {bootstrap} that lets me make a topic: {error}"
        sys.exit(f"swarm-demo: {why}")
    try:
        yield bootstrap
    finally:
        admin.delete_consumer_groups([topic])[topic].exception(KAFKA_WAIT_S)
        admin.delete_topics([topic])[topic].exception(KAFKA_WAIT_S)


class DemoSwarm:
    """A running swarm, in a folder that holds all that the demo writes."""

    def __init__(self, folder: Path, broker: str, topic: str, session_ms: int) -> None:
        self.folder = folder
        self.bootstrap = broker
        self.topic = topic  # also the name of the Kafka group
        self._environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),  # be the demo installed or not
            "PYTHONDONTWRITEBYTECODE": "1",
            "SWARM_DEMO_PYTHON": sys.executable,
            "SWARM_DEMO_BOOTSTRAP": broker,
            "SWARM_DEMO_TOPIC": topic,
            "SWARM_DEMO_SESSION_TIMEOUT_MS": str(session_ms),
        }
        for name in ("supervisord.conf", "swarm.toml"):
            shutil.copy(conf_directory() / "demo" / name, folder)
        self.keeper = subprocess.Popen(
            [sys.executable, "-m", "swarm_worker.demo.keeper"],
            cwd=folder,
            env=self._environ,
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo alone
        )

    def check(self) -> None:
        """End the demo if supervisord has ended."""
        if self.keeper.poll() is not None:
            sys.exit(f"{self.logs()}swarm-demo: supervisord has ended, the demo too")

    def status(self) -> str:
        """Return the operator's own table; empty where the listener knows nothing."""
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisorctl", "swarm", "status"],
            cwd=self.folder,  # where it finds supervisord.conf
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout if done.returncode in HEALTH_IS_KNOWN else ""

    def records(self) -> dict[int, dict[str, Any]]:
        """Return what the listener has written of restarts, by the old process."""
        try:
            journal = json.loads((self.folder / "run" / "journal.json").read_bytes())
        except FileNotFoundError:
            return {}  # until the listener runs
        under_way = [intent["record"] for intent in journal["intents"].values()]
        return {record["pid"]: record for record in [*journal["history"], *under_way]}

    def logs(self) -> str:
        """Return the ends of all logs, for a demo that failed."""
        parts = []
        for file in sorted(self.folder.glob("*.log")):
            end = file.read_text("utf-8", "replace")[-LOG_TAIL_CHARS:]
            parts.append(f"--- {file.name} ---\n{end}\n")
        return "".join(parts)
