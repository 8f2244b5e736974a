"""``python -m tests.kafka.made_anew [--only TEXT]``: the long form.

A topic is deleted and created again under a producer that goes on, and under nodes that
go on, are started again, take over from another, or are down meanwhile. What stands in
the new log at the end must all have been handled: the log itself is the witness, and
shares no code with the nodes.

Needs Java 17 and Maven. Prints a line for each case; ends with 1 if one did not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from swarm_worker.kafka.topic_ids import ASK_EVERY_S
from tests.apps.processed import ProcessedFile, number_in
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import PROTOCOLS, unique
from tests.repeating import repeating
from tests.supervisord import ROOT

PARTITIONS: Final = 2
PER_S: Final = 500.0
AWAYS_S: Final = (0.5, 3.0, 10.0)
# Messages of a partition: the new log has outgrown the old one's offset by the time
# anybody looks, or ends below it.
OLD: Final = {"short": 5, "long": 20_000}
NOTICED_S: Final = ASK_EVERY_S + 10.0
SETTLED_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One situation.

    Attributes:
        how: Of `HOWS`: what the nodes do meanwhile.
        protocol: Of `PROTOCOLS`.
        away_s: Between the deletion and the creation.
        old: Of `OLD`.
        reset: ``auto.offset.reset``.
        ends_by: What ends a node.
    """

    how: str
    protocol: str
    away_s: float
    old: str
    reset: str = "earliest"
    ends_by: signal.Signals = signal.SIGTERM

    def __str__(self) -> str:
        return (
            f"{self.how} {self.protocol} {self.away_s} {self.old} {self.reset} "
            f"{self.ends_by.name}"
        )


@dataclass
class SteadyProducer:
    """Produces without a pause; what is refused is tried again until it is taken."""

    bootstrap: str
    topic: str
    acknowledged: int = 0
    _again: deque[int] = field(default_factory=deque)
    _ids: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 0,
                "topic.metadata.propagation.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 500,
                "message.timeout.ms": 3_000,
                "log_level": 0,
            }
        )

    def burst(self, messages: int) -> None:
        """Produce so many; return when all are acknowledged."""
        until = self.acknowledged + messages
        for _ in range(messages):
            self._send()
        while self.acknowledged < until:
            self._producer.poll(0.1)
            self._send_again()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Produce `PER_S` messages a second while the block lasts; then settle."""

        def produce() -> None:
            self._send()
            self._send_again()
            self._producer.poll(0)

        with repeating(produce, every_s=1 / PER_S, name="steady-producer"):
            yield
        eventually(self._is_settled, within_s=60.0, describe="all is acknowledged")

    def _is_settled(self) -> bool:
        self._send_again()
        return self._producer.flush(1.0) == 0 and not self._again

    def _send_again(self) -> None:
        for _ in range(min(20, len(self._again))):
            self._send(self._again.popleft())

    def _send(self, number: int | None = None) -> None:
        number = next(self._ids) if number is None else number

        def told(error: KafkaError | None, _: object) -> None:
            if error is None:
                self.acknowledged += 1
            else:
                self._again.append(number)

        value = json.dumps({"id": number})
        try:
            partition = number % PARTITIONS
            self._producer.produce(
                self.topic, value, partition=partition, on_delivery=told
            )
        except (BufferError, KafkaException):
            self._again.append(number)


class Scene:
    """One topic, its producer, and nodes that are processes."""

    def __init__(self, kafka: KafkaBroker, case: Case, folder: Path) -> None:
        self.kafka, self.case, self.folder = kafka, case, folder
        self.name = kafka.create_topic(unique("anew"), PARTITIONS)
        self.producer = SteadyProducer(kafka.bootstrap, self.name)
        self.processed = ProcessedFile(folder / "processed")
        self._nodes: dict[int, subprocess.Popen[bytes]] = {}
        self._write_toml()

    def _write_toml(self) -> None:
        own: dict[str, Any] = {
            **PROTOCOLS[self.case.protocol],
            "bootstrap.servers": self.kafka.bootstrap,
            "auto.offset.reset": self.case.reset,
        }
        lines = [f'"{name}" = {json.dumps(value)}' for name, value in own.items()]
        text = "\n".join(["[kafka]", *lines, "[worker]", "static_membership = false"])
        (self.folder / "swarm.toml").write_text(text + "\n", "utf-8")

    def start(self, node: int) -> None:
        """Start a node; waits for nothing."""
        command = [
            *(sys.executable, "-m", "swarm_worker", "tests.apps.ledger_app:app"),
            *("--config", "swarm.toml", "--state-dir", "slots"),
            *("--node", str(node), "--nodes", "2"),
        ]
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LEDGER_PATH": str(self.processed.path),
            "LEDGER_TOPICS": self.name,
            "LEDGER_GROUP": self.name,
        }
        with (self.folder / f"node_{node}.log").open("ab") as log:
            self._nodes[node] = subprocess.Popen(
                command, cwd=self.folder, env=environ, stdout=log, stderr=log
            )

    def end(self, node: int) -> None:
        """End a node, and wait for that."""
        process = self._nodes.pop(node)
        process.send_signal(self.case.ends_by)
        process.wait(30.0)

    def close(self) -> None:
        """End what still runs."""
        for process in self._nodes.values():
            process.kill()
            process.wait()

    def log(self, node: int) -> str:
        """Return what a node has logged, over all its lives."""
        path = self.folder / f"node_{node}.log"
        return path.read_text("utf-8") if path.exists() else ""

    def logs(self) -> str:
        """Return what all nodes have logged."""
        return "".join(self.log(node) for node in range(2))

    def await_held(self, *nodes: int) -> None:
        """Wait until nodes were assigned partitions."""
        for node in nodes:
            eventually(
                lambda node=node: (
                    "partitions_assigned" in self.log(node)  # type: ignore[misc]
                    and " held=0 "
                    not in self.log(node).rsplit("partitions_assigned")[-1]
                ),
                within_s=40.0,
                describe=f"node {node} holds something",
            )

    def await_begun(self) -> None:
        """Wait until where the group begins is committed."""
        begin = dict.fromkeys(range(PARTITIONS), 0)
        eventually(
            lambda: self.kafka.committed(self.name, self.name) == begin,
            within_s=SETTLED_S,
            describe=f"{begin} are committed",
        )

    def await_caught_up(self) -> None:
        """Wait until all that was acknowledged so far is handled, and committed."""
        eventually(
            lambda: (
                len({row.id for row in self.processed.read()})
                >= self.producer.acknowledged
            ),
            within_s=SETTLED_S,
            describe="all of the old log is handled",
        )
        ends = self.kafka.end_offsets(self.name)
        eventually(
            lambda: self.kafka.committed(self.name, self.name) == ends,
            within_s=SETTLED_S,
            describe=f"{ends} are committed",
        )

    def replace_topic(self) -> None:
        """Delete the topic and create it again, as late as the case says."""
        self.kafka.delete_topic(self.name)
        time_passes(self.case.away_s)
        self.create_again()

    def create_again(self) -> None:
        """Create it; return when the new log has outgrown a short old one."""
        self.kafka.create_topic(self.name, PARTITIONS)
        enough = self.producer.acknowledged + PARTITIONS * (
            OLD["short"] + int(PER_S / 2)
        )
        eventually(
            lambda: self.producer.acknowledged > enough,
            within_s=SETTLED_S,
            describe="the producer goes on",
        )

    def judge(self) -> str:
        """Wait until all of the new log is handled; return figures.

        Raises:
            AssertionError: It is not.
        """
        there = read_all(self.kafka.bootstrap, self.name)
        handled: set[int] = set()

        def missing() -> set[int]:
            handled.update(row.id for row in self.processed.read())
            return there - handled

        try:
            eventually(
                lambda: not missing(),
                within_s=NOTICED_S + SETTLED_S,
                every_s=0.2,
                describe="",
            )
        except AssertionError:
            lost = sorted(missing())
            msg = f"{len(lost)} of {len(there)} never handled: {lost[:5]} ..."
            raise AssertionError(f"{msg}\n{self.logs()}") from None
        repeated = len(self.processed.rows) - len({r.id for r in self.processed.rows})
        told = self.logs().count("topic_made_anew")
        return f"{len(there)} in the new log, {repeated} repeated, told {told} times"


def running(scene: Scene) -> None:
    """The node goes on all the while."""
    scene.replace_topic()
    time_passes(NOTICED_S)


def restart(scene: Scene) -> None:
    """The node is started again before it can have noticed."""
    scene.replace_topic()
    scene.end(0)
    scene.start(0)
    time_passes(2.0)


def restart_while_away(scene: Scene) -> None:
    """The node is started again while there is no topic."""
    scene.kafka.delete_topic(scene.name)
    scene.end(0)
    scene.start(0)
    time_passes(scene.case.away_s)
    scene.create_again()
    time_passes(2.0)


def move(scene: Scene) -> None:
    """Another node, which ran all the while, gets the partitions of one that ends."""
    scene.start(1)
    scene.await_held(1)
    scene.replace_topic()
    scene.end(0)
    time_passes(2.0)


def move_to_new(scene: Scene) -> None:
    """Another node, which is new, gets them."""
    scene.replace_topic()
    scene.end(0)
    scene.start(1)
    time_passes(2.0)


def down(scene: Scene) -> None:
    """The node is down all the while."""
    scene.end(0)
    scene.replace_topic()
    scene.start(0)
    time_passes(2.0)


HOWS: Final[dict[str, Callable[[Scene], None]]] = {
    "running": running,
    "restart": restart,
    "restart-away": restart_while_away,
    "move": move,
    "move-new": move_to_new,
    "down": down,
}


def time_passes(seconds: float) -> None:
    """Wait: a topic that is away for so long is the case itself."""
    threading.Event().wait(seconds)


def read_all(bootstrap: str, topic: str) -> set[int]:
    """Return the numbers of all messages that stand in a topic."""
    found: set[int] = set()
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{secrets.token_hex(4)}",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        reader.subscribe([topic])
        left = PARTITIONS
        give_up_at_s = time.monotonic() + SETTLED_S
        while left and time.monotonic() < give_up_at_s:
            message = reader.poll(1.0)
            if message is None:
                continue
            if message.error() is None:
                found.add(number_in(message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:  # type: ignore[union-attr]
                left -= 1
        assert not left, "the new log is read to its end"
    finally:
        reader.close()
    return found


def play(kafka: KafkaBroker, case: Case, folder: Path) -> str:
    """Play one case; return its figures.

    Raises:
        AssertionError: Something of the new log was never handled.
    """
    scene = Scene(kafka, case, folder)
    try:
        scene.start(0)
        scene.await_held(0)
        scene.await_begun()  # with latest it begins where the log ends by then
        scene.producer.burst(OLD[case.old] * PARTITIONS)
        scene.await_caught_up()
        with scene.producer.going_on():
            HOWS[case.how](scene)
        return scene.judge()
    finally:
        scene.close()


def cases() -> Iterator[Case]:
    """Return the whole matrix."""
    for how, protocol, away_s, old in product(HOWS, PROTOCOLS, AWAYS_S, OLD):
        yield Case(how=how, protocol=protocol, away_s=away_s, old=old)
    for how, protocol, old in product(HOWS, PROTOCOLS, OLD):
        yield Case(
            how=how, protocol=protocol, away_s=3.0, old=old, reset="latest",
            ends_by=signal.SIGKILL,
        )  # fmt: skip


def main() -> int:
    """Play all cases; give 0 if all held."""
    parser = argparse.ArgumentParser(prog="tests.kafka.made_anew", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose line has this text")
    parser.add_argument("--at-once", type=int, default=4)
    told = parser.parse_args()
    wanted = deque(case for case in cases() if told.only in str(case))
    failed: list[Case] = []
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anew")))
        kafka = stack.enter_context(KafkaBroker(home / "kafka"))

        def work() -> None:
            while wanted:
                case = wanted.popleft()
                folder = home / unique("case")
                folder.mkdir()
                try:
                    outcome = f"held: {play(kafka, case, folder)}"
                except AssertionError as error:
                    failed.append(case)
                    outcome = f"FAILED: {error}"
                sys.stdout.write(f"{case}: {outcome}\n")
                sys.stdout.flush()

        threads = [threading.Thread(target=work) for _ in range(told.at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.stdout.write(f"{len(failed)} failed\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
