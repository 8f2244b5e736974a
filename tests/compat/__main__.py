"""``python -m tests.compat [--old COMMIT]``: two versions of the package, side by side.

A swarm on Apache Kafka is exchanged program by program for another version of the
package, under load: once from the old one to the working tree, once back. Needs git
with the commit in its history, Java 17 and Maven. Prints each step, then the figures;
on failure what does not hold.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.compat import scenario
from tests.compat.scenario import lost_fields
from tests.compat.versions import (
    OLD,
    Version,
    VersionMissingError,
    installed,
    working_tree,
)
from tests.kafka import install
from tests.kafka.broker import KafkaBroker

BEGAN_S = time.monotonic()


def main() -> int:
    """Run; return 0 when everything held."""
    parser = argparse.ArgumentParser(prog="tests.compat", description=__doc__)
    parser.add_argument("--old", metavar="COMMIT", default=OLD, help=f"default: {OLD}")
    arguments = parser.parse_args()
    problem = install.missing_here()
    if problem is not None:
        _say(problem)
        return 1
    try:
        old, new = installed(arguments.old, _say), working_tree()
        _exchange_both_ways(old, new)
    except (VersionMissingError, AssertionError) as error:
        _say(f"FAILED: {error}")
        return 1
    _say(f"everything held: {old.name} and {new.name}")
    return 0


def _exchange_both_ways(old: Version, new: Version) -> None:
    home = Path(tempfile.mkdtemp(prefix="compat"))
    try:
        with KafkaBroker(home) as kafka:
            for first, other in ((old, new), (new, old)):
                way = f"{first.name} -> {other.name}"
                say = partial(_say, way)
                try:
                    figures, written = scenario.run(kafka, first, other, say)
                except AssertionError as error:
                    raise AssertionError(f"{way}: {error}") from error
                say(figures)
                lost = list(lost_fields(written[old.name], written[new.name]))
                assert lost == [], f"the {new.name} no longer writes {lost}"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _say(*words: str) -> None:
    sys.stdout.write(f"{time.monotonic() - BEGAN_S:6.1f} s  {': '.join(words)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
