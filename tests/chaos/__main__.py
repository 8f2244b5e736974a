"""``python -m tests.chaos --seed S --faults N``: the long form, one line in the end."""

from __future__ import annotations

import argparse
import random
import sys

from tests.chaos.run import run


def main() -> int:
    """Run; give 0 when everything held."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--faults", type=int, default=500)
    arguments = parser.parse_args()
    sys.stdout.write(f"seed={arguments.seed} faults={arguments.faults}\n")
    sys.stdout.flush()
    try:
        outcome = run(seed=arguments.seed, faults=arguments.faults)
    except AssertionError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.write(f"everything held: {outcome}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
