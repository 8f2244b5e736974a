"""The swarm of a run, with its witnesses and with hands to bring faults about."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.supervisord.rpc import SupervisorFault, SupervisorUnreachable
from tests.apps.processed import number_in
from tests.faults.aside import Aside, is_poison
from tests.faults.book import Book, Process
from tests.faults.offspring import Offspring
from tests.faults.schedule import Fault, Range, draw
from tests.faults.state_disk import StateDisk
from tests.kafka.broker import KafkaBroker
from tests.kafka.dead_letters import read_all
from tests.kafka.ledgered import supervised
from tests.kafka.nodes import unique
from tests.kafka.tokens import BY_TOKEN
from tests.kafka.witness import Ledger
from tests.process import scenes
from tests.process.lives import Life, Lives
from tests.process.proxy import Proxy
from tests.process.swarms import GROUP, LISTENER, Swarm

# What does not come about says so with one of these; nothing else is passed over.
NOT_POSSIBLE: Final = (SupervisorFault, SupervisorUnreachable, OSError)
BATCH: Final = 5  # most messages in a batch: little hides behind the one in flight
SLEEP_MS: Final = 2.0  # what a message takes
SAMPLED_EVERY_S: Final = 0.05
# The listener looks there for orders, as scripted nodes do.
WITH_ORDERS: Final = f"{scenes.SCRIPTED} --state-dir {{folder}}/slots"
# What a node is told that falls ill, and the statuses with which a restart is right.
Illness = tuple[Mapping[str, Any], set[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What nodes on Kafka have to do.

    Attributes:
        properties: Of librdkafka.
        session_ms: The group's session; None for the default of 45 s.
        per_s: Messages produced.
        rebalances: Whether a session may end while a node is down: no bound holds.
        has_tokens: Whether a node needs a token to reach a broker.
    """

    properties: Mapping[str, Any]
    session_ms: int | None
    per_s: float
    rebalances: bool = False
    has_tokens: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a run is made of.

    Attributes:
        command: How it is started again, but for seed and length.
        weights: Which kinds of faults come up, and how often each among the others.
        illnesses: What a node can fall ill of, by name.
        nodes: How many.
        limits: Keys of ``[listener]``.
        stop_wait_s: supervisord's time between TERM and KILL.
        pause_s: Between two faults.
        lasts_s: How long what passes lasts.
        nap_s: Most of it that a node is stopped for: shorter than any limit or session.
        peace_within_s: After the last fault: silence, stop, gap, twice over.
        spares_asleep: Whether nothing else happens to a node that is stopped: one that
            is frozen for good is soon hit by something else where there are few.
        load: None where nodes are scripted.
    """

    command: str
    weights: Mapping[str, int]
    illnesses: Mapping[str, Illness]
    nodes: int
    limits: Mapping[str, Any]
    stop_wait_s: int
    pause_s: Range
    lasts_s: Range
    nap_s: float
    peace_within_s: float
    spares_asleep: bool = False
    load: Load | None = None

    def faults(self, seed: int) -> Iterator[Fault]:
        """Return the faults of a seed, without an end."""
        return draw(
            seed,
            self.weights,
            nodes=self.nodes,
            pause_s=self.pause_s,
            lasts_s=self.lasts_s,
        )


@dataclass(kw_only=True)
class Stage:
    """A swarm, its witnesses, and the book of what was done to it.

    Attributes:
        scenario: What it is made of.
        swarm: supervisord and the listener.
        lives: All processes that the slots ever had.
        proxy: Between listener and supervisord.
        disk: Of the listener's state.
        kafka: The broker, if there is one.
        ledger: What was produced, processed and committed.
        letters: The topic for dead letters.
        offspring: What handlers have started; None where nodes are scripted.
        book: What was done.
        asleep: Pids of nodes that are stopped.
    """

    scenario: Scenario
    swarm: Swarm
    lives: Lives
    proxy: Proxy
    disk: StateDisk
    kafka: KafkaBroker | None = None
    ledger: Ledger | None = None
    letters: str = ""
    offspring: Offspring | None = None
    book: Book = field(default_factory=Book)
    asleep: set[int] = field(default_factory=set)
    _passing: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    # --- what passes ------------------------------------------------------------------

    def later(self, at_s: float, undo: Callable[[], object]) -> None:
        """Have something undone; tried again for as long as ``undo`` gives False."""
        self._passing.append((at_s, undo))

    def undo(self, *, until_s: float = inf) -> None:
        """Undo what was to last until a moment; all there is without one."""
        for due in list(self._passing):
            if due[0] <= until_s and due[1]() is not False:
                self._passing.remove(due)

    def close(self) -> None:
        """Leave nothing behind."""
        try:
            self.undo()
        finally:
            self.proxy.close()
            self.disk.close()

    # --- who is there -----------------------------------------------------------------

    @property
    def slots(self) -> list[str]:
        """supervisord's names of the nodes."""
        return [scenes.name_of(node) for node in range(self.scenario.nodes)]

    def all_lives(self) -> dict[str, list[Life]]:
        """Return all processes of each slot."""
        return {slot: self.lives.all(slot) for slot in self.slots}

    def present(self, *, since_s: float = inf) -> set[Process]:
        """Return the processes that are there now, or were since a moment."""
        return {
            Process(slot, life.pid)
            for slot, lives in self.all_lives().items()
            for life in lives
            if (life.gone_at_s or inf) >= since_s
        }

    def victim(
        self, fault: Fault, *, awake: bool = False, healthy: bool = False
    ) -> Process:
        """Return a running node, from the fault's own on.

        Raises:
            ProcessLookupError: None will do.
        """
        spares_asleep = awake or healthy or self.scenario.spares_asleep
        known = {info.name: info for info in self.swarm.daemon.rpc.processes()}
        for slot in self.slots[fault.node :] + self.slots[: fault.node]:
            info = known[slot]
            if info.state != "RUNNING" or info.pid is None:
                continue
            one = Process(slot, info.pid)
            if spares_asleep and one.pid in self.asleep:
                continue
            if not healthy or self.is_settled(one):
                return one
        raise ProcessLookupError("no such node runs")

    def present_of(self, slot: str) -> Process | None:
        """Return a slot's process; None where it has none."""
        pid = self.swarm.daemon.pid(slot)
        return None if pid is None else Process(slot, pid)

    def is_settled(self, one: Process) -> bool:
        """Whether a process is well, to run, and not too young for an operator.

        supervisord tells starts in whole seconds: a listener that died meanwhile cannot
        tell the stop of a process from that of its predecessor a second before.
        """
        is_well = one not in self.book.explained and self.book.is_wanted(one.slot)
        return is_well and self.is_old_enough(one)

    def is_old_enough(self, one: Process) -> bool:
        """Whether a process is not too young for an operator."""
        young_s = time.monotonic() - 2
        return any(
            life.pid == one.pid and life.seen_at_s < young_s
            for life in self.lives.alive(one.slot)
        )

    def cut_off(self) -> set[Process]:
        """Return the processes on Kafka that found no broker as they started."""
        lines = self.swarm.daemon.file("alone").split("\n")[:-1]
        pairs = [line.split() for line in lines]
        return {Process(f"{GROUP}:{name}", int(pid)) for name, pid in pairs}

    def flag(self, slot: str, what: str) -> Path:
        """Return the file that tells a slot's next process of something."""
        return self.swarm.daemon.folder / f"{slot.partition(':')[2]}.{what}"

    def listener(self) -> int:
        """Return the listener's pid.

        Raises:
            ProcessLookupError: It is between two lives.
        """
        pid = self.swarm.daemon.pid(LISTENER)
        if pid is None:
            raise ProcessLookupError("no listener just now")
        return pid

    # --- what needs Kafka -------------------------------------------------------------

    def aside(self) -> Aside | None:
        """Return what was put aside so far; None without Kafka."""
        if self.ledger is None:
            return None
        assert self.kafka is not None
        letters = {number_in(one.value()) for one in read_all(self.kafka, self.letters)}
        return Aside(letters=letters, poison=self.ledger.poison())

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Produce and sample for as long as the block lasts."""
        with ExitStack() as stack:
            if self.ledger is not None and (load := self.scenario.load) is not None:
                stack.enter_context(self.ledger.sampling(every_s=SAMPLED_EVERY_S))
                stack.enter_context(self.ledger.producing(per_s=load.per_s))
            yield


@contextmanager
def staged(scenario: Scenario, kafka: KafkaBroker | None = None) -> Iterator[Stage]:
    """Start a swarm and its witnesses; waits for nothing.

    Args:
        scenario: What it is made of.
        kafka: Where the scenario has a load.
    """
    proxies: list[Proxy] = []
    disks: list[StateDisk] = []

    def prepare(folder: Path) -> None:
        proxies.append(Proxy(folder))
        disks.append(StateDisk(folder / "run"))
        if scenario.load is not None and scenario.load.has_tokens:
            (folder / "needs_token").touch()

    limits = {**scenes.LIMITS, **scenario.limits}
    options: dict[str, Any] = {
        "nodes": scenario.nodes,
        "limits": limits,
        "worker": {"shutdown_timeout": limits["shutdown_timeout"]},
        "program": {"stopwaitsecs": str(scenario.stop_wait_s)},
        "listener": {"environment": 'SUPERVISOR_SERVER_URL="unix://{folder}/p"'},
        "prepare": prepare,
    }
    with ExitStack() as stack:
        ledger = offspring = None
        letters = ""
        if (load := scenario.load) is None:
            swarm, lives = stack.enter_context(
                scenes.watched_scene(command=WITH_ORDERS, **options)
            )
        else:
            assert kafka is not None, "the scenario needs Kafka"
            letters = kafka.create_topic(unique("letters"), 1)
            one = stack.enter_context(
                supervised(
                    kafka,
                    properties=_properties(load, kafka),
                    session_ms=load.session_ms,
                    app="tests.faults.ledger_app:app",
                    sleep_ms=SLEEP_MS,
                    environ={"LEDGER_LETTERS": letters},
                    max_messages=BATCH,
                    **options,
                )
            )
            swarm, lives, ledger = one.swarm, one.lives, one.ledger
            ledger.is_poison, ledger.tries_next = is_poison, True
            offspring = Offspring(path=swarm.daemon.folder / "offspring")
            stack.enter_context(offspring.watched())
        stage = Stage(
            scenario=scenario,
            swarm=swarm,
            lives=lives,
            proxy=proxies[0],
            disk=disks[0],
            kafka=kafka,
            ledger=ledger,
            letters=letters,
            offspring=offspring,
        )
        try:
            yield stage
        finally:
            stage.close()


def _properties(load: Load, kafka: KafkaBroker) -> Mapping[str, Any]:
    if not load.has_tokens:
        return load.properties
    return {
        **load.properties,
        "bootstrap.servers": kafka.sasl_bootstrap,
        **BY_TOKEN,
    }
