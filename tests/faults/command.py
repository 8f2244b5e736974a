"""What the commands that start a run have in common: seed, broker, the last word."""

from __future__ import annotations

import argparse
import random
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.run import Length, run
from tests.faults.stage import Scenario
from tests.kafka.broker import KafkaBroker
from tests.kafka.tokens import TAKES_TOKENS


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """Return what reads a command's flags, ``--seed`` among them."""
    found = argparse.ArgumentParser(prog=name, description=text)
    found.add_argument("--seed", type=int, default=random.randrange(10**6))
    return found


def main(scenario: Scenario, *, seed: int, length: Length) -> int:
    """Run; return 0 when everything held.

    Prints the command, a line for each fault, then the figures; or what does not hold,
    all that was done, and how to run it again.
    """
    told = f"{scenario.command} --seed {seed} {length}"
    say(told)
    with ExitStack() as stack:
        kafka = None
        if scenario.load is not None:
            home = TemporaryDirectory(prefix="faults", ignore_cleanup_errors=True)
            path = Path(stack.enter_context(home))
            kafka = stack.enter_context(KafkaBroker(path, **TAKES_TOKENS))
        try:
            outcome = run(scenario, seed=seed, length=length, kafka=kafka, say=say)
        except AssertionError as error:
            say(f"{error}\n{kafka.log_tail() if kafka else ''}")
            return 1
    say(f"everything held: {told}: {outcome}")
    return 0


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
