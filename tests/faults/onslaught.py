"""A swarm on Kafka under blows: keeps book of each, then asks all witnesses."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from swarm_event_listener.supervisord.rpc import SupervisorFault, SupervisorUnreachable
from tests.eventually import eventually
from tests.faults.blows import ENDS_A_NODE, Blow, Kind
from tests.faults.bound import Book, Charge, charges
from tests.kafka.ledgered import NODES, PARTITIONS, KafkaSwarm, answers
from tests.ledger import Verdict
from tests.process import scenes
from tests.process.swarms import LISTENER

BATCH: Final = 5  # most messages in a batch: little hides behind the one in flight
SLEEP_MS: Final = 2.0
PER_S: Final = 600
SAMPLED_EVERY_S: Final = 0.05
PEACE_WITHIN_S: Final = 90.0
BROKER_AWAY_S: Final = 0.5  # beyond what its start takes
# A client that is refused waits this long before it tries again, then looks for its
# coordinator: reconnect.backoff.max.ms with 20 % more at random, and one question.
FOUND_AGAIN_S: Final = 1.0
PUT_RIGHT_S: Final = 2.0  # the next commit, and the sampler's wait for an answer

_FAULTS: Final = (SupervisorFault, SupervisorUnreachable, ProcessLookupError)


@dataclass(kw_only=True)
class Onslaught:
    """Strikes a swarm.

    Attributes:
        swarm: The victim.
        book: What the bound of duplicates needs to know.
        timeline: What was done when, for people.
        done: How often what was done.
    """

    swarm: KafkaSwarm
    book: Book = field(default_factory=Book)
    timeline: list[str] = field(default_factory=list)
    done: Counter[Kind] = field(default_factory=Counter)
    _naps: list[tuple[float, int]] = field(default_factory=list)
    _frozen: set[int] = field(default_factory=set)
    _to_start: set[str] = field(default_factory=set)
    _ending: dict[int, float] = field(default_factory=dict)  # pid, told to end when

    @property
    def ends(self) -> int:
        """How many processes were ended."""
        return sum(self.done[kind] for kind in ENDS_A_NODE)

    def strike(self, blow: Blow) -> None:
        """Do one thing, unless there is nobody to do it to."""
        scenes.let_pass(blow.pause_s)
        self._tend(time.monotonic())
        verbs: dict[Kind, Callable[[Blow], str]] = {
            Kind.TERM: self._term,
            Kind.RESTART: self._restart,
            Kind.KILL: self._kill,
            Kind.NAP: self._nap,
            Kind.FREEZE: self._freeze,
            Kind.LISTENER: self._kill_listener,
            Kind.BROKER: self._kill_broker,
        }
        try:
            said = verbs[blow.kind](blow)
        except _FAULTS as error:
            said = f"not possible: {error}"
        else:
            self.done[blow.kind] += 1
        self.timeline.append(f"{time.monotonic():.2f} {blow.kind}: {said}")

    def make_peace(self) -> None:
        """Undo what was not to last, and wait until all nodes are at work."""
        self._tend(float("inf"))
        eventually(
            self._is_peaceful,
            within_s=PEACE_WITHIN_S,
            every_s=0.2,
            describe="all nodes at work",
        )

    def close(self) -> None:
        """Book those that were told to end when they could not commit."""
        for pid, told_at_s in self._ending.items():
            gone_at_s = self._gone_at_s(pid)
            if any(f < gone_at_s and t > told_at_s for f, t in self.book.outages):
                self.book.killed_at_s.setdefault(pid, gone_at_s)

    # --- victims ----------------------------------------------------------------------

    def _victim(self, blow: Blow) -> tuple[int, int]:
        """Give a running node and its pid, from the blow's own node on.

        Raises:
            ProcessLookupError: None runs.
        """
        infos = {info.name: info for info in self.swarm.swarm.daemon.rpc.processes()}
        napping = {pid for _, pid in self._naps}
        for offset in range(NODES):
            node = (blow.node + offset) % NODES
            info = infos[self.swarm.name(node)]
            if info.state != "RUNNING" or info.pid is None:
                continue
            if info.pid not in self._frozen | napping:
                return node, info.pid
        raise ProcessLookupError("no such node runs")

    def _gone_at_s(self, pid: int) -> float:
        lives = [
            life
            for n in range(NODES)
            for life in self.swarm.lives.all(scenes.name_of(n))
        ]
        found = [life.gone_at_s for life in lives if life.pid == pid]
        return next((at_s for at_s in found if at_s is not None), time.monotonic())

    # --- verbs ------------------------------------------------------------------------

    def _term(self, blow: Blow) -> str:
        node, pid = self._victim(blow)
        self._ending.setdefault(pid, time.monotonic())
        os.kill(pid, signal.SIGTERM)
        return f"node {node} pid {pid}"

    def _restart(self, blow: Blow) -> str:
        node, pid = self._victim(blow)
        self._ending.setdefault(pid, time.monotonic())
        self.swarm.swarm.daemon.rpc.stop(self.swarm.name(node))
        self._to_start.add(self.swarm.name(node))
        return f"node {node} pid {pid}"

    def _kill(self, blow: Blow) -> str:
        node, pid = self._victim(blow)
        os.kill(pid, signal.SIGKILL)
        self.book.killed_at_s.setdefault(pid, time.monotonic())
        return f"node {node} pid {pid}"

    def _nap(self, blow: Blow) -> str:
        node, pid = self._victim(blow)
        began_s = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        self._naps.append((began_s + blow.lasts_s, pid))
        self.book.naps.setdefault(pid, []).append((began_s, began_s))
        return f"node {node} pid {pid} for {blow.lasts_s} s"

    def _freeze(self, blow: Blow) -> str:
        node, pid = self._victim(blow)
        os.kill(pid, signal.SIGSTOP)
        self._frozen.add(pid)
        self.book.killed_at_s.setdefault(pid, time.monotonic())
        return f"node {node} pid {pid}"

    def _kill_listener(self, blow: Blow) -> str:
        self._victim(blow)  # who is to get them going again, when none runs?
        pid = self.swarm.swarm.daemon.pid(LISTENER)
        if pid is None:
            raise ProcessLookupError("no listener just now")
        os.kill(pid, signal.SIGKILL)
        return f"pid {pid}"

    def _kill_broker(self, _blow: Blow) -> str:
        kafka, ledger = self.swarm.kafka, self.swarm.ledger
        self._tend(float("inf"))  # it takes longer than any nap
        began_s = time.monotonic()
        kafka.kill()
        scenes.let_pass(BROKER_AWAY_S)
        kafka.start()
        eventually(
            lambda: answers(kafka, ledger.group, ledger.topic),
            within_s=30.0,
            describe="the coordinator answers",
        )
        self.book.outages.append((began_s, time.monotonic() + FOUND_AGAIN_S))
        return f"for {time.monotonic() - began_s:.1f} s"

    # --- in between -------------------------------------------------------------------

    def _tend(self, now_s: float) -> None:
        """Continue who has slept, start who was stopped."""
        for due_s, pid in [nap for nap in self._naps if nap[0] <= now_s]:
            scenes.signal_if_alive(pid, signal.SIGCONT)
            self._naps.remove((due_s, pid))
            began_s, _ = self.book.naps[pid].pop()
            self.book.naps[pid].append((began_s, time.monotonic()))
        for name in sorted(self._to_start):
            if self.swarm.swarm.daemon.state(name) == "STOPPED":
                self.swarm.swarm.daemon.rpc.start(name)
                self._to_start.remove(name)

    def _is_peaceful(self) -> bool:
        self._tend(float("inf"))
        held = [self.swarm.holds(node) for node in range(NODES)]
        return None not in held and sum(h or 0 for h in held) == PARTITIONS

    # --- the end ----------------------------------------------------------------------

    def told(self) -> str:
        """Give all that was done, and who lived when."""
        lives = [
            life
            for n in range(NODES)
            for life in self.swarm.lives.all(scenes.name_of(n))
        ]
        return "\n".join(
            [
                "--- what was done (CLOCK_MONOTONIC)",
                *self.timeline,
                "--- processes, as sampled in /proc",
                *map(str, lives),
                "--- records of the listener",
                *map(str, self.swarm.swarm.records()),
            ]
        )


def complaints(
    onslaught: Onslaught, verdict: Verdict, found: list[Charge]
) -> list[str]:
    """Give all that does not hold; empty when all is well.

    That a committed offset went back is no fault after a broker was killed, see
    `goes_back_for_good`: what that costs is repeats, which are charged like any others.
    """
    faults = verdict.faults()
    if not goes_back_for_good(verdict, onslaught.book):
        faults.pop("committed went back", None)
    told = [str(verdict)] if faults else []
    told += [f"beyond the bound: {charge}" for charge in found if charge.excess]
    told += [
        f"two live processes of a slot: {one}, {other}"
        for one, other in onslaught.swarm.lives.overlaps
    ]
    return told


def goes_back_for_good(verdict: Verdict, book: Book) -> bool:
    """Tell whether a committed offset went back other than after an outage.

    The commit that was under way when the broker was killed is sent again by the
    client after those that waited for the broker, so the oldest is taken last; the next
    commit, within a second, puts that right. A broker that is killed loses nothing that
    it has acknowledged. (Both tried: the answers to a client come in that order, and of
    a group without members what was acknowledged is read.)
    """
    return any(
        not any(f <= row.seen_at_s <= t + PUT_RIGHT_S for f, t in book.outages)
        for row in verdict.went_back
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    verdict: Verdict
    charges: list[Charge]
    done: Counter[Kind]
    samples: int
    took_s: float

    def __str__(self) -> str:
        """One line of figures."""
        per_life: Counter[object] = Counter()
        for charge in self.charges:
            per_life[charge.life] += charge.repeated
        kinds = " ".join(f"{kind.name.lower()}={n}" for kind, n in self.done.items())
        return (
            f"{kinds} produced={self.verdict.produced_count} "
            f"lost={len(self.verdict.lost)} duplicates={len(self.verdict.duplicates)} "
            f"by={len(per_life)} most_per_process={max(per_life.values(), default=0)} "
            f"most_per_partition={max((c.repeated for c in self.charges), default=0)} "
            f"oldest_s={max((c.age_s for c in self.charges), default=0.0):.2f} "
            f"longest_s={max((c.span_s for c in self.charges), default=0.0):.2f} "
            f"went_back={len(self.verdict.went_back)} "
            f"samples={self.samples} took_s={self.took_s:.0f}"
        )


def run(
    swarm: KafkaSwarm,
    blows: Iterable[Blow],
    *,
    ends: int,
    until_s: float = float("inf"),
    batch: int = BATCH,
    per_s: float = PER_S,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Onslaught, Outcome]:
    """Strike until so many processes were ended or until a moment; then judge.

    Raises:
        AssertionError: The swarm does not come to rest.
    """
    onslaught, began_s = Onslaught(swarm=swarm), time.monotonic()
    swarm.await_settled()
    ledger = swarm.ledger
    try:
        with (
            ledger.sampling(every_s=SAMPLED_EVERY_S),
            ledger.producing(per_s=per_s),
        ):
            for blow in blows:
                onslaught.strike(blow)
                say(
                    f"{onslaught.timeline[-1]} "
                    f"[{onslaught.ends} ended, {len(ledger.produced)} produced]"
                )
                if onslaught.ends >= ends or time.monotonic() > until_s:
                    break
            onslaught.make_peace()
        swarm.settle(within_s=PEACE_WITHIN_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{onslaught.told()}") from None
    finally:
        for _, pid in onslaught._naps:
            scenes.signal_if_alive(pid, signal.SIGCONT)
    onslaught.close()
    return onslaught, _judge(onslaught, batch=batch, began_s=began_s)


def _judge(onslaught: Onslaught, *, batch: int, began_s: float) -> Outcome:
    ledger = onslaught.swarm.ledger
    verdict = ledger.verdict()
    return Outcome(
        verdict=verdict,
        charges=charges(verdict, ledger.processed.read(), onslaught.book, batch=batch),
        done=onslaught.done,
        samples=len(ledger.committed) // PARTITIONS,
        took_s=time.monotonic() - began_s,
    )
