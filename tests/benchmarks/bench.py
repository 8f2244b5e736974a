"""What every benchmark is given: how long, how often, where, and on which broker."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from tests.benchmarks.environments import Environments
from tests.benchmarks.figures import LEAST_PAIRS, Pairs
from tests.kafka.broker import KafkaBroker

WINDOW_S: Final = 3.0


@dataclass(eq=False)  # hashable: runs that figures share are kept by it
class Bench:
    """One run of the benchmarks; a context manager that ends what it started.

    Attributes:
        home: Where everything that it writes goes.
        quick: Fewer and shorter: shows that everything runs, measures little.
        rng: Decides who of a pair is first.
    """

    home: Path
    quick: bool = False
    rng: random.Random = field(default_factory=random.Random)
    _stack: ExitStack = field(default_factory=ExitStack)
    _begun_at_s: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        self.home.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """End the broker, if there is one."""
        self._stack.close()

    @property
    def environments(self) -> Environments:
        """The virtual environments of the peers; kept for the next run."""
        return Environments(self.home / "environments", self.say)

    @property
    def window_s(self) -> float:
        """How long one side of a pair is measured."""
        return 1.0 if self.quick else WINDOW_S

    @property
    def pairs(self) -> int:
        """How many pairs make a figure."""
        return 1 if self.quick else LEAST_PAIRS

    @cached_property
    def kafka(self) -> KafkaBroker:
        """Apache Kafka, started at the first use and kept for all figures."""
        self.say("starting Apache Kafka ...")
        return self._stack.enter_context(KafkaBroker(self.home / "kafka", heap_mb=1024))

    def measure(
        self,
        ours: Callable[[], float],
        theirs: Callable[[], float],
        *,
        say: str,
        pairs: int | None = None,
    ) -> Pairs:
        """Measure both sides in turn, ``pairs`` times, in shuffled order."""
        found = Pairs()
        for turn in range(pairs or self.pairs):
            sides = [(ours, found.ours), (theirs, found.theirs)]
            self.rng.shuffle(sides)
            for measure_one, values in sides:
                values.append(measure_one())
            ratio = found.ratios[-1] if found.theirs[-1] else float("nan")
            self.say(f"{say}: pair {turn + 1} of {pairs or self.pairs}: {ratio:.3g} x")
        return found

    def say(self, text: str) -> None:
        """Show that work goes on: stderr, with the seconds since the beginning."""
        sys.stderr.write(f"{time.monotonic() - self._begun_at_s:6.0f} s  {text}\n")
        sys.stderr.flush()

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """Yield a new directory for one measurement."""
        path = self.home / f"{name}-{self.rng.randrange(16**6):06x}"
        path.mkdir(parents=True)
        yield path
