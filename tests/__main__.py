"""``python -m tests [PYTEST ARGUMENTS]``: all tests, in parts that run side by side.

Most of the tests on real processes wait: two parts at a time halve the whole. Each part
is one pytest of its own, its lines marked with its name. With arguments there is one
part, which they are for.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

PARTS: Final = {
    "kafka": ["tests/kafka"],
    "process": ["tests/process"],
    "rest": ["tests/unit", "tests/contract", "tests/chaos"],
}
AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended."""

    name: str
    exit_code: int
    counts: Counter[str]


def main(arguments: Sequence[str]) -> int:
    """Run; give 0 when all parts passed."""
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run, PARTS))
    total: Counter[str] = sum((outcome.counts for outcome in outcomes), Counter())
    broken = [outcome.name for outcome in outcomes if outcome.exit_code]
    if broken:
        sys.stdout.write(f"failed parts: {', '.join(broken)}\n")
    failed = total["failed"] + total["error"] + total["errors"]
    sys.stdout.write(
        f"{total['passed']} passed, {failed or len(broken)} failed, "
        f"{total['skipped']} skipped\n"
    )
    return int(bool(broken))


def run(name: str) -> Outcome:
    """Run one part and pass on what it prints, as it comes."""
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *PARTS[name]]
    last = ""
    with subprocess.Popen(
        pytest, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line
            sys.stdout.write(f"{name:8}{line}")
            sys.stdout.flush()
    return Outcome(name, process.returncode, counts(last))


def counts(summary: str) -> Counter[str]:
    """Read pytest's last line, such as ``= 1 failed, 7 passed in 2.1s =``."""
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", summary)
    return Counter({what: int(number) for number, what in found})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
