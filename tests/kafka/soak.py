"""``python -m tests.kafka.soak --seed S --kills N | --minutes M``: the long form.

Needs Java 17 and Maven. Prints the seed, then a line for each blow, then the figures.
On failure: what does not hold, the whole timeline, and how to run it again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import onslaught
from tests.faults.blows import draw
from tests.faults.onslaught import BATCH, SLEEP_MS, Outcome, complaints
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import CLASSIC, KIP_848, NODES, SESSION_MS, supervised

PROTOCOLS = {"classic": CLASSIC, "consumer": KIP_848}
# Classic: the default. A client ends its own session when the broker is away for so
# long, and repeats what it did meanwhile: no bound would hold (see test_outages).
# KIP-848: a killed node waits for the end of its predecessor's session.
SESSIONS_MS = {"classic": None, "consumer": SESSION_MS}


def soak(
    kafka: KafkaBroker,
    *,
    seed: int,
    ends: int,
    seconds: float = float("inf"),
    protocol: str = "classic",
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Run a seed's blows against a swarm until so many processes were ended.

    Raises:
        AssertionError: Something does not hold; with seed and timeline.
    """
    with supervised(
        kafka,
        properties=PROTOCOLS[protocol],
        session_ms=SESSIONS_MS[protocol],
        sleep_ms=SLEEP_MS,
        max_messages=BATCH,
    ) as swarm:
        struck, outcome = onslaught.run(
            swarm,
            draw(seed, nodes=NODES),
            ends=ends,
            until_s=time.monotonic() + seconds,
            say=say,
        )
        found = complaints(struck, outcome.verdict, outcome.charges)
        again = (
            f"again: python -m tests.kafka.soak --seed {seed} --kills {ends} "
            f"--protocol {protocol}"
        )
        assert not found, "\n".join([*found, str(outcome), again, struck.told()])
        return outcome


def main() -> int:
    """Run; give 0 when everything held."""
    parser = argparse.ArgumentParser(prog="tests.kafka.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--protocol", choices=PROTOCOLS, default="classic")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--kills", type=int, default=500)
    length.add_argument("--minutes", type=float)
    told = parser.parse_args()
    ends = told.kills if told.minutes is None else sys.maxsize
    _say(f"seed={told.seed} protocol={told.protocol}")
    home = Path(tempfile.mkdtemp(prefix="soak"))
    kafka = KafkaBroker(home)
    try:
        with kafka:
            outcome = soak(
                kafka,
                seed=told.seed,
                ends=ends,
                seconds=float("inf") if told.minutes is None else told.minutes * 60,
                protocol=told.protocol,
                say=_say,
            )
    except AssertionError as error:
        _say(f"{error}\n{kafka.log_tail()}")
        return 1
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _say(f"everything held: seed={told.seed} protocol={told.protocol} {outcome}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
