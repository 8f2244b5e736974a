"""A node, or a bare process in its place, alone: nobody watches it but a benchmark."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from tests.benchmarks.bench import Bench
from tests.eventually import eventually
from tests.supervisord import PARENT_DEATH, ROOT

WITHIN_S: Final = 60.0

NODE: Final = ("-m", "swarm_worker", "tests.benchmarks.noting_app:app")
BARE: Final = ("-m", "tests.benchmarks.bare_node")
TOML: Final = """\
[kafka]
"bootstrap.servers" = "{bootstrap}"
"auto.offset.reset" = "earliest"
"""


class LoneError(Exception):
    """A process did not do what was to be measured; with the end of its log."""


@dataclass(frozen=True)
class Lone:
    """A running process and its notes; moments are on the wall clock.

    Attributes:
        process: It.
        folder: Its notes and its log.
        started_at_s: When it was started.
    """

    process: subprocess.Popen[bytes]
    folder: Path
    started_at_s: float

    def noted_at_s(self, word: str, *, count: int = 0) -> float:
        """Wait for a note of this process; give its moment.

        Raises:
            LoneError: It has ended, or there is none in time.
        """

        def found() -> float | None:
            if self.process.poll() is not None:
                raise LoneError(f"it ended without {word}\n{self.log}")
            for row in notes(self.folder):
                if row[:2] == (word, self.process.pid) and row[3] >= count:
                    return row[2]
            return None

        try:
            return eventually(found, within_s=WITHIN_S, every_s=0.01, describe=word)
        except AssertionError as error:
            raise LoneError(f"{error}\n{self.log}") from None

    def end(self) -> None:
        """TERM it, and wait for its end.

        Raises:
            LoneError: It did not end well.
        """
        # A wait with a timeout polls, with pauses of up to 50 ms.
        patience = threading.Timer(WITHIN_S, self.process.kill)
        patience.start()
        self.process.terminate()
        code = self.process.wait()
        patience.cancel()
        if code != 0:
            raise LoneError(f"it ended with {self.process.returncode}\n{self.log}")

    @property
    def log(self) -> str:
        """The end of what it wrote."""
        return (self.folder / "log").read_text("utf-8", "replace")[-3_000:]


def notes(folder: Path) -> list[tuple[str, int, float, int]]:
    """Return the notes of all processes of a folder: word, pid, moment, count."""
    path = folder / "notes"
    if not path.exists():
        return []
    rows = [line.split() for line in path.read_text("ascii").splitlines()]
    return [(r[0], int(r[1]), float(r[2]), int(r[3])) for r in rows if len(r) == 4]


def last_handled_at_s(folder: Path, pid: int) -> float:
    """Return when a process that was told to note it handled its last message.

    Raises:
        FileNotFoundError: It handled none, or was not told to.
    """
    return float((folder / f"notes.last.{pid}").read_text("ascii"))


def wall_s() -> float:
    """The clock of the notes."""
    return time.clock_gettime(time.CLOCK_REALTIME)


@contextmanager
def node(bench: Bench, folder: Path, topic: str) -> Iterator[Lone]:
    """Run a node that reports, as under supervisord; its reports are read by nobody."""
    file = folder / "swarm.toml"
    file.write_text(TOML.format(bootstrap=bench.kafka.bootstrap), "utf-8")
    command = [*NODE, "--config", str(file), "--state-dir", str(folder / "slots")]
    with running(folder, command, topic, SUPERVISOR_ENABLED="1") as lone:
        yield lone


@contextmanager
def bare(bench: Bench, folder: Path, topic: str, *flags: str) -> Iterator[Lone]:
    """Run a bare process in the place of a node."""
    with running(folder, [*BARE, bench.kafka.bootstrap, *flags], topic) as lone:
        yield lone


def start(
    folder: Path,
    arguments: Sequence[str],
    topic: str,
    *,
    launcher: Sequence[str] = (),
    **environ: str,
) -> Lone:
    """Start a Python program, as it is or through a launcher; whoever calls ends it."""
    own = {
        "BENCH_NOTES": str(folder / "notes"),
        "BENCH_TOPIC": topic,
        "BENCH_GROUP": f"{topic}-{folder.name}",  # whoever was before is not in it
        **environ,
    }
    with (folder / "log").open("ab") as log:
        started_at_s = wall_s()
        process = subprocess.Popen(
            [*launcher, sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    return Lone(process, folder, started_at_s)


@contextmanager
def running(
    folder: Path, arguments: Sequence[str], topic: str, **environ: str
) -> Iterator[Lone]:
    """Run a Python program until the end of the block, then TERM it.

    Raises:
        LoneError: It did not end well by itself.
    """
    launcher = [sys.executable, str(PARENT_DEATH), str(os.getpid())]
    lone = start(folder, arguments, topic, launcher=launcher, **environ)
    try:
        yield lone
        lone.end()
    finally:
        lone.process.kill()
        lone.process.wait()
        assert lone.process.stdout is not None
        lone.process.stdout.close()


def fresh_topic(bench: Bench, stem: str, *, partitions: int, messages: int) -> str:
    """Make a topic with so many messages, spread evenly; give its name.

    Raises:
        LoneError: Kafka did not take them.
    """
    topic = f"{stem}-{secrets.token_hex(4)}"
    bench.kafka.create_topic(topic, partitions=partitions)
    producer = Producer({"bootstrap.servers": bench.kafka.bootstrap})
    for number in range(messages):
        producer.produce(
            topic, b'{"number":%d}' % number, partition=number % partitions
        )
    if producer.flush(WITHIN_S):
        raise LoneError(f"Kafka did not take {messages} messages for {topic}")
    producer.close()
    return topic


@contextmanager
def stream(
    bench: Bench, topic: str, *, partitions: int, every_s: float
) -> Iterator[None]:
    """Produce a message each so many seconds, to all partitions in turn."""
    ended = threading.Event()
    producer = Producer({"bootstrap.servers": bench.kafka.bootstrap, "linger.ms": 0})

    def produce() -> None:
        number = 0
        while not ended.wait(every_s):
            producer.produce(topic, b"{}", partition=number % partitions)
            producer.poll(0)
            number += 1
        producer.flush(WITHIN_S)

    thread = threading.Thread(target=produce, name="stream", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(WITHIN_S)
        producer.close()
