"""What the demo plays on: a directory, a topic, and supervisord under its keeper."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from swarm_worker.demo.broker import SESSION_TIMEOUT_MS, mock_broker
from swarm_worker.echo_conf import conf_directory

PARTITIONS: Final = 8
KAFKA_SESSION_TIMEOUT_MS: Final = 10_000  # brokers refuse less than 6 s by default
KAFKA_WAIT_S: Final = 15.0
KEEPER_WAIT_S: Final = 30.0
LOG_TAIL_CHARS: Final = 2_000


class StageError(RuntimeError):
    """The demo cannot be set up, or fell down; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running swarm.

    Attributes:
        folder: Everything that the demo writes.
        topic: Where messages go; also the name of the Kafka group.
        bootstrap: The broker's HOST:PORT.
        keeper: The process that keeps supervisord.
    """

    folder: Path
    topic: str
    bootstrap: str
    keeper: subprocess.Popen[bytes]

    def check(self) -> None:
        """See whether supervisord is still there.

        Raises:
            StageError: It is not; with the last lines of its logs.
        """
        if self.keeper.poll() is not None:
            raise StageError(f"{self.logs()}\nsupervisord has ended, the demo too")

    def logs(self) -> str:
        """Give the ends of all logs, for a demo that failed."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            tail = path.read_text("utf-8", "replace")[-LOG_TAIL_CHARS:]
            parts.append(f"--- {path.name} ---\n{tail}")
        return "\n".join(parts)


@contextmanager
def stage(bootstrap: str | None) -> Iterator[Stage]:
    """Set the stage, on a real Kafka if ``bootstrap`` names one; clear it at the end.

    Raises:
        StageError: The Kafka cannot be used.
        BrokerError: There is no embedded broker.
    """
    topic = f"swarm-demo-{uuid.uuid4().hex[:8]}"
    broker = mock_broker(topic, partitions=PARTITIONS)
    if bootstrap is not None:
        broker = kafka_topic(bootstrap, topic)
    with broker as address, _folder() as folder:
        environ = {
            "PYTHONPATH": _python_path(),
            "SWARM_DEMO_DIR": str(folder),
            "SWARM_DEMO_TOPIC": topic,
            "SWARM_DEMO_PYTHON": sys.executable,
            "SWARM_DEMO_BOOTSTRAP": address,
            "SWARM_DEMO_SESSION_TIMEOUT_MS": str(
                KAFKA_SESSION_TIMEOUT_MS if bootstrap else SESSION_TIMEOUT_MS
            ),
        }
        with _keeper(folder, environ) as keeper:
            yield Stage(folder=folder, topic=topic, bootstrap=address, keeper=keeper)


def _python_path() -> str:
    """Have all programs run the code that the demo runs, be it installed or not."""
    package = Path(__file__).resolve().parents[1]
    return os.pathsep.join(filter(None, (str(package.parent), os.getenv("PYTHONPATH"))))


@contextmanager
def _folder() -> Iterator[Path]:
    # A longer path could not be that of supervisord's socket (108 bytes).
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="swarm-demo-", dir=parent))
    try:
        for name in ("supervisord.conf", "swarm.toml"):
            shutil.copy(conf_directory() / "demo" / name, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _keeper(folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    keeper = subprocess.Popen(  # noqa: S603 - our own Python
        [sys.executable, "-m", "swarm_worker.demo.keeper", str(folder)],
        env={**os.environ, **environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield keeper
    finally:
        assert keeper.stdin is not None  # noqa: S101 - asked for above
        keeper.stdin.close()
        keeper.wait(KEEPER_WAIT_S)


@contextmanager
def kafka_topic(bootstrap: str, topic: str) -> Iterator[str]:
    """Make a topic on a real Kafka; delete it and its group at the end.

    Raises:
        StageError: The broker does not answer, or refuses.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        made = admin.create_topics(
            [NewTopic(topic, PARTITIONS)], operation_timeout=KAFKA_WAIT_S
        )
        made[topic].result(KAFKA_WAIT_S)
    except (KafkaException, TimeoutError) as error:
        raise StageError(
            f"expected a Kafka at {bootstrap} that lets me make a topic: {error}"
        ) from None
    try:
        yield bootstrap
    finally:
        for deletion in (
            admin.delete_consumer_groups([topic]),
            admin.delete_topics([topic]),
        ):
            deletion[topic].exception(KAFKA_WAIT_S)
