"""A swarm on Kafka whose programs are exchanged for those of another version.

supervisord runs ``bin/swarm-worker`` and ``bin/swarm-event-listener`` of its folder:
two links that point to one version or the other. A link is turned as ``pip install``
would replace a program: what is started from then on is the other version, what runs
stays what it is, and supervisord's configuration does not change.

supervisord itself is the working tree's and is not exchanged: none of our code runs in
it, and what a listener leaves under way is void under another supervisord by design.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.compat.versions import Version
from tests.eventually import eventually
from tests.faults.book import Book
from tests.kafka import ledgered
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import NODES, PARTITIONS, KafkaSwarm
from tests.kafka.nodes import unique
from tests.kafka.witness import Ledger
from tests.process import scenes
from tests.process.swarms import LISTENER, Swarm
from tests.supervisord import ROOT

T = TypeVar("T")
Plain = Mapping[str, Any]

NODE_PROGRAM: Final = "swarm-worker"
LISTENER_PROGRAM: Final = "swarm-event-listener"
BATCH: Final = 20  # most messages in a batch
SLEEP_MS: Final = 2.0
PER_S: Final = 200
SAMPLED_EVERY_S: Final = 0.1
CONSUMING_TTL_MS: Final = 3_000
# The pause is long enough to KILL the listener in it. The rules that this is not about
# have long limits: two versions on two cores are slow at times.
LIMITS: Final = {
    "consuming_ttl": CONSUMING_TTL_MS,
    "polling_ttl": 30_000,
    "stability_ttl": 60_000,
    "node_report_timeout": 30_000,
    "node_restart_timeout": 3_000,
    "max_restarts": 1_000,
}
# What a listener logs when it does not understand what the other version has left, or
# what a node or an operator's command of the other version says.
NOT_UNDERSTOOD: Final = (
    "report_rejected",
    "intent_dropped",
    "intents_void",
    "roll_dropped",
    "roll_refused",
    "order_rejected",
    "journal_unreadable",
    "supervisord_misconfigured",
    "listener_crashed",
    "Traceback",
)


@dataclass(kw_only=True)
class MixedSwarm:
    """A swarm under load, made of two versions.

    Attributes:
        kafka_swarm: supervisord, its processes, and the ledger.
        versions: The two.
        book: What the bound of repeats needs to know.
        caused: Node, pid, cause and status of each restart that is to be on record.
        listener: The listener's version.
        written: What the listener of each version has written, by its name.
    """

    kafka_swarm: KafkaSwarm
    versions: tuple[Version, Version]
    listener: Version
    book: Book = field(default_factory=Book)
    caused: list[tuple[str, int, str, int | None]] = field(default_factory=list)
    written: dict[str, Plain] = field(default_factory=dict)

    @property
    def swarm(self) -> Swarm:
        """supervisord and what the listener tells."""
        return self.kafka_swarm.swarm

    @property
    def folder(self) -> Path:
        """supervisord's folder."""
        return self.swarm.daemon.folder

    def other(self, version: Version) -> Version:
        """Return the other version."""
        one, other = self.versions
        return other if version == one else one

    # --- looking ----------------------------------------------------------------------

    def wait(
        self, probe: Callable[[], T | None], describe: str, *, within_s: float = 30.0
    ) -> T:
        """Wait for a fact, as long as the listener understands all that it meets.

        Raises:
            AssertionError: With what is known about the swarm.
        """

        def understood() -> T | None:
            self.check_understood()
            return probe()

        try:
            return eventually(understood, within_s=within_s, describe=describe)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.facts()}") from None

    def check_understood(self) -> None:
        """Check that no listener met something that it does not understand.

        Raises:
            AssertionError: With the line of its log.
        """
        for line in self.swarm.log.splitlines():
            if any(word in line for word in NOT_UNDERSTOOD):
                about = f"the listener ({self.listener.name}) does not understand:"
                raise AssertionError(f"{about} {line}")

    def facts(self) -> str:
        """Return what helps to understand why something does not come about."""
        infos = self.swarm.daemon.rpc.processes()
        last = self.swarm.log.splitlines()[-6:]
        return "\n".join(
            [
                f"  the listener is of the {self.listener.name}",
                "  supervisord: " + ", ".join(f"{i.name} {i.state}" for i in infos),
                f"  intents in the journal: {self.swarm.intents()}",
                "  the listener's log ends:",
                *(f"    {line}" for line in last),
            ]
        )

    def name(self, node: int) -> str:
        """Return supervisord's full name of a node."""
        return scenes.name_of(node)

    def state(self, node: int) -> str:
        """Return the state of a node's process."""
        return self.swarm.daemon.state(self.name(node))

    def phase(self, node: int) -> str | None:
        """Return how far a node's restart is by the journal; None without one."""
        intent = self.swarm.intents().get(self.name(node))
        return None if intent is None else str(intent["phase"])

    def told(self, node: int) -> Plain:
        """Return what the listener last said of a node; empty before."""
        nodes = self.swarm.status().get("nodes", [])
        return next((one for one in nodes if one["node"] == self.name(node)), {})

    def ask(self, version: Version, *words: str) -> tuple[int, str]:
        """Run a version's ``supervisorctl``; return its exit code and what it says."""
        done = subprocess.run(
            self.supervisorctl(version, *words),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=_environment(),
        )
        return done.returncode, done.stdout + done.stderr

    def order(self, version: Version, *words: str) -> str:
        """Return what a version's ``supervisorctl`` says; it must succeed."""
        code, said = self.ask(version, *words)
        command = " ".join(words)
        assert code == 0, f"{version.name}: supervisorctl {command}: {code}, {said}"
        return said

    def supervisorctl(self, version: Version, *words: str) -> list[str]:
        """Return the command line of a version's ``supervisorctl``."""
        config = str(self.folder / "supervisord.conf")
        return [str(version.bin / "supervisorctl"), "-c", config, *words]

    # --- exchanging -------------------------------------------------------------------

    def install(self, program: str, version: Version) -> None:
        """Have what is started from now on be of this version."""
        turn(self.folder, program, version)

    def kill_listener_while(self, node: int, *, phase: str, states: set[str]) -> None:
        """Wait until a node is down so by the listener's hand; KILL and exchange that.

        Raises:
            AssertionError: The listener was quicker, or does not do what is awaited.
        """
        self.wait(
            lambda: self.phase(node) == phase and self.state(node) in states,
            f"{self.name(node)} {' or '.join(states)} by the hand of the listener "
            f"({self.listener.name}), as the journal says",
        )

        def kill() -> None:
            self.swarm.kill_listener()
            is_late = self.phase(node) != phase or self.state(node) not in states
            assert not is_late, (
                f"the listener was quicker than its KILL: {self.facts()}"
            )

        self.exchange_listener(kill)

    def exchange_listener(self, end: Callable[[], object]) -> None:
        """Have the listener end in some way, and start as the other version."""
        pid, other = self.swarm.listener_pid(), self.other(self.listener)
        self.install(LISTENER_PROGRAM, other)
        end()
        self.listener = other
        new_pid = self.wait(
            lambda: _other(self.swarm.daemon.pid(LISTENER), than=pid),
            f"the listener of the {other.name} runs",
        )
        self.wait(
            lambda: self.swarm.status().get("listener", {}).get("pid") == new_pid,
            f"the listener of the {other.name} tells of the swarm",
        )
        assert other.runs_as(new_pid), f"the listener runs as the {other.name}"

    def hang(self, node: int) -> int:
        """Have a node's handlers hang; return its pid."""
        pid = self.swarm.pid(node)
        scenes.replace_text(self.folder / "hangs", str(pid))
        return pid

    def let_go(self) -> None:
        """Have all handlers work again."""
        scenes.replace_text(self.folder / "hangs", "")

    def await_brought_back(self, node: int, *, than: int) -> None:
        """Wait until the listener has finished the restart of a process that hung."""
        name = self.name(node)
        self.book.killed_at_s[than] = time.monotonic()  # it could not end in order
        self.caused.append((name, than, "rule", 2))
        record = self.wait(
            lambda: next((r for r in self.swarm.records() if r["pid"] == than), None),
            f"{name} is brought back from the journal, and on record, by the listener "
            f"({self.listener.name}) that took over",
        )
        assert record["recovered_at"], f"{name} has not recovered: {record}"
        self.await_back(node, than=than)
        self.written[self.listener.name] = {
            file: self.swarm._json(f"run/{file}")
            for file in ("status.json", "journal.json")
        }

    def await_back(self, node: int, *, than: int | None) -> int:
        """Wait until a node works as another process; return its pid."""
        name, share = self.name(node), ledgered.SHARE

        def back() -> int | None:
            pid = self.swarm.daemon.pid(name)
            is_back = pid != than and self.kafka_swarm.holds(node) == share
            return pid if is_back else None

        return self.wait(back, f"{name} works again, {share} partitions in its hands")

    def await_healthy(self) -> None:
        """Wait until ``swarm status`` of both versions says that all are healthy."""
        for version in self.versions:
            self.wait(
                partial(self._says_healthy, version),
                f"all are healthy: swarm status ({version.name}) exits with 0",
            )

    def _says_healthy(self, version: Version) -> bool:
        return self.ask(version, "swarm", "status", "--json")[0] == 0


@contextmanager
def mixed_swarm(
    kafka: KafkaBroker, first: Version, other: Version
) -> Iterator[MixedSwarm]:
    """Run a swarm on a topic of its own, all of it of the first version."""
    topic = kafka.create_topic(unique("compat"), PARTITIONS)

    def prepare(folder: Path) -> None:
        (folder / "bin").mkdir()
        for program in (NODE_PROGRAM, LISTENER_PROGRAM):
            turn(folder, program, first)
        (folder / "tests").symlink_to(ROOT / "tests")  # the app, for both versions
        (folder / "hangs").write_text("")

    environment = {
        # Nothing but an environment's own packages: tests run with the working tree's.
        "PYTHONPATH": "",
        "LEDGER_PATH": "{folder}/processed",
        "LEDGER_TOPICS": topic,
        "LEDGER_GROUP": topic,
        "LEDGER_SLEEP_MS": str(SLEEP_MS),
    }
    with scenes.watched_scene(
        nodes=NODES,
        command=f"{{folder}}/bin/{NODE_PROGRAM} tests.compat.app:app "
        "--config {folder}/swarm.toml --state-dir {folder}/slots "
        "--node %(process_num)d --nodes %(numprocs)d",
        limits=LIMITS,
        worker={"max_messages": BATCH, "concurrency": ledgered.SHARE},
        kafka={**ledgered.CLASSIC, "bootstrap.servers": kafka.bootstrap},
        program={
            "directory": "{folder}",
            "environment": ",".join(f'{k}="{v}"' for k, v in environment.items()),
        },
        listener={
            "command": f"{{folder}}/bin/{LISTENER_PROGRAM} "
            "--config {folder}/swarm.toml",
            "environment": 'PYTHONPATH=""',
        },
        prepare=prepare,
    ) as (swarm, lives):
        for version in (first, other):
            version.check(swarm.daemon.folder)
        ledger = Ledger(
            bootstrap=kafka.bootstrap,
            topic=topic,
            partitions=PARTITIONS,
            group=topic,
            path=swarm.daemon.folder / "processed",
        )
        yield MixedSwarm(
            kafka_swarm=KafkaSwarm(
                swarm=swarm, lives=lives, ledger=ledger, kafka=kafka
            ),
            versions=(first, other),
            listener=first,
        )


def turn(folder: Path, program: str, version: Version) -> None:
    """Turn the link to a program to a version."""
    link = folder / "bin" / program
    link.with_suffix(".new").symlink_to(version.bin / program)
    link.with_suffix(".new").replace(link)


def _other(pid: int | None, *, than: int) -> int | None:
    return None if pid == than else pid


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": "", "TERM": "dumb"}
