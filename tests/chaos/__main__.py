"""``python -m tests.chaos --seed S --faults N [--kafka]``: the long form.

It prints a line for each fault, then the figures. On Kafka (Java 17 and Maven) nodes
are real ones, and a ledger tells what was produced, processed and committed.
"""

from __future__ import annotations

import sys

from tests.faults import command
from tests.faults.run import Length
from tests.faults.scenarios import CHAOS, CHAOS_ON_KAFKA


def main() -> int:
    """Run; return 0 when everything held."""
    parser = command.parser("tests.chaos", __doc__)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--kafka", action="store_true", help="real nodes, a ledger")
    told = parser.parse_args()
    scenario = CHAOS_ON_KAFKA if told.kafka else CHAOS
    return command.main(scenario, seed=told.seed, length=Length(faults=told.faults))


if __name__ == "__main__":
    sys.exit(main())
