"""One run: a seed's faults, peace afterwards, all witnesses, and the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Final

from tests.awaits import await_seconds
from tests.faults import settling
from tests.faults.book import Book
from tests.faults.bound import Charge, charges
from tests.faults.kinds import KINDS
from tests.faults.offspring import Ends, wrongs
from tests.faults.operator_faults import release_all, start_all
from tests.faults.schedule import Fault
from tests.faults.stage import BATCH, NOT_POSSIBLE, Scenario, Stage, staged
from tests.faults.verdict import Evidence, complaints
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import PARTITIONS

Say = Callable[[str], None]
DONE_WITHIN_S: Final = 90.0  # a stopped node's session, and its backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """When a run ends: at the first of these.

    Attributes:
        faults: Drawn.
        kills: Processes of nodes ended, in whichever way.
        minutes: From the first fault on.
    """

    faults: float = inf
    kills: float = inf
    minutes: float = inf

    def is_reached(self, book: Book, *, took_s: float) -> bool:
        """Whether so much was done."""
        return (
            len(book.timeline) >= self.faults
            or len(book.ended) >= self.kills
            or took_s >= self.minutes * 60
        )

    def __str__(self) -> str:
        limits = {"faults": self.faults, "kills": self.kills, "minutes": self.minutes}
        return " ".join(f"--{name} {n:g}" for name, n in limits.items() if n != inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to; ``samples``: how often committed offsets were read."""

    evidence: Evidence
    samples: int
    peace_after_s: float
    took_s: float

    def __str__(self) -> str:
        """One line of figures."""
        evidence, book = self.evidence, self.evidence.book
        figures = {
            "faults": len(book.timeline),
            "done": book.done.total(),
            "kinds": len(book.done),
            "ended": len(book.ended),
            "records": len(evidence.records),
            "listener_ends": evidence.listener_ends,
            "processes": sum(len(lives) for lives in evidence.lives.values()),
            "peace_after_s": f"{self.peace_after_s:.1f}",
            "took_s": f"{self.took_s:.0f}",
            **(_ledger_figures(evidence) if evidence.ledger else {}),
            **{kind.replace(" ", "_"): n for kind, n in sorted(book.done.items())},
        }
        return " ".join(f"{name}={value}" for name, value in figures.items())


def _ledger_figures(evidence: Evidence) -> dict[str, object]:
    assert evidence.ledger is not None
    figures: dict[str, object] = {
        "produced": evidence.ledger.produced_count,
        "lost": len(evidence.ledger.lost),
        "duplicates": len(evidence.ledger.duplicates),
        "went_back": len(evidence.ledger.went_back),
    }
    if evidence.aside is not None:
        figures["put_aside"] = len(evidence.aside.letters)
        figures["falsely"] = len(evidence.aside.falsely)
        figures["poison_left"] = len(evidence.aside.left)
    if not (charged := evidence.charges):
        return figures
    per_life: Counter[object] = Counter()
    for charge in charged:
        per_life[charge.life] += charge.repeated
    return {
        **figures,
        "by": len(per_life),
        "most_per_process": max(per_life.values()),
        "most_per_partition": max(charge.repeated for charge in charged),
        "oldest_s": f"{max(charge.age_s for charge in charged):.2f}",
        "longest_s": f"{max(charge.span_s for charge in charged):.2f}",
    }


def run(
    scenario: Scenario,
    *,
    seed: int,
    length: Length,
    kafka: KafkaBroker | None = None,
    say: Say = lambda _: None,
) -> Outcome:
    """Bring a seed's faults about, then judge.

    Args:
        scenario: What it is about.
        seed: Which faults.
        length: How many.
        kafka: For a scenario with a load.
        say: Is told of each fault.

    Raises:
        AssertionError: Something does not hold: says what, all that was done, and how
            to run it again.
    """
    again = f"again: python -m {scenario.command} --seed {seed} {length}"
    with staged(scenario, kafka) as stage, _told_on_failure(stage, again):
        settling.await_peace(stage)
        began_s = time.monotonic()
        with stage.under_load():
            for fault in scenario.faults(seed):
                bring(stage, fault)
                say(stage.book.timeline[-1])
                took_s = time.monotonic() - began_s
                if length.is_reached(stage.book, took_s=took_s):
                    break
            last_s = time.monotonic()
            if stage.ledger is not None:
                release_all(stage)
            settling.await_peace(stage)
            peace_after_s = time.monotonic() - last_s
        if stage.ledger is not None:
            start_all(stage)
            settling.await_peace(stage)
            stage.ledger.await_done(within_s=DONE_WITHIN_S)
        outcome = Outcome(
            evidence=gather(stage, is_over=True),
            samples=len(stage.ledger.committed) // PARTITIONS if stage.ledger else 0,
            peace_after_s=peace_after_s,
            took_s=time.monotonic() - began_s,
        )
        found = complaints(outcome.evidence)
        assert not found, "\n".join([str(outcome), *found])
        return outcome


def bring(stage: Stage, fault: Fault) -> None:
    """Bring a fault about, unless there is nobody to suffer it."""
    await_seconds(fault.pause_s)
    stage.undo(until_s=time.monotonic())
    try:
        told = KINDS[fault.kind].bring(stage, fault)
        stage.book.done[fault.kind] += 1
    except NOT_POSSIBLE as error:
        told = f"not possible: {error}"
    stage.book.timeline.append(f"{time.monotonic():.2f} {fault.kind}: {told}")


def gather(stage: Stage, *, is_over: bool) -> Evidence:
    """Ask all witnesses, and close the book; ``is_over``: in peace."""
    stage.lives.sample()
    lives = stage.all_lives()
    wrong: list[str] = []
    if stage.offspring is not None:
        stage.offspring.look()
        ends = _ends(stage, is_over=is_over)
        wrong = list(wrongs(stage.offspring.children, lives, ends))
    for process in stage.cut_off():
        stage.book.explain(process, {4})
    stage.book.close(lives, now_s=time.monotonic())
    found: list[Charge] = []
    verdict = None
    aside = stage.aside()
    if stage.ledger is not None and stage.scenario.load is not None:
        verdict = stage.ledger.verdict(letters=aside.letters if aside else ())
        if not stage.scenario.load.rebalances:
            rows = stage.ledger.rows()
            found = charges(verdict, rows, stage.book, batch=BATCH)
    return Evidence(
        book=stage.book,
        lives=lives,
        overlaps=stage.lives.overlaps,
        records=[*stage.book.kept, *stage.swarm.records()],
        stopped=settling.stopped(stage.swarm),
        listener_log=stage.swarm.log,
        listener_ends=stage.book.listener_ends + len(stage.proxy.dealt),
        ledger=verdict,
        aside=aside,
        charges=found,
        left_down=settling.left_down(stage.swarm),
        offspring=wrong,
        max_restarts=stage.scenario.limits["max_restarts"],
    )


def _ends(stage: Stage, *, is_over: bool) -> Ends:
    """Return how nodes have ended, as far as that is known of each."""
    hung = {p.pid for p, statuses in stage.book.explained.items() if statuses == {2}}
    ill = {process.pid for process in stage.book.explained} - hung
    records = stage.swarm.records()
    restarted = {r["pid"] for r in records if r["status"] == 2 and not r["killed"]}
    abrupt = {*stage.book.killed_at_s, *ill}
    return Ends(abrupt=abrupt, at_deadline=(hung & restarted) - abrupt, is_over=is_over)


@contextmanager
def _told_on_failure(stage: Stage, again: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        evidence = gather(stage, is_over=False)
        told = [
            f"{error}\n{again}",
            "--- what does not hold, as far as it came",
            *complaints(evidence),
            "--- what was done (CLOCK_MONOTONIC)",
            *stage.book.timeline,
            "--- processes, as sampled in /proc",
            *(str(life) for slot in evidence.lives.values() for life in slot),
            "--- records",
            *map(str, evidence.records),
            "--- the listener",
            evidence.listener_log,
        ]
        raise AssertionError("\n".join(told)) from error
