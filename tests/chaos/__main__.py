"""``python -m tests.chaos --seed S --faults N [--kafka]``: the long form.

It ends with one line of figures. On Kafka (Java 17 and Maven) nodes are real ones, and
a ledger tells of what was produced, processed and committed.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.faults.run import run, run_on_kafka


def main() -> int:
    """Run; give 0 when everything held."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--kafka", action="store_true", help="real nodes, a ledger")
    arguments = parser.parse_args()
    chosen = {"seed": arguments.seed, "faults": arguments.faults}
    sys.stdout.write(f"seed={arguments.seed} faults={arguments.faults}\n")
    sys.stdout.flush()
    try:
        held = run_on_kafka(**chosen) if arguments.kafka else (run(**chosen), "")
    except AssertionError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"everything held: {held[0]} {held[1]}".rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
