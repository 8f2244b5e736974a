"""The demo itself: look, decide by the story, act, show; ten times a second."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Final, assert_never

from swarm_worker.demo import faults, watch
from swarm_worker.demo.faults import FAULTS
from swarm_worker.demo.ledger import Ledger, LedgerFile
from swarm_worker.demo.producer import SteadyProducer
from swarm_worker.demo.screen import Screen
from swarm_worker.demo.stage import PARTITIONS, Stage, stage
from swarm_worker.demo.story import (
    Finding,
    Finish,
    Order,
    Say,
    Seen,
    Step,
    StopProducing,
    Story,
)
from swarm_worker.demo.summary import Summary, others

NODES: Final = 4  # numprocs of conf/demo/supervisord.conf
PER_SECOND: Final = 100
LOOK_S: Final = 0.1
RATE_OVER_S: Final = 2.0
CLEAR_UP_S: Final = 8.0  # what the end takes at most, of --seconds


def play(*, screen: Screen, bootstrap: str | None, seconds: float) -> Summary:
    """Play to the end or for ``seconds``; give what it came to.

    Raises:
        StageError: The stage cannot be set, or fell down.
        BrokerError: There is no embedded broker.
    """
    begun_at_s = time.monotonic()
    with stage(bootstrap) as the_stage:
        performance = Performance(the_stage, screen, begun_at_s=begun_at_s)
        try:
            performance.run(give_up_at_s=begun_at_s + seconds - CLEAR_UP_S)
        finally:
            screen.close()
        summary = performance.summary()
        if not summary.is_success:
            summary = replace(summary, logs=the_stage.logs())
        return summary


@dataclass(slots=True)
class Rates:
    """Messages a second of each node, over the last `RATE_OVER_S`."""

    counts: deque[tuple[float, dict[int, int]]] = field(default_factory=deque)

    def take(self, now_s: float, by_node: dict[int, int]) -> dict[int, float]:
        """Enter the counts of now; give the rates."""
        self.counts.append((now_s, by_node))
        while now_s - self.counts[0][0] > RATE_OVER_S:
            self.counts.popleft()
        then_s, then = self.counts[0]
        over_s = max(now_s - then_s, LOOK_S)
        return {node: (n - then.get(node, 0)) / over_s for node, n in by_node.items()}


class Performance:
    """One demo in progress."""

    def __init__(self, stage: Stage, screen: Screen, *, begun_at_s: float) -> None:
        self._stage = stage
        self._screen = screen
        self._begun_at_s = begun_at_s
        self._story = Story(FAULTS, nodes=NODES)
        self._ledger = Ledger()
        self._file = LedgerFile(stage.folder / "processed")
        self._rates = Rates()
        self._consumed_at_s: dict[int, float] = {}
        self._findings: list[Finding] = []
        self._over = False
        self._producer = SteadyProducer(
            stage.bootstrap,
            stage.topic,
            partitions=PARTITIONS,
            per_second=PER_SECOND,
            acknowledged=self._ledger.acknowledged,
        )

    def run(self, *, give_up_at_s: float) -> None:
        """Play until the story is over or the time is up."""
        self._say(
            f"A producer sends {PER_SECOND} messages a second to "
            f"{self._stage.bootstrap}; supervisord starts {NODES} nodes."
        )
        self._producer.start()
        pause = Event()
        try:
            while not self._over and time.monotonic() < give_up_at_s:
                self._stage.check()
                self._look_and_act()
                pause.wait(LOOK_S)
        finally:
            self._producer.stop()
        self._take_stock()
        if not self._over:
            self._say("The time is up.")

    def summary(self) -> Summary:
        """Give what it has come to so far."""
        return Summary(
            produced=len(self._ledger.acknowledged),
            processed=len(self._ledger.processed),
            lost=self._ledger.lost_count,
            duplicates=self._ledger.duplicate_count,
            faults=FAULTS,
            acts=self._story.acts,
            others=others(self._findings, self._story.acts),
            took_s=self._age_s(),
        )

    def _look_and_act(self) -> None:
        seen = self._look()
        for step in self._story.go_on(seen):
            self._carry_out(step)
        self._show(seen.now_s)

    def _look(self) -> Seen:
        self._take_stock()
        return Seen(
            now_s=time.monotonic(),
            began=frozenset(
                act.fault
                for act in self._story.acts
                if faults.is_taken(self._stage.folder, act.fault)
            ),
            consumer_pids={n: line.pid for n, line in self._ledger.last.items()},
            consumed_at_s=self._consumed_at_s,
            findings=self._findings,
            lost_count=self._ledger.lost_count,
        )

    def _take_stock(self) -> None:
        lines = self._file.read()
        self._ledger.take(lines)
        self._consumed_at_s |= {line.node: time.monotonic() for line in lines}
        self._findings = watch.findings(watch.read_json(self._run / watch.JOURNAL))

    @property
    def _run(self) -> Path:
        return self._stage.folder / "run"  # state_dir of conf/demo/swarm.toml

    def _carry_out(self, step: Step) -> None:
        match step:
            case Say(text):
                self._say(text)
            case Order(fault):
                faults.order(self._stage.folder, fault)
            case StopProducing():
                self._producer.stop()
            case Finish():
                self._over = True
            case _:
                assert_never(step)

    def _show(self, now_s: float) -> None:
        rates = self._rates.take(now_s, dict(self._ledger.by_node))
        status = watch.read_json(self._run / watch.STATUS)
        rows = list(watch.rows(status, self._findings, rates))
        foot = (
            f"produced {len(self._ledger.acknowledged)}, "
            f"processed {len(self._ledger.processed)}"
        )
        self._screen.show(rows, foot, at_s=self._age_s())

    def _say(self, text: str) -> None:
        self._screen.say(text, at_s=self._age_s())

    def _age_s(self) -> float:
        return time.monotonic() - self._begun_at_s
