"""One run of chaos: a seed's faults, peace afterwards, and the verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.eventually import eventually
from tests.faults import mayhem, schedule, stage
from tests.faults.mayhem import Mayhem
from tests.faults.verdict import complaints


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to, for people; all durations in seconds.

    Attributes:
        faults: Those that were drawn.
        done: Those that came about: a node that is down cannot be killed.
        kinds: How many kinds of them.
    """

    seed: int
    faults: int
    done: int
    kinds: int
    records: int
    listener_ends: int
    processes: int
    peace_after_s: float
    took_s: float

    def __str__(self) -> str:
        fields = dataclasses.asdict(self)
        return " ".join(f"{name}={value}" for name, value in fields.items())


def run(*, seed: int, faults: int) -> Outcome:
    """Bring so many faults of a seed about, to scripted nodes.

    Raises:
        AssertionError: Something does not hold; says what, the seed and what was done.
    """
    with (
        stage.staged() as swarm,
        _told_on_failure(swarm, f"--seed {seed} --faults {faults}"),
    ):
        return _judged(swarm, seed=seed, faults=faults)


def run_on_kafka(*, seed: int, faults: int) -> tuple[Outcome, str]:
    """Bring them about to real nodes; give the ledger's figures, too.

    Raises:
        AssertionError: As in `run`, and for what the ledger tells.
    """
    from tests.faults import on_kafka

    with on_kafka.mayhem_on_kafka() as (swarm, ledger):
        arguments = f"--seed {seed} --faults {faults} --kafka"
        with _told_on_failure(swarm, arguments):
            with on_kafka.under_load(ledger):
                outcome = _judged(swarm, seed=seed, faults=faults)
            found = on_kafka.complaints(swarm, ledger)
            assert not found, "\n".join(found)
            return outcome, swarm.timeline[-1]


def _judged(swarm: Mayhem, *, seed: int, faults: int) -> Outcome:
    began_at_s = time.monotonic()
    for fault in schedule.draw(seed, count=faults, nodes=mayhem.NODES):
        swarm.bring(fault)
    swarm.thaw()
    last_at_s = time.monotonic()
    eventually(
        swarm.at_peace,
        within_s=mayhem.PEACE_WITHIN_S,
        every_s=0.25,
        describe="each node running once, or stopped by the operator",
    )
    evidence = swarm.evidence()
    found = complaints(evidence)
    assert not found, "\n".join(found)
    return Outcome(
        seed=seed,
        faults=faults,
        done=swarm.done.total(),
        kinds=len(swarm.done),
        records=len(evidence.records),
        listener_ends=evidence.listener_ends,
        processes=sum(len(lives) for lives in evidence.lives.values()),
        peace_after_s=round(time.monotonic() - last_at_s, 1),
        took_s=round(time.monotonic() - began_at_s, 1),
    )


@contextmanager
def _told_on_failure(swarm: Mayhem, arguments: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        again = f"again: python -m tests.chaos {arguments}"
        raise AssertionError(_told(swarm, f"{error}\n{again}")) from error


def _told(swarm: Mayhem, what: str) -> str:
    evidence = swarm.evidence()
    lives = [str(life) for slot in evidence.lives.values() for life in slot]
    return "\n".join(
        [
            what,
            "--- what was done (CLOCK_MONOTONIC)",
            *swarm.timeline,
            "--- processes, as sampled in /proc",
            *lives,
            "--- records",
            *map(str, evidence.records),
            "--- the listener",
            evidence.listener_log,
        ]
    )
