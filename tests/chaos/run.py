"""One run of chaos: a seed's faults, peace afterwards, and the verdict."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from tests.chaos import mayhem, schedule
from tests.chaos.mayhem import Mayhem
from tests.chaos.verdict import complaints
from tests.eventually import eventually


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
    """Bring so many faults of a seed about.

    Raises:
        AssertionError: Something does not hold; says what, the seed and what was done.
    """
    drawn = schedule.draw(seed, count=faults, nodes=mayhem.NODES)
    began_at_s = time.monotonic()
    with mayhem.mayhem() as swarm:
        try:
            for fault in drawn:
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
        except AssertionError as error:
            raise AssertionError(_told(swarm, seed, faults, str(error))) from error
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


def _told(swarm: Mayhem, seed: int, faults: int, what: str) -> str:
    evidence = swarm.evidence()
    lives = [str(life) for slot in evidence.lives.values() for life in slot]
    return "\n".join(
        [
            what,
            f"again: python -m tests.chaos --seed {seed} --faults {faults}",
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
