"""``python -m tests.kafka.soak --seed S --kills N | --minutes M``: the long form.

Needs Java 17 and Maven. Prints a line for each fault, then the figures; on failure what
does not hold, all that was done, and how to run it again.
"""

from __future__ import annotations

import sys

from tests.faults import command
from tests.faults.run import Length
from tests.faults.scenarios import SOAKS


def main() -> int:
    """Run; return 0 when everything held."""
    parser = command.parser("tests.kafka.soak", __doc__)
    parser.add_argument("--protocol", choices=SOAKS, default="classic")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--kills", type=int, default=500)
    length.add_argument("--minutes", type=float)
    told = parser.parse_args()
    return command.main(
        SOAKS[told.protocol],
        seed=told.seed,
        length=Length(kills=told.kills)
        if told.minutes is None
        else Length(minutes=told.minutes),
    )


if __name__ == "__main__":
    sys.exit(main())
